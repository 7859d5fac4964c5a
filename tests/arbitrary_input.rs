//! Any bytes from a miner, a pool or an operator do no harm. The checks are those of the fuzz targets (`fuzz/checks.rs`), fed with
//! random bytes and with damaged conversations; a failing input is shrunk and printed.

#[path = "../fuzz/checks.rs"]
mod checks;

use proptest::{collection::vec, prelude::*, sample::select};

const MINER: [&str; 2] =
    [include_str!("../fuzz/seeds/miner_lines/login"), include_str!("../fuzz/seeds/miner_lines/mining")];
const POOL: [&str; 2] =
    [include_str!("../fuzz/seeds/pool_lines/login"), include_str!("../fuzz/seeds/pool_lines/mining")];
const CONFIG: [&str; 2] = [include_str!("../config.example.toml"), include_str!("../fuzz/seeds/config/two_pools.toml")];

/// What parsers stumble over, put anywhere.
const TOKENS: [&str; 20] = [
    "null",
    "true",
    "{}",
    "[]",
    "[[",
    "\"",
    "\\u0000",
    "\\ud800",
    "-1",
    "1e999",
    "1e-320",
    "0",
    "99999999999999999999",
    "ffffffff",
    "\n",
    ",",
    "é",
    "mining.submit",
    "[null,null]",
    "\"\"",
];

/// One damage to a text; the numbers are places in it.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, &'static str),
    Remove(prop::sample::Index, usize),
    /// A line to another place.
    Line(prop::sample::Index, prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (place(), select(&TOKENS[..])).prop_map(|(at, token)| Damage::Insert(at, token)),
        (place(), 1usize..40).prop_map(|(at, len)| Damage::Remove(at, len)),
        (place(), place()).prop_map(|(from, to)| Damage::Line(from, to)),
    ]
}

fn damaged(text: &str, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        match damage {
            Damage::Set(at, byte) => *at.get_mut(&mut bytes) = *byte,
            Damage::Insert(at, token) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, token.bytes());
            }
            Damage::Remove(at, len) => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + len).min(bytes.len()));
            }
            Damage::Line(from, to) => {
                let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                let line = *from.get(&lines);
                lines.insert(to.index(lines.len()), line);
                bytes = lines.concat();
            }
        }
    }
    bytes
}

/// What may stand between two parts of a line; JSON allows the first seven.
const SPACES: [&str; 9] = ["", "", "", " ", "  ", "\t", "\r", "\u{a0}", "\u{c}"];
const JSON_SPACES: &[&str] = SPACES.split_at(7).0;

/// Values for any place of a submit, a part of them usual there.
const VALUES: [&str; 26] = [
    r#""farm.0001""#,
    r#""0000000a""#,
    r#""00000001""#,
    r#""FFffFFff""#,
    r#""6a000000""#,
    r#""57c02""#,
    r#""0""#,
    "\"\"",
    r#""00ff00ff00ff00ff""#,
    r#""bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq.x""#,
    "null",
    "7",
    r#""123456789""#,
    r#""é""#,
    r#""\u0031""#,
    r#""\""#,
    r#""+1""#,
    "\"\u{7f}\"",
    "\"\u{1}\"",
    "01",
    "-1",
    "1.5",
    "1e3",
    "true",
    "[1]",
    "{}",
];

const KEYS: [&str; 6] = [r#""id""#, r#""method""#, r#""params""#, r#""m\u0065thod""#, r#""jsonrpc""#, r#""result""#];

/// Space before and after a part.
fn spaced(part: impl Strategy<Value = String>, spaces: &'static [&'static str]) -> impl Strategy<Value = String> {
    (select(spaces), part, select(spaces)).prop_map(|(before, part, after)| format!("{before}{part}{after}"))
}

fn member(
    key: &'static str,
    value: impl Strategy<Value = String> + 'static,
    spaces: &'static [&'static str],
) -> BoxedStrategy<String> {
    let key = spaced(Just(key.to_owned()), spaces);
    (key, spaced(value, spaces)).prop_map(|(key, value)| format!("{key}:{value}")).boxed()
}

fn array(values: Vec<String>) -> String {
    format!("[{}]", values.join(","))
}

fn object(members: Vec<String>) -> String {
    format!("{{{}}}", members.join(","))
}

