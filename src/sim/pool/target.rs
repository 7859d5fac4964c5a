//! Difficulty and target, by the definition: `floor(0xFFFF · 2^208 / difficulty)` over big integers.
//!
//! Knows nothing of jobs. The difficulty is taken from its decimal text, the very text that goes over the wire, so that
//! `0.1` is a tenth here and not the nearest double. Slow on purpose: targets are computed once per change, shares only compare.

use num_bigint::BigUint;

use super::settings::PoolError;

/// Easiest share difficulty the pool asks for; below about 2.3e-10 every hash is a share.
pub const MIN_DIFFICULTY: f64 = 1e-10;
/// Hardest share difficulty the pool asks for, above that of mainnet's blocks.
pub const MAX_DIFFICULTY: f64 = 1e15;

/// A 256-bit bound on a header hash, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target([u8; 32]);

impl Target {
    /// The target of a difficulty in plain decimal text (`"8192.5"`, no exponent); `None` if it is no positive number.
    /// Saturates at 2^256 − 1.
    #[must_use]
    pub fn from_decimal(text: &str) -> Option<Target> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{fraction}");
        let divisor = BigUint::parse_bytes(digits.as_bytes(), 10)?;
        if divisor == BigUint::ZERO {
            return None;
        }
        let scale = BigUint::from(10u8).pow(u32::try_from(fraction.len()).ok()?);
        let target = (BigUint::from(0xffffu32) << 208u32) * scale / divisor;
        Some(Self::from_integer(&target).unwrap_or(Target([0xff; 32])))
    }

    /// The target of a header's compact `nbits`; `None` if zero, negative or over 256 bits.
    #[must_use]
    pub fn from_nbits(nbits: u32) -> Option<Target> {
        let mantissa = nbits & 0x007f_ffff;
        if mantissa == 0 || nbits & 0x0080_0000 != 0 {
            return None;
        }
        let exponent = nbits >> 24;
        let target = if exponent >= 3 {
            BigUint::from(mantissa) << (8 * (exponent - 3))
        } else {
            BigUint::from(mantissa >> (8 * (3 - exponent)))
        };
        (target != BigUint::ZERO)
            .then(|| Self::from_integer(&target))
            .flatten()
    }

    fn from_integer(value: &BigUint) -> Option<Target> {
        let bytes = value.to_bytes_be();
        let mut padded = [0; 32];
        padded[32usize.checked_sub(bytes.len())?..].copy_from_slice(&bytes);
        Some(Target(padded))
    }

    /// Whether a header hash, in the byte order SHA-256 gives it, is at or below the target.
    #[must_use]
    pub fn is_met_by(&self, hash: &[u8; 32]) -> bool {
        hash.iter().rev().le(self.0.iter())
    }

    /// The target as 64 hex digits, most significant first.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

/// A share difficulty with the text that announces it and the target that enforces it.
#[derive(Debug, Clone, PartialEq)]
pub struct ShareDifficulty {
    value: f64,
    text: String,
    target: Target,
}

impl ShareDifficulty {
    /// Takes a difficulty of [`MIN_DIFFICULTY`] to [`MAX_DIFFICULTY`].
    ///
    /// # Errors
    /// [`PoolError::Difficulty`] for anything else, NaN included.
    pub fn new(value: f64) -> Result<ShareDifficulty, PoolError> {
        if !(MIN_DIFFICULTY..=MAX_DIFFICULTY).contains(&value) {
            return Err(PoolError::Difficulty(value));
        }
        // `Display` gives the shortest decimal that reads back as the same double, never an exponent.
        let text = value.to_string();
        let target = Target::from_decimal(&text).ok_or(PoolError::Difficulty(value))?;
        Ok(ShareDifficulty {
            value,
            text,
            target,
        })
    }

    /// The difficulty as a number, for sums and reports.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The difficulty as it is written in `mining.set_difficulty`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The target that a share has to meet.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_decimal_texts_are_exact() {
        for (decimal, target) in [
            (
                "1",
                "00000000ffff0000000000000000000000000000000000000000000000000000",
            ),
            (
                "0.001",
                "000003e7fc180000000000000000000000000000000000000000000000000000",
            ),
            (
                "8192.5",
                "000000000007ffd8009ffd8009ffd8009ffd8009ffd8009ffd8009ffd8009ffd",
            ),
            (
                "1000000",
                "00000000000010c6e6d9be4cd74927913e81450efdc9c4da9003eea209aaa3ad",
            ),
            (
                "126411437451912.23",
                "000000000000000000023a0400000000062bc4db49fa025d0810a41fb347ee26",
            ),
            (
                "0.0000000001",
                "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            ),
        ] {
            assert_eq!(
                Target::from_decimal(decimal).unwrap().to_hex(),
                target,
                "difficulty {decimal}"
            );
        }
        assert_eq!(Target::from_decimal("0"), None);
        assert_eq!(Target::from_decimal("1e3"), None);
    }

    #[test]
    fn difficulties_write_themselves_without_exponent() {
        assert_eq!(ShareDifficulty::new(1024.0).unwrap().text(), "1024");
        assert_eq!(ShareDifficulty::new(1e-9).unwrap().text(), "0.000000001");
        assert_eq!(
            ShareDifficulty::new(1e15).unwrap().text(),
            "1000000000000000"
        );
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-11] {
            assert!(ShareDifficulty::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn compact_targets_follow_consensus() {
        let hex = |nbits| Target::from_nbits(nbits).map(|target| target.to_hex());
        assert_eq!(
            hex(0x1d00_ffff).unwrap(),
            "00000000ffff0000000000000000000000000000000000000000000000000000"
        );
        assert_eq!(
            hex(0x207f_ffff).unwrap(),
            "7fffff0000000000000000000000000000000000000000000000000000000000"
        );
        assert_eq!(hex(0x1d80_ffff), None, "negative");
        assert_eq!(hex(0x2300_ffff), None, "wider than 256 bits");
        assert_eq!(hex(0x1d00_0000), None, "zero");
    }

    #[test]
    fn the_bound_itself_is_met() {
        let target = Target::from_decimal("1").unwrap();
        let mut hash = target.0;
        hash.reverse();
        assert!(target.is_met_by(&hash));
        hash[0] = 1;
        assert!(!target.is_met_by(&hash));
    }
}
