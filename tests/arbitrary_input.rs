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
    fn a_damaged_config_does_no_harm(bytes in conversation(CONFIG)) {
        checks::config(&bytes);
    }
}