/// Submits as firmware writes them: members in any order, spaces where they may be.
fn usual_submit() -> impl Strategy<Value = String> {
    let quoted = |text: BoxedStrategy<String>| spaced(text.prop_map(|text| format!("\"{text}\"")), JSON_SPACES);
    let number = || quoted("[0-9a-fA-F]{8}|[0-9a-f]{1,8}".boxed());
    let texts = (
        quoted("[ !#-\\[\\]-~]{0,70}".boxed()),
        quoted("[0-9a-f]{8}|[a-z]{0,9}".boxed()),
        quoted("([0-9a-f]{2}){0,8}|[a-z]{0,9}".boxed()),
    );
    let none = select(&["null", "\"\""][..]).prop_map(|none| Some(none.to_owned()));
    let version = prop_oneof![Just(None), number().prop_map(Some), none];
    let params = (texts, number(), number(), version).prop_map(|((user, job, extranonce2), ntime, nonce, version)| {
        array([user, job, extranonce2, ntime, nonce].into_iter().chain(version).collect())
    });
    let id = prop_oneof![Just("null".to_owned()), "0|[1-9][0-9]{0,30}", "\"[a-z0-9-]{0,12}\""];
    let method = Just(r#""mining.submit""#.to_owned());
    let members =
        (member(KEYS[0], id, JSON_SPACES), member(KEYS[1], method, JSON_SPACES), member(KEYS[2], params, JSON_SPACES));
    let shuffled = members.prop_flat_map(|(id, method, params)| Just(vec![id, method, params]).prop_shuffle());
    (shuffled, select(JSON_SPACES)).prop_map(|(members, end)| object(members) + end)
}

/// What is wrong, or only rare, in a submit; the numbers are places in it.
#[derive(Clone, Debug)]
enum Oddity {
    /// A member has another value.
    Value(prop::sample::Index, &'static str),
    /// A parameter has another value.
    Param(prop::sample::Index, &'static str),
    /// One parameter more.
    MoreParams(prop::sample::Index, &'static str),
    /// One less.
    FewerParams(prop::sample::Index),
    /// A member under another name.
    Key(prop::sample::Index, &'static str),
    /// A member twice.
    Again(prop::sample::Index),
    /// A member less.
    Without(prop::sample::Index),
}

fn oddity() -> impl Strategy<Value = Oddity> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        (place(), select(&VALUES[..])).prop_map(|(at, value)| Oddity::Value(at, value)),
        (place(), select(&VALUES[..])).prop_map(|(at, value)| Oddity::Param(at, value)),
        (place(), select(&VALUES[..])).prop_map(|(at, value)| Oddity::MoreParams(at, value)),
        place().prop_map(Oddity::FewerParams),
        (place(), select(&KEYS[..])).prop_map(|(at, key)| Oddity::Key(at, key)),
        place().prop_map(Oddity::Again),
        place().prop_map(Oddity::Without),
    ]
}

/// A submit with some oddities, its parts joined by this space.
fn with_oddities(oddities: &[Oddity], space: &str) -> String {
    let mut params = vec![VALUES[0], VALUES[1], VALUES[2], VALUES[4], VALUES[5], VALUES[6]];
    for oddity in oddities {
        match oddity {
            Oddity::Param(at, value) => *at.get_mut(&mut params) = value,
            Oddity::MoreParams(at, value) => params.insert(at.index(params.len()), value),
            Oddity::FewerParams(at) => drop(params.remove(at.index(params.len()))),
            _ => {}
        }
    }
    let params = format!("[{}]", params.join(&format!("{space},{space}")));
    let mut members = vec![(KEYS[0], "7"), (KEYS[1], r#""mining.submit""#), (KEYS[2], &params)];
    for oddity in oddities {
        match oddity {
            Oddity::Value(at, value) => at.get_mut(&mut members).1 = value,
            Oddity::Key(at, key) => at.get_mut(&mut members).0 = key,
            Oddity::Again(at) => members.push(*at.get(&members)),
            Oddity::Without(at) if members.len() > 1 => drop(members.remove(at.index(members.len()))),
            _ => {}
        }
    }
    object(members.iter().map(|(key, value)| format!("{space}{key}{space}:{space}{value}{space}")).collect())
}

fn conversation(seeds: [&'static str; 2]) -> impl Strategy<Value = Vec<u8>> {
    (select(seeds.to_vec()), vec(damage(), 0..8)).prop_map(|(text, damages)| damaged(text, &damages))
}

#[test]
fn undamaged_conversations_do_no_harm() {
    MINER.iter().for_each(|text| checks::miner_lines(text.as_bytes()));
    POOL.iter().for_each(|text| checks::pool_lines(text.as_bytes()));
    CONFIG.iter().for_each(|text| checks::config(text.as_bytes()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..400)) {
        checks::miner_lines(&bytes);
        checks::pool_lines(&bytes);
        checks::config(&bytes);
    }

    #[test]
    fn a_damaged_conversation_of_a_miner_does_no_harm(bytes in conversation(MINER)) {
        checks::miner_lines(&bytes);
    }

    #[test]
    fn a_damaged_conversation_of_a_pool_does_no_harm(bytes in conversation(POOL)) {
        checks::pool_lines(&bytes);
    }

    #[test]
    fn a_usual_submit_is_read_in_one_pass_and_means_what_json_says(line in usual_submit()) {
        prop_assert!(checks::submit_line(line.as_bytes()), "not recognised");
    }

    #[test]
    fn every_kernel_hashes_any_share_as_sha2_does(bytes in vec(any::<u8>(), 0..100)) {
        checks::kernels(&bytes);
    }

    #[test]
    fn a_damaged_config_does_no_harm(bytes in conversation(CONFIG)) {
        checks::config(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_submit_means_what_json_says(line in usual_submit(), damages in vec(damage(), 1..5)) {
        checks::submit_line(&damaged(&line, &damages));
    }

    #[test]
    fn an_odd_submit_means_what_json_says(oddities in vec(oddity(), 1..3), space in select(&SPACES[..])) {
        checks::submit_line(with_oddities(&oddities, space).as_bytes());
    }
}
