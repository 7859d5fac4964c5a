//! `[[listener]]`: keys, ranges and defaults of an address that miners connect to.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{
    Answer, Listener, Vardiff,
    error::Wrong,
    raw::Section,
    units,
    validate::{TIMEOUT, secs, socket_address},
    value,
};
use crate::work::Difficulty;

/// The version bits of BIP 320, general purpose for miners.
const BIP320_MASK: u32 = 0x1fff_e000;

/// The version bits of the BIP 323 draft, the most that any pool was seen to grant.
const BIP323_MASK: u32 = 0x1fff_ffe0;

/// One `[[listener]]`. `None` only if a problem was reported.
pub(super) fn read(section: &mut Section<'_, '_>, name: &Arc<str>) -> Option<Listener> {
    let listen = section.required(
        "listen",
        "write listen = \"127.0.0.1:3333\"",
        value::parsed("\"127.0.0.1:3333\"", socket_address),
    );
    let extranonce2_size = section.or("extranonce2_size", 4, value::integer(2..=8));
    if !matches!(extranonce2_size, 2 | 4 | 8) {
        section.warn(
            "extranonce2_size",
            Wrong::new("NerdMiner works only with 2, 4 or 8", "write 4 unless no NerdMiner comes here"),
        );
    }
    let version_mask = version_mask(section);
    let keep_alive = section.or("keep_alive", secs(45), value::duration(secs(30)..=secs(55)));
    let answer = answer(section);
    let vardiff = vardiff(section);
    let layout_wait = section.or("layout_wait", secs(10), value::duration(Duration::ZERO..=secs(30)));
    section.refuse_unknown_keys();
    Some(Listener {
        name: name.clone(),
        listen: listen?,
        version_mask,
        extranonce2_size,
        keep_alive,
        answer,
        vardiff,
        layout_wait,
    })
}

fn version_mask(section: &mut Section<'_, '_>) -> u32 {
    let mask = section.or("version_mask", BIP320_MASK, value::parsed("\"1fffe000\"", units::version_mask));
    if mask & !BIP323_MASK != 0 {
        let what = format!(
            "has bits ({:08x}) that are not the miners' to roll: neither BIP 320 nor the BIP 323 draft has them",
            mask & !BIP323_MASK
        );
        section.error("version_mask", Wrong::new(what, "write \"1fffe000\""));
    } else if mask & !BIP320_MASK != 0 {
        section.warn(
            "version_mask",
            Wrong::new(
                "has bits beyond BIP 320 (1fffe000)",
                "keep them only if every pool here follows the BIP 323 draft",
            ),
        );
    } else if mask == 0 {
        section.warn(
            "version_mask",
            Wrong::new(
                "is 0, and cgminer calls a pool dead that grants no bits",
                "write \"1fffe000\" unless no miner here rolls versions",
            ),
        );
    }
    mask
}

fn answer(section: &mut Section<'_, '_>) -> Answer {
    let has_timeout = section.has("answer_timeout");
    let timeout = section.or("answer_timeout", secs(10), value::duration(TIMEOUT));
    let answer = section.or(
        "answer",
        Answer::Proxy,
        value::choice(&[("proxy", Answer::Proxy), ("pool", Answer::Pool { timeout })]),
    );
    if has_timeout && answer == Answer::Proxy {
        section.warn(
            "answer_timeout",
            Wrong::new("has no effect, as the proxy answers", "write answer = \"pool\", or leave it out"),
        );
    }
    answer
}

fn vardiff(section: &mut Section<'_, '_>) -> Vardiff {
    let shares_per_minute = section.or("shares_per_minute", 18.0, value::number(0.1..=600.0));
    let min = section.or("min_difficulty", difficulty(1.0), value::difficulty_or_hashrate(shares_per_minute));
    let max = section.optional("max_difficulty", value::difficulty_or_hashrate(shares_per_minute));
    let start = section.optional("difficulty", value::difficulty_or_hashrate(shares_per_minute));
    if max.is_some_and(|max| max < min) {
        section.error(
            "max_difficulty",
            Wrong::new(format!("is below min_difficulty, which is {min}"), "raise it, or lower min_difficulty"),
        );
    } else if start.is_some_and(|start| start < min || max.is_some_and(|max| start > max)) {
        section.error(
            "difficulty",
            Wrong::new("does not lie between min_difficulty and max_difficulty", "move it, or them"),
        );
    }
    // The default start gives way to bounds that were chosen.
    let mut start = start.unwrap_or(difficulty(65_536.0));
    if start < min {
        start = min;
    }
    if let Some(max) = max.filter(|max| start > *max) {
        start = max;
    }
    Vardiff { start, min, max, shares_per_minute }
}

