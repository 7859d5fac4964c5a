//! Promises about `config.example.toml`, and about configs of any text: the example runs as it is, what it
//! keeps in comments works when uncommented, and nothing that an operator can type makes the parser panic
//! or leaves them without a place to look.

use std::{io, path::Path};

use hashgate::config::{Config, ConfigErrors, Env, Warning};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../config.example.toml");

/// A world without variables and files.
struct NoEnv;

impl Env for NoEnv {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn parse(text: &str) -> Result<(Config, Vec<Warning>), ConfigErrors> {
    Config::parse(text, &NoEnv)
}

/// A world where every variable is set.
struct Variables;

impl Env for Variables {
    fn var(&self, name: &str) -> Option<String> {
        // No two tokens may be the same.
        Some(format!("{name} 0123456789abcdef"))
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// The example up to the signals, which are not all of one currency: `tests/signals/` has each by itself.
fn before_signals() -> &'static str {
    EXAMPLE.split("\n# Signals: ").next().expect("a split has a beginning")
}

/// The setting or table header in a comment line, if it is one and not prose.
fn setting(line: &str) -> Option<&str> {
    let line = line.strip_prefix('#')?.trim_start_matches(['#', ' ']);
    let (key, value) = line.split_once(" = ").unwrap_or((line, ""));
    let is_key = !value.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    (is_key || line.starts_with("[[") || matches!(line, "[admin]" | "[store]")).then_some(line)
}

/// The tables that the example keeps in comments, each as text.
fn commented_tables() -> Vec<String> {
    let mut tables: Vec<String> = Vec::new();
    let mut open = false;
    for line in before_signals().lines() {
        match setting(line) {
            Some(header) if header.starts_with("[[") => {
                tables.push(format!("{header}\n"));
                open = true;
            }
            Some(setting) if open => {
                let table = tables.last_mut().expect("a table is open");
                table.push_str(setting);
                table.push('\n');
            }
            _ => open = false,
        }
    }
    tables
}

#[test]
fn the_example_loads_without_a_warning() {
    let (config, warnings) = Config::load(Path::new("config.example.toml")).expect("the example is valid");
    assert_eq!(warnings, []);
    assert!(config.listeners.iter().all(|listener| listener.listen.ip().is_loopback()));
}

#[test]
fn the_example_spells_out_the_defaults() {
    let least = "[metrics]\nlisten = \"127.0.0.1:9333\"\n[[listener]]\nname = \"farm\"\nlisten = \"127.0.0.1:3333\"\n\
                 [[pool]]\nname = \"simulation\"\nurl = \"sim://\"\nuser = \"nobody\"\n";
    assert_eq!(parse(EXAMPLE).expect("the example is valid").0, parse(least).expect("a valid config").0);
}

#[test]
fn every_comment_with_a_setting_works_when_uncommented() {
    let text: String = before_signals().lines().map(|line| format!("{}\n", setting(line).unwrap_or(line))).collect();
    let (config, warnings) = Config::parse(&text, &Variables).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!((config.listeners.len(), config.pools.len(), config.routes.len()), (2, 5, 2));
    let surprises: Vec<String> = warnings
        .iter()
        .map(ToString::to_string)
        .filter(|warning| {
            !["placeholder", "no route leads", "answer_timeout"].iter().any(|known| warning.contains(known))
        })
        .collect();
    assert_eq!(surprises, [""; 0]);
}

#[test]
fn each_commented_pool_and_listener_works_alone() {
    let tables: Vec<String> = commented_tables().into_iter().filter(|table| !table.starts_with("[[route]]")).collect();
    assert_eq!(tables.len(), 5);
    for table in tables {
        parse(&format!("{EXAMPLE}\n{table}")).unwrap_or_else(|errors| panic!("{table}\n{errors}"));
    }
}

/// The example with its comments made settings, so that mutations reach every reader.
fn dense() -> String {
    EXAMPLE
        .lines()
        .filter_map(|line| setting(line).or((!line.starts_with('#')).then_some(line)))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn check(text: &str) -> Result<(), TestCaseError> {
    match parse(text) {
        Ok((config, _)) => {
            prop_assert!(!hashgate::config::describe(&config).is_empty());
            prop_assert!(!config.listeners.is_empty() && !config.pools.is_empty() && !config.routes.is_empty());
        }
        Err(errors) => {
            prop_assert!(!errors.problems().is_empty());
            for problem in errors.problems() {
                prop_assert!(problem.key.is_some() || problem.position.is_some(), "{problem}");
                prop_assert!(!problem.what.is_empty() && !problem.help.is_empty(), "{problem}");
                prop_assert!(!problem.to_string().contains('\n'), "{problem:?}");
            }
        }
    }
    Ok(())
}

/// Values of every type, sane and not.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("true".to_owned()),
        Just("nan".to_owned()),
        Just("-inf".to_owned()),
        Just("[[1], {a = 2}]".to_owned()),
        Just("1979-05-27".to_owned()),
        Just("{ x = \"\\u0000\" }".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        "[a-z0-9:/.{}*?=&# -]{0,24}".prop_map(|text| format!("\"{text}\"")),
        "[0-9]{1,20} ?(s|ms|h|KiB|MiB|k|M|TH/s)".prop_map(|text| format!("\"{text}\"")),
    ]
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "(?s).{0,200}") {
        check(&text)?;
    }

    #[test]
    fn any_value_in_any_place_is_answered(changes in prop::collection::vec((any::<prop::sample::Index>(), value()), 1..4)) {
        let mut lines: Vec<String> = dense().lines().map(str::to_owned).collect();
        for (index, value) in changes {
            let at = index.index(lines.len());
            let line = &mut lines[at];
            // A table's header goes, too: `[[pool]]` becomes `pool = …`.
            let key = line.split_once(" = ").map_or(&**line, |(key, _)| key).trim_matches(['[', ']']).to_owned();
            *line = format!("{key} = {value}");
        }
        check(&lines.join("\n"))?;
    }

    #[test]
    fn a_file_cut_or_damaged_anywhere_is_answered(at in any::<prop::sample::Index>(), dropped in 0_usize..40, put in ".{0,3}") {
        let text: Vec<char> = dense().chars().collect();
        let at = at.index(text.len());
        let behind = text.iter().skip(at + dropped);
        check(&text[..at].iter().copied().chain(put.chars()).chain(behind.copied()).collect::<String>())?;
    }
}
