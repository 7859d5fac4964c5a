//! Values with units, from the text an operator writes to the number the program uses.
//! Knows nothing of keys, files or ranges: those belong to the reader and to validation.
//!
//! | kind        | written as                         | becomes                |
//! |-------------|------------------------------------|------------------------|
//! | duration    | `"5s"`, `"1m 30s"`, `"250ms"`      | [`Duration`]           |
//! | size        | `"16 KiB"`, `"64 kB"`, `"4096"`    | bytes                  |
//! | difficulty  | `"65536"`, `"64k"`, `"1.5M"`       | [`Difficulty`]         |
//! | hashrate    | `"100 TH/s"`, `"500 kH/s"`         | hashes per second      |
//! | mask        | `"1fffe000"`, `"0x1fffe000"`       | version bits as `u32`  |
//! | fingerprint | `"sha256:AB:CD:…"`, 32 bytes       | SHA-256 of the leaf certificate |
//!
//! `k`, `M`, `G` … of a difficulty or hashrate are powers of 1000, as pools and firmware write them.

use std::time::Duration;

use super::error::{Wrong, shown};
use crate::work::{Difficulty, HASHES_PER_DIFFICULTY};

/// `"5s"`, `"1m 30s"`.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    humantime::parse_duration(text.trim()).map_err(|_| {
        Wrong::new(
            format!("{} is not a duration", shown(text)),
            "write a number with a unit: \"250ms\", \"5s\", \"2m\", \"1h\"",
        )
    })
}

/// A duration as an operator would write it: days stay days, where `humantime` makes months of 30.44 days of them.
pub(super) fn time(duration: Duration) -> String {
    const DAY: u64 = 86_400;
    let seconds = duration.as_secs();
    let is_days = duration.subsec_nanos() == 0 && seconds >= 2 * DAY && seconds.is_multiple_of(DAY);
    if is_days { format!("{}days", seconds / DAY) } else { humantime::format_duration(duration).to_string() }
}

/// `"16 KiB"`, in bytes. A bare number is bytes.
pub(super) fn size(text: &str) -> Result<usize, Wrong> {
    let (number, unit) = split_unit(text);
    let factor = match unit {
        "" | "B" => Some(1_u64),
        "kB" | "KB" => Some(1000),
        "MB" => Some(1000 * 1000),
        "KiB" => Some(1024),
        "MiB" => Some(1024 * 1024),
        _ => None,
    };
    factor
        .zip(number.parse::<u64>().ok())
        .and_then(|(factor, number)| usize::try_from(number.checked_mul(factor)?).ok())
        .ok_or_else(|| {
            Wrong::new(
                format!("{} is not a size", shown(text)),
                "write a whole number with B, kB, MB, KiB or MiB: \"16 KiB\"",
            )
        })
}

/// `"64k"` = 64 000.
pub(super) fn difficulty(text: &str) -> Result<Difficulty, Wrong> {
    let (number, unit) = split_unit(text);
    number
        .parse::<f64>()
        .ok()
        .zip(si_factor(unit))
        .and_then(|(number, factor)| Difficulty::new(number * factor))
        .ok_or_else(|| not_a_difficulty(&shown(text)))
}

/// What to say of `value`, already quoted, when it cannot be a difficulty.
pub(super) fn not_a_difficulty(value: &str) -> Wrong {
    Wrong::new(format!("{value} is not a difficulty"), "write a number above 0: 65536, \"64k\" or \"1M\" (k is 1000)")
}

/// Hashes per second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Hashrate(f64);

impl Hashrate {
    /// The difficulty at which a miner of this rate finds `shares_per_minute`; `None` beyond what a
    /// difficulty can be.
    pub fn difficulty_for(self, shares_per_minute: f64) -> Option<Difficulty> {
        Difficulty::new(self.0 * 60.0 / shares_per_minute / HASHES_PER_DIFFICULTY)
    }
}

/// `"100 TH/s"`.
pub(super) fn hashrate(text: &str) -> Result<Hashrate, Wrong> {
    let (number, unit) = split_unit(text);
    number
        .parse::<f64>()
        .ok()
        .zip(unit.strip_suffix("H/s").and_then(si_factor))
        .map(|(number, factor)| number * factor)
        .filter(|rate| rate.is_finite() && *rate > 0.0)
        .map(Hashrate)
        .ok_or_else(|| {
            Wrong::new(
                format!("{} is not a hashrate", shown(text)),
                "write a number above 0 with H/s, kH/s, MH/s, GH/s, TH/s, PH/s or EH/s: \"100 TH/s\"",
            )
        })
}

