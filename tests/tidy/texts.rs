//! What every file keeps to, and what the texts promise: sizes, words, paths, metric names, commands, configs, licences.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    path::Path,
    process::Command,
};

use hashgate::{
    config::{Config, Env},
    metrics::{FAMILIES, MAX_SERIES_OF_MINERS},
};

use crate::source::{Source, everything, program, read, root};

/// Lines of a file, tests not counted; past that, there is a second noun in it.
const MAX_LINES: usize = 700;

/// Files that may be longer, how long, and why.
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Beginnings of paths that exist on one machine only. (Split, so that this file has none itself.)
const MACHINE_PATHS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

/// Words of unfinished work.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("db", "g!("),
    concat!("unimplemented", "!("),
];

/// What dependencies may be licensed under.
const LICENCES: [&str; 9] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The same for what tests and benches alone depend on, and nobody is given.
const LICENCES_OF_TOOLS: [&str; 2] = ["CC0-1.0", "MPL-2.0"];

fn too_long(sources: &[Source]) -> Vec<String> {
    let limit =
        |path: &str| LONG_FILES.iter().find(|(long, ..)| *long == path).map_or(MAX_LINES, |(_, limit, _)| *limit);
    let long = sources.iter().filter(|source| source.len() > limit(&source.path));
    long.map(|source| format!("{} has {} lines, at most {} are wanted", source.path, source.len(), limit(&source.path)))
        .collect()
}

fn containing(sources: &[Source], words: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        for (at, line) in source.text.lines().enumerate() {
            let found = words.iter().filter(|word| has(line, word));
            faults.extend(found.map(|word| format!("{}:{}: {word}", source.path, at + 1)));
        }
    }
    faults
}

/// Whether a line has a word, or a path that starts there and is not the rest of a longer one.
fn has(line: &str, word: &str) -> bool {
    let is_path = word.starts_with('/');
    line.match_indices(word)
        .any(|(at, _)| !(is_path && line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.')))
}

fn unsafe_outside_hash(sources: &[Source]) -> Vec<String> {
    let is_word = |line: &str| line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == "unsafe");
    let outside = sources.iter().filter(|source| !source.path.starts_with("src/hash/"));
    let has_unsafe = |source: &&Source| {
        let code = source.code();
        code.lines().any(is_word) || code.contains("allow(unsafe_code)")
    };
    outside.filter(has_unsafe).map(|source| source.path.clone()).collect()
}

/// What a Markdown text has between backticks that is a metric's name.
fn metric_names(markdown: &str) -> BTreeSet<&str> {
    let is_name = |text: &&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    markdown.split('`').filter(|text| text.starts_with("hashgate_")).filter(is_name).collect()
}

/// The blocks of one language in a Markdown text.
fn blocks<'a>(markdown: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    markdown.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// Whether an SPDX expression can be met by licences of the list. `/` is the old way to write OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    return any(&mut words);

    fn any<'a>(words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> bool {
        let mut allowed = all(words);
        while words.next_if_eq(&"OR").is_some() {
            allowed |= all(words);
        }
        allowed
    }

    fn all<'a>(words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> bool {
        let mut allowed = one(words);
        while words.next_if_eq(&"AND").is_some() {
            allowed &= one(words);
        }
        allowed
    }

    fn one<'a>(words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> bool {
        let Some(mut licence) = words.next().map(str::to_owned) else { return false };
        if licence == "(" {
            let allowed = any(words);
            return words.next() == Some(")") && allowed;
        }
        if words.next_if_eq(&"WITH").is_some() {
            licence = format!("{licence} WITH {}", words.next().unwrap_or_default());
        }
        LICENCES.contains(&&*licence)
    }
}

