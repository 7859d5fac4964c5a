//! What a firmware needs, as data.
//!
//! Firmware is recognised by its user agent, which may be wrong or missing: every miner works without a row here, a row makes its
//! start better. Source of the rows: `cgminer`, `ESP-Miner`, `NerdMiner_v2`, `bmminer` sources, and operators' issues.

use crate::downstream::vardiff::Step;

/// One row: what is done differently for a firmware.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quirks {
    /// What logs call it.
    pub name: &'static str,
    /// Its user agents hold this, in any case.
    agent: &'static str,
    /// Rounding of its difficulties.
    pub step: Step,
    /// Where its difficulty starts if nothing better is known.
    pub start_difficulty: Option<f64>,
    /// Extranonce2 sizes it works with, in bytes.
    pub extranonce2_sizes: &'static [u8],
}

/// cgminer and bmminer subscribe with up to 16 but refuse to submit more than 8.
const UP_TO_8: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8];

const UNKNOWN: Quirks =
    Quirks { name: "other", agent: "", step: Step::Fine, start_difficulty: None, extranonce2_sizes: UP_TO_8 };

/// The first row that matches counts.
#[rustfmt::skip]
const TABLE: &[Quirks] = &[
    Quirks { name: "nerdminer", agent: "nerdminer", start_difficulty: Some(0.00015), extranonce2_sizes: &[2, 4, 8], ..UNKNOWN },
    Quirks { name: "nerdqaxe", agent: "nerdqaxe", start_difficulty: Some(1024.0), ..UNKNOWN },
    Quirks { name: "bitaxe", agent: "bitaxe", start_difficulty: Some(512.0), ..UNKNOWN },
    Quirks { name: "nicehash", agent: "nicehash", start_difficulty: Some(524_288.0), extranonce2_sizes: &[4, 5, 6, 7, 8], ..UNKNOWN },
    Quirks { name: "luxminer", agent: "luxminer", start_difficulty: Some(65_536.0), ..UNKNOWN },
    Quirks { name: "bosminer", agent: "bosminer", start_difficulty: Some(65_536.0), ..UNKNOWN },
    Quirks { name: "whatsminer", agent: "whatsminer", step: Step::PowerOfTwo, start_difficulty: Some(65_536.0), ..UNKNOWN },
    Quirks { name: "antminer", agent: "antminer", step: Step::PowerOfTwo, start_difficulty: Some(65_536.0), ..UNKNOWN },
    Quirks { name: "bmminer", agent: "bmminer", step: Step::PowerOfTwo, start_difficulty: Some(16_384.0), ..UNKNOWN },
    Quirks { name: "vnish", agent: "xminer-1.", start_difficulty: Some(65_536.0), ..UNKNOWN },
    Quirks { name: "epic", agent: "powerplay-bm", start_difficulty: Some(65_536.0), ..UNKNOWN },
    // Avalon reports itself as cgminer.
    Quirks { name: "cgminer", agent: "cgminer", step: Step::PowerOfTwo, ..UNKNOWN },
    Quirks { name: "cpuminer", agent: "cpuminer", start_difficulty: Some(0.001), ..UNKNOWN },
    Quirks { name: "btcagent", agent: "btccom-agent", ..UNKNOWN },
    Quirks { name: "ckproxy", agent: "ckpool", ..UNKNOWN },
];

impl Quirks {
    /// What is known of this user agent.
    pub fn of(user_agent: &str) -> &'static Self {
        let user_agent = user_agent.to_ascii_lowercase();
        TABLE.iter().find(|row| user_agent.contains(row.agent)).unwrap_or(&UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_user_agents_find_their_row() {
        for (agent, name) in [
            ("cgminer/4.11.1", "cgminer"),
            ("bmminer/2.0.0", "bmminer"),
            ("Antminer S21/…", "antminer"),
            ("Antminer S19k Pro|LUXminer 2024.1|abc", "luxminer"),
            ("whatsminer/v1.0", "whatsminer"),
            ("x;bosminer-plus-tuner 0.2", "bosminer"),
            ("bitaxe/BM1370/v2.12.2", "bitaxe"),
            ("NerdQAxe++/BM1370/v1", "nerdqaxe"),
            ("NerdMinerV2/1.7", "nerdminer"),
            ("cpuminer/2.5.1", "cpuminer"),
            ("xminer-1.2.6", "vnish"),
            ("PowerPlay-BM/1", "epic"),
            ("NiceHash/1.0.0", "nicehash"),
            ("btccom-agent/2", "btcagent"),
            ("ckpool/1.0", "ckproxy"),
            ("", "other"),
        ] {
            assert_eq!(Quirks::of(agent).name, name, "{agent}");
        }
    }
}