/// Two sockets cannot share an address: with `SO_REUSEPORT` the system would even allow it, and deal the
/// connections out between them.
pub(super) fn refuse_shared_addresses(
    sections: &[Section<'_, '_>],
    listeners: &[Option<Listener>],
    others: &[(SocketAddr, &str)],
) {
    let mut taken: Vec<(SocketAddr, String)> =
        others.iter().map(|(address, owner)| (*address, (*owner).to_owned())).collect();
    for (section, listener) in sections.iter().zip(listeners) {
        let Some(listener) = listener else { continue };
        if let Some((_, owner)) = taken.iter().find(|(address, _)| overlap(*address, listener.listen)) {
            section.error(
                "listen",
                Wrong::new(format!("{} is taken by {owner}", listener.listen), "give it another port"),
            );
        }
        taken.push((listener.listen, format!("listener \"{}\"", listener.name)));
    }
}

/// Whether a connection could belong to both. Port 0 asks the system for a free one, so it meets nobody;
/// `[::]` takes IPv4 too.
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let takes = |wide: SocketAddr, other: SocketAddr| wide.ip().is_unspecified() && (wide.is_ipv6() || other.is_ipv4());
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || takes(a, b) || takes(b, a))
}

fn difficulty(constant: f64) -> Difficulty {
    Difficulty::new(constant).expect("defaults are above zero")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        Config,
        validate::tests::{MINIMAL, NoEnv, lines},
    };

    /// The smallest config with these lines added to its listener.
    fn with_listener(added: &str) -> Result<(Config, Vec<String>), Vec<String>> {
        let text = MINIMAL.replace("[[pool]]", &format!("{added}\n[[pool]]"));
        let warnings = |warnings: Vec<crate::config::Warning>| warnings.iter().map(ToString::to_string).collect();
        Config::parse(&text, &NoEnv).map(|(config, list)| (config, warnings(list))).map_err(|errors| lines(&errors))
    }

    #[test]
    fn listeners_do_not_share_an_address() {
        let more = |listen: &str| {
            format!(
                "[[listener]]\nlisten = \"127.0.0.1:3333\"\n[[listener]]\nlisten = \"{listen}\"\n[[pool]]\nurl = \"sim://\"\nuser = \"a\"\n"
            )
        };
        for taken in ["127.0.0.1:3333", "0.0.0.0:3333", "[::]:3333"] {
            let errors = lines(&Config::parse(&more(taken), &NoEnv).unwrap_err());
            assert_eq!(errors.len(), 1);
            assert!(
                errors[0].contains(&format!("listener[2].listen: {taken} is taken by listener \"listener-1\"")),
                "{errors:?}"
            );
        }
        for free in ["127.0.0.2:3333", "[::1]:3333", "127.0.0.1:3334"] {
            Config::parse(&more(free), &NoEnv).unwrap();
        }
        let with_metrics = format!("[metrics]\nlisten = \"127.0.0.1:3333\"\n{}", more("127.0.0.1:3334"));
        assert!(lines(&Config::parse(&with_metrics, &NoEnv).unwrap_err())[0].contains("is taken by metrics"));
    }

    #[test]
    fn difficulties_are_ordered_and_the_default_start_gives_way() {
        let (config, _) = with_listener("max_difficulty = 1024").unwrap();
        assert_eq!(config.listeners[0].vardiff.start.get(), 1024.0);
        let (config, _) = with_listener("difficulty = \"200 TH/s\"").unwrap();
        assert_eq!(config.listeners[0].vardiff.start.get().round(), 155_220.0);
        assert!(
            with_listener("difficulty = 5\nmin_difficulty = 10").unwrap_err()[0]
                .contains("listener[1].difficulty: does not lie between")
        );
        assert!(
            with_listener("max_difficulty = 5\nmin_difficulty = 10").unwrap_err()[0]
                .contains("listener[1].max_difficulty: is below min_difficulty, which is 10")
        );
        assert!(with_listener("shares_per_minute = nan").unwrap_err()[0].contains("nan is out of range"));
    }

    #[test]
    fn what_works_but_surprises_is_a_warning() {
        for (added, what) in [
            ("version_mask = \"1fffffe0\"", "beyond BIP 320"),
            ("version_mask = \"0\"", "cgminer calls a pool dead"),
            ("extranonce2_size = 6", "NerdMiner"),
            ("answer_timeout = \"5s\"", "has no effect"),
        ] {
            let (_, warnings) = with_listener(added).unwrap();
            assert_eq!(warnings.len(), 1, "{added}");
            assert!(warnings[0].contains(what), "{warnings:?}");
        }
    }

    #[test]
    fn the_pool_may_answer_for_shares() {
        let (config, warnings) = with_listener("answer = \"pool\"\nanswer_timeout = \"5s\"").unwrap();
        assert_eq!(config.listeners[0].answer, Answer::Pool { timeout: secs(5) });
        assert_eq!(warnings, [""; 0]);
    }
}