#[test]
fn no_file_grows_past_its_noun() {
    assert_eq!(too_long(&program()), Vec::<String>::new());
    for (path, ..) in LONG_FILES {
        assert!(read(path).len() > MAX_LINES, "{path} is short enough and needs no exception any more");
    }
    let long = Source::made_up("src/a.rs", &"//\n".repeat(MAX_LINES + 1));
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "//\n".repeat(MAX_LINES), "//\n".repeat(100));
    assert_eq!(too_long(&[long]).len(), 1);
    assert_eq!(too_long(&[Source::made_up("src/a.rs", &tested)]).len(), 0);
}

#[test]
fn nothing_is_unfinished_and_nothing_names_a_machine() {
    let words = [&MACHINE_PATHS[..], &UNFINISHED[..]].concat();
    assert_eq!(containing(&everything(), &words), Vec::<String>::new());
    for word in words {
        let bad = Source::made_up("src/a.rs", &format!("fn a() {{}}\n// {word}\n"));
        assert_eq!(containing(&[bad], &[word]).len(), 1, "{word}");
    }
    assert!(!has("src/wo\u{72}k/job.rs", MACHINE_PATHS[3]), "a folder of ours is no machine's");
}

#[test]
fn unsafe_code_lives_in_hash_alone() {
    assert_eq!(unsafe_outside_hash(&program()), Vec::<String>::new());
    for (path, text, found) in [
        ("src/stratum/line.rs", "fn a() { unsafe { b() } }", 1),
        ("src/stratum/line.rs", "#![allow(unsafe_code)]", 1),
        ("src/stratum/line.rs", "// unsafe\nfn unsafely() {}", 0),
        ("src/hash/avx2.rs", "unsafe fn a() {}", 0),
    ] {
        assert_eq!(unsafe_outside_hash(&[Source::made_up(path, text)]).len(), found, "{text}");
    }
}

#[test]
fn the_readme_explains_every_metric_and_no_other() {
    let exported: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    let readme = read("README.md").text;
    assert_eq!(metric_names(&readme), exported);
    assert!(readme.contains(&format!("add {MAX_SERIES_OF_MINERS} series at most")));
    let text = "| `hashgate_a`, `hashgate_b_total` | of `hashgate_a`, by `hashgate run` and `x` |";
    assert_eq!(metric_names(text), BTreeSet::from(["hashgate_a", "hashgate_b_total"]));
}

#[test]
fn the_readme_names_every_command() {
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_hashgate")).args(arguments).output().expect("the binary runs");
        String::from_utf8(output.stdout).expect("help is UTF-8")
    };
    let commands = |help: &str| -> Vec<String> {
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        names
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help")
            .map(str::to_owned)
            .collect()
    };
    let mut all = commands(&help(&["--help"]));
    assert!(all.len() >= 4, "{all:?}");
    all.retain(|name| name != "sim");
    all.extend(commands(&help(&["sim", "--help"])).into_iter().map(|name| format!("sim {name}")));
    let readme = read("README.md").text;
    for command in all {
        assert!(readme.contains(&format!("hashgate {command}")), "README.md does not name `hashgate {command}`");
    }
}

/// A world where every variable is set and every file holds a secret.
struct Secrets;

impl Env for Secrets {
    fn var(&self, _: &str) -> Option<String> {
        Some("0123456789abcdef".to_owned())
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Ok("0123456789abcdef\n".to_owned())
    }
}

