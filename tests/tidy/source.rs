//! The project's own files as a test sees them: which there are, what of one is code, and what it imports.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One file, by its path from the project's root.
pub struct Source {
    pub path: String,
    pub text: String,
}

impl Source {
    /// A file that exists only in a test of a check.
    pub fn made_up(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The text without its tests and without whole-line comments.
    pub fn code(&self) -> String {
        self.before_tests().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }

    /// Lines, comments included, tests not.
    pub fn len(&self) -> usize {
        self.before_tests().count()
    }

    fn before_tests(&self) -> impl Iterator<Item = &str> {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_inline_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{');
        let end = lines.windows(2).position(is_inline_tests).unwrap_or(lines.len());
        lines.into_iter().take(end)
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Full paths of what the code names from elsewhere: its `use` lines, and `crate::…` where it is written out. Re-exports
    /// (`pub use`) are a folder's door, not an import.
    pub fn imports(&self) -> Vec<String> {
        let code = self.code();
        let mut paths = Vec::new();
        for statement in code.split(';') {
            let begins_a_word = |at: &usize| *at == 0 || statement[..*at].ends_with(['\n', ' ']);
            let uses = statement.match_indices("use ").map(|(at, _)| at);
            let Some(at) = uses.filter(begins_a_word).last() else { continue };
            if statement[..at].trim_end().ends_with("pub") {
                continue;
            }
            expand("", &statement[at + "use ".len()..].split_whitespace().collect::<String>(), &mut paths);
        }
        for (at, found) in code.match_indices("crate::") {
            let rest = &code[at + found.len()..];
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
            // What a brace ends is a group of a `use` line, which is taken apart above.
            if !rest.starts_with('{') && !rest[..end].ends_with("::") {
                paths.push(format!("crate::{}", &rest[..end]));
            }
        }
        paths.iter().map(|path| self.absolute(path)).collect()
    }

    /// `super::X` and `self::X` as `crate::…`.
    fn absolute(&self, path: &str) -> String {
        let module = self.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        let mut module: Vec<&str> = module.split('/').filter(|name| !matches!(*name, "lib" | "main")).collect();
        let mut rest = path;
        if let Some(inner) = rest.strip_prefix("self::") {
            rest = inner;
        } else if !rest.starts_with("super::") {
            return path.to_owned();
        }
        while let Some(outer) = rest.strip_prefix("super::") {
            module.pop();
            rest = outer;
        }
        let module: String = module.iter().flat_map(|name| [name, "::"]).collect();
        format!("crate::{module}{rest}")
    }
}

/// Takes a use tree without spaces apart: `a::{B,c::D}` is `a::B` and `a::c::D`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, group)) = tree.split_once('{') else {
        return paths.push(format!("{prefix}{tree}"));
    };
    let group = group.strip_suffix('}').unwrap_or(group);
    let prefix = format!("{prefix}{head}");
    let mut depth = 0;
    let parts = group.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    for part in parts.filter(|part| !part.is_empty()) {
        expand(&prefix, part, paths);
    }
}

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One file of the project.
pub fn read(path: &str) -> Source {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    Source::made_up(path, &text)
}

/// Every source file of the program, without the files that hold tests only.
pub fn program() -> Vec<Source> {
    let mut sources = Vec::new();
    walk("src", &mut sources);
    // The dashboard is not Rust.
    sources.retain(|source| source.path.ends_with(".rs") && !source.is_test());
    sources
}

/// Everything that people read or a machine runs: sources, tests, texts, scripts.
pub fn everything() -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in ["src", "tests", "benches", "examples", "deploy", ".ci"] {
        walk(folder, &mut sources);
    }
    for name in sorted(root()) {
        let is_text = name.extension().is_some_and(|kind| kind == "md" || kind == "toml");
        if is_text {
            sources.push(read(&name.file_name().expect("files have names").to_string_lossy()));
        }
    }
    sources
}

fn walk(folder: &str, sources: &mut Vec<Source>) {
    for path in sorted(&root().join(folder)) {
        let name = format!("{folder}/{}", path.file_name().expect("files have names").to_string_lossy());
        if path.is_dir() {
            walk(&name, sources);
        } else if let Ok(text) = fs::read_to_string(&path) {
            sources.push(Source { path: name, text });
        }
    }
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    // Folders that a checkout may not have are empty ones.
    let entries = fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    let mut paths: Vec<PathBuf> = entries.unwrap_or_default();
    paths.sort();
    paths
}

#[test]
fn imports_are_found_in_every_form() {
    let source = Source::made_up(
        "src/router/task.rs",
        "use std::{\n    io,\n    net::{IpAddr, SocketAddr},\n};\n\npub use super::Gone;\nuse super::{Lease, layout::Layout};\n\
         // use crate::comment::No;\nfn f(x: crate::config::Pool) {}\n#[cfg(test)]\nmod tests {\n    use crate::sim::Pool;\n}\n",
    );
    assert_eq!(
        source.imports(),
        [
            "std::io",
            "std::net::IpAddr",
            "std::net::SocketAddr",
            "crate::router::Lease",
            "crate::router::layout::Layout",
            "crate::config::Pool"
        ]
    );
}