/// `"1fffe000"`: up to eight hex digits, `0x` allowed.
pub(super) fn version_mask(text: &str) -> Result<u32, Wrong> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    Some(digits)
        .filter(|digits| (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or_else(|| {
            Wrong::new(
                format!("{} is not a version mask", shown(text)),
                "write up to eight hex digits in quotes: \"1fffe000\"",
            )
        })
}

/// `"sha256:<64 hex digits>"`, colons between the bytes allowed: as `openssl x509 -fingerprint -sha256` prints it.
pub(super) fn fingerprint(text: &str) -> Result<[u8; 32], Wrong> {
    const HELP: &str = "write \"sha256:\" and the 64 hex digits that `openssl x509 -noout -fingerprint -sha256` prints for the pool's certificate";
    let (algorithm, digits) = text.split_once(':').unwrap_or(("", text));
    if !algorithm.eq_ignore_ascii_case("sha256") {
        return Err(Wrong::new(format!("{} is not a fingerprint", shown(text)), HELP));
    }
    let digits: String = digits.chars().filter(|c| *c != ':').collect();
    if let Some(stranger) = digits.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(Wrong::new(
            format!("the fingerprint has {} where a hex digit belongs", shown(&stranger.to_string())),
            HELP,
        ));
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(&digits, &mut bytes)
        .map_err(|_| Wrong::new(format!("the fingerprint has {} hex digits instead of 64", digits.len()), HELP))?;
    Ok(bytes)
}

/// The number and the unit behind it, spaces between and around them dropped. The exponent of `1e-6` is
/// part of the number; an `E` that a digit or sign does not follow is exa.
pub(super) fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let bytes = text.as_bytes();
    let exponent = |at: usize| {
        matches!(bytes[at], b'e' | b'E')
            && at > 0
            && bytes.get(at + 1).is_some_and(|next| next.is_ascii_digit() || matches!(next, b'-' | b'+'))
    };
    let end = (0..bytes.len())
        .find(|&at| !(bytes[at].is_ascii_digit() || matches!(bytes[at], b'.' | b'-' | b'+') || exponent(at)))
        .unwrap_or(bytes.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

fn si_factor(prefix: &str) -> Option<f64> {
    Some(match prefix {
        "" => 1.0,
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_is_shown_as_it_is_written() {
        for written in ["5s", "1m 30s", "1day", "1day 12h", "30days", "32days", "365days"] {
            let parsed = duration(written).unwrap();
            assert_eq!(time(parsed), written);
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("5s").unwrap(), Duration::from_secs(5));
        assert_eq!(duration("1m 30s").unwrap(), Duration::from_secs(90));
        for wrong in ["", "5", "s", "-5s", "5 parsecs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_tell_kb_from_kib() {
        assert_eq!(size("16 KiB").unwrap(), 16_384);
        assert_eq!(size("16kB").unwrap(), 16_000);
        assert_eq!(size(" 4096 ").unwrap(), 4096);
        for wrong in ["", "KiB", "-1", "1.5 KiB", "1 GiB", "99999999999999 MiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_difficulty_may_carry_a_power_of_1000() {
        assert_eq!(difficulty("64k").unwrap().get(), 64_000.0);
        assert_eq!(difficulty("1.5 M").unwrap().get(), 1_500_000.0);
        assert_eq!(difficulty("1e-6").unwrap().get(), 1e-6);
        for wrong in ["", "0", "-1", "nan", "inf", "64x", "1e400", "e5"] {
            assert!(difficulty(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_hashrate_becomes_the_difficulty_that_keeps_the_share_rate() {
        let s21 = hashrate("200 TH/s").unwrap().difficulty_for(18.0).unwrap();
        assert_eq!(s21.get().round(), 155_220.0);
        assert_eq!(hashrate("1 EH/s").unwrap(), Hashrate(1e18));
        for wrong in ["100", "100 T", "-1 H/s", "nan H/s", "0 H/s", "5 XH/s"] {
            assert!(hashrate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn masks_are_hex_of_at_most_32_bits() {
        assert_eq!(version_mask("1fffe000").unwrap(), 0x1fff_e000);
        assert_eq!(version_mask("0x00c00000").unwrap(), 0x00c0_0000);
        for wrong in ["", "0x", "1fffe0000", "+1fffe00", "xyz"] {
            assert!(version_mask(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_fingerprint_of_the_wrong_length_is_counted() {
        assert_eq!(fingerprint(&format!("sha256:{}", "ab".repeat(32))).unwrap(), [0xab; 32]);
        assert_eq!(fingerprint(&format!("SHA256:{}", vec!["AB"; 32].join(":"))).unwrap(), [0xab; 32]);
        assert!(fingerprint("sha256:abcd").unwrap_err().what.contains("4 hex digits instead of 64"));
        assert!(fingerprint(&"ab".repeat(32)).is_err());
        assert!(fingerprint("sha1:abcd").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = (duration(&text), size(&text), difficulty(&text), hashrate(&text), version_mask(&text), fingerprint(&text));
        }

        #[test]
        fn no_number_with_a_unit_panics(text in "[-+0-9.eE]{0,8} ?[kKMGTPEiBHs/]{0,4}") {
            let _ = (duration(&text), size(&text), difficulty(&text), hashrate(&text));
        }
    }
}