#[test]
fn the_configs_that_we_show_are_valid() {
    let (_, warnings) = Config::load(&root().join("config.example.toml")).unwrap_or_else(|error| panic!("{error}"));
    assert!(warnings.is_empty(), "config.example.toml: {warnings:?}");
    let mut texts = vec![read("README.md")];
    let guides = std::fs::read_dir(root().join("docs")).expect("there are guides").flatten();
    let guides = guides.map(|entry| format!("docs/{}", entry.file_name().to_string_lossy()));
    texts.extend(guides.filter(|path| path.ends_with(".md")).map(|path| read(&path)));
    assert!(texts.len() > 1);
    let parse = |text: &str| Config::parse(text, &Secrets);
    // A block that shows a part of a config is read behind what every config needs.
    const FRAME: &str = "[[listener]]\nname = \"frame\"\nlisten = \"127.0.0.1:0\"\n[[pool]]\nname = \"eu\"\nurl = \"sim://\"\nuser = \"u\"\n\
                         [[pool]]\nname = \"us\"\nurl = \"sim://\"\nuser = \"u\"\n";
    for source in &texts {
        let configs = blocks(&source.text, "toml");
        assert!(!configs.is_empty() || source.path != "README.md");
        for text in configs {
            let whole = if text.contains("[[listener]]") { text.to_owned() } else { format!("{FRAME}{text}") };
            if let Err(errors) = parse(&whole) {
                panic!("{} shows a config that is not valid:\n{text}\n{errors}", source.path);
            }
        }
        // What needs a program that was built for it says how to get that, in any other.
        for text in blocks(&source.text, "toml asic-rs") {
            let said = parse(&format!("{FRAME}{text}")).map_err(|errors| errors.to_string());
            match said {
                Ok(_) if cfg!(feature = "asic-rs") => {}
                Ok(_) => panic!("{}: it takes what it was not built for:\n{text}", source.path),
                Err(errors) if cfg!(feature = "asic-rs") => panic!("{}:\n{text}\n{errors}", source.path),
                Err(errors) => {
                    assert!(errors.contains("--features asic-rs") && errors.contains("1 problem"), "{errors}")
                }
            }
        }
    }
    assert!(parse("[[listener]]\nlisten = 3333\n").is_err());
}

#[test]
fn every_dependency_may_be_used() {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(root()).output().expect("the toolchain runs");
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let version = run("rustc", &["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // What is built here was fetched for it, so that no network is needed.
    let mut asked = vec!["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host];
    if cfg!(feature = "asic-rs") {
        asked.extend(["--features", "asic-rs"]);
    }
    let metadata = run(&cargo, &asked);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("packages are a list");
    assert!(packages.len() > 100, "{} packages", packages.len());
    let shipped = shipped(&metadata["resolve"]);
    assert!((100..packages.len()).contains(&shipped.len()), "{} are shipped", shipped.len());
    for package in packages {
        let licence = package["license"].as_str().unwrap_or("none");
        let is_tool = package["id"].as_str().is_some_and(|id| !shipped.contains(id));
        let is_allowed = is_allowed(licence) || is_tool && LICENCES_OF_TOOLS.contains(&licence);
        assert!(is_allowed, "{} is licensed under {licence}", package["name"]);
    }
}

/// The packages of a dependency graph that become part of the program: all but those that tests and benches alone depend on.
fn shipped(resolve: &serde_json::Value) -> HashSet<&str> {
    let nodes = resolve["nodes"].as_array().expect("nodes are a list");
    let mut shipped = HashSet::new();
    let mut open = vec![resolve["root"].as_str().expect("the graph has a root")];
    while let Some(id) = open.pop() {
        if !shipped.insert(id) {
            continue;
        }
        let node = nodes.iter().find(|node| node["id"] == id).expect("every package is a node");
        for dependency in node["deps"].as_array().expect("a node has dependencies") {
            let kinds = dependency["dep_kinds"].as_array().expect("a dependency has kinds");
            if kinds.iter().any(|kind| kind["kind"] != "dev") {
                open.extend(dependency["pkg"].as_str());
            }
        }
    }
    shipped
}

#[test]
fn licence_expressions_are_understood() {
    for (expression, allowed) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only AND MIT", false),
        ("MIT AND (Apache-2.0 OR GPL-3.0-only)", true),
        ("(MIT OR Apache-2.0) AND GPL-3.0-only", false),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0-only", true),
        ("GPL-3.0-only WITH Classpath-exception-2.0", false),
        ("none", false),
    ] {
        assert_eq!(is_allowed(expression), allowed, "{expression}");
    }
}
