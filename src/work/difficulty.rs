//! Difficulty, target and hashrate: how hard a share is, and how fast shares of that hardness are found.
//!
//! Knows numbers only; knows nothing of jobs, pools or miners.
//!
//! | unit | meaning |
//! |---|---|
//! | [`Difficulty`] | how many times harder than difficulty 1, which is `2^32 · 65536/65535` hashes on average |
//! | [`Target`] | the largest 256-bit hash that still counts: `floor(0xFFFF · 2^208 / difficulty)` |
//! | [`Hashrate`] | hashes per second: `difficulty · 2^32` per share, over the time between shares |
//!
//! Targets are exact 256-bit integers made from the *decimal text* of a difficulty, because pools send decimals and compare
//! integers; a difference in the last bit is a rejected share. Doubles are for reports only.

use std::fmt;

use num_bigint::BigUint;

/// Hashes that one share of difficulty 1 stands for, as every pool accounts it (2^32).
pub const HASHES_PER_DIFFICULTY: f64 = 4_294_967_296.0;

/// The hardness of a share relative to difficulty 1. Always finite and above zero.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Difficulty(f64);

impl Difficulty {
    /// Difficulty 1: a target of `0xFFFF · 2^208`.
    pub const ONE: Self = Self(1.0);

    /// `None` unless the value is finite and above zero.
    pub fn new(value: f64) -> Option<Self> {
        (value.is_finite() && value > 0.0).then_some(Self(value))
    }

    /// The plain number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The easier of the two.
    pub fn min(self, other: Self) -> Self {
        if other.0 < self.0 { other } else { self }
    }

    /// The harder of the two.
    pub fn max(self, other: Self) -> Self {
        if other.0 > self.0 { other } else { self }
    }

    /// The exact target: `floor(0xFFFF · 2^208 / difficulty)`, saturating at [`Target::MAX`].
    ///
    /// The difficulty is read as the shortest decimal that denotes this double, which is the decimal a pool sent (up to 17
    /// digits), so that `0.001` means one thousandth and not the nearest binary fraction.
    pub fn target(self) -> Target {
        let text = format!("{:e}", self.0);
        let (mantissa, exponent) = text.split_once('e').expect("`{:e}` always writes an exponent");
        let exponent: i32 = exponent.parse().expect("`{:e}` writes a decimal exponent");
        let decimals = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i32);
        let digits: u64 =
            mantissa.replace('.', "").parse().expect("a double has at most 17 significant decimal digits");
        let power = exponent - decimals;
        let ten = BigUint::from(10u8);
        let mut numerator = BigUint::from(0xFFFFu32) << 208u32;
        let mut denominator = BigUint::from(digits);
        if power >= 0 {
            denominator *= ten.pow(power.unsigned_abs());
        } else {
            numerator *= ten.pow(power.unsigned_abs());
        }
        Target::from_biguint(&(numerator / denominator))
    }
}

impl fmt::Display for Difficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The largest hash that still counts, as a 256-bit integer; most significant limb first, so that the derived order is numeric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target([u64; 4]);

impl Target {
    /// Every hash meets it.
    pub const MAX: Self = Self([u64::MAX; 4]);

    /// From 32 bytes, most significant first (the way explorers print it).
    pub fn from_be_bytes(bytes: [u8; 32]) -> Self {
        let mut limbs = [0; 4];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = u64::from_be_bytes(chunk.try_into().expect("chunks of eight"));
        }
        Self(limbs)
    }

    /// To 32 bytes, most significant first.
    pub fn to_be_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_be_bytes());
        }
        bytes
    }

    /// From the header's `nbits` (Bitcoin Core `arith_uint256::SetCompact`). `None` if it is negative, zero or over 256 bits.
    pub fn from_compact(nbits: u32) -> Option<Self> {
        let exponent = nbits >> 24;
        let mantissa = nbits & 0x007f_ffff;
        if mantissa == 0 || nbits & 0x0080_0000 != 0 {
            return None;
        }
        let mantissa = BigUint::from(mantissa);
        let value = if exponent <= 3 { mantissa >> (8 * (3 - exponent)) } else { mantissa << (8 * (exponent - 3)) };
        (value.bits() > 0 && value.bits() <= 256).then(|| Self::from_biguint(&value))
    }

    /// Whether a hash counts at this target.
    pub fn is_met_by(&self, hash: &BlockHash) -> bool {
        hash.to_limbs() <= self.0
    }

    /// The difficulty of this target, for reports (a double, not exact).
    pub fn difficulty(self) -> Difficulty {
        Difficulty(difficulty_one_over(self.0))
    }

    fn from_biguint(value: &BigUint) -> Self {
        if value.bits() > 256 {
            return Self::MAX;
        }
        let mut limbs = [0; 4];
        for (index, digit) in value.iter_u64_digits().enumerate() {
            limbs[3 - index] = digit;
        }
        Self(limbs)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.to_be_bytes()))
    }
}

/// A double SHA-256 of a header, in the byte order the hash function yields (least significant byte first).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockHash(pub [u8; 32]);

impl BlockHash {
    /// How hard this hash was to find, for reports (`0xFFFF · 2^208 / hash`).
    pub fn difficulty(&self) -> Difficulty {
        Difficulty(difficulty_one_over(self.to_limbs()))
    }

    /// Eight bytes that tell this hash from every other one of the same job: the least significant ones, which no target forces to zero.
    pub fn fingerprint(&self) -> u64 {
        self.to_limbs()[3]
    }

    fn to_limbs(self) -> [u64; 4] {
        let limb = |at: usize| u64::from_le_bytes(self.0[at..at + 8].try_into().expect("eight bytes"));
        [limb(24), limb(16), limb(8), limb(0)]
    }
}

impl fmt::Display for BlockHash {
    /// As explorers print it: most significant byte first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0;
        bytes.reverse();
        f.write_str(&hex::encode(bytes))
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `0xFFFF · 2^208 / value`; a value of zero is as hard as the smallest one.
fn difficulty_one_over(limbs: [u64; 4]) -> f64 {
    let value = limbs.iter().fold(0.0f64, |sum, limb| sum * 2f64.powi(64) + *limb as f64);
    65535.0 * 2f64.powi(208) / value.max(1.0)
}

/// Hashes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Hashrate(f64);

impl Hashrate {
    /// From hashes per second.
    pub fn from_hs(hashes_per_second: f64) -> Self {
        Self(hashes_per_second)
    }

    /// Hashes per second.
    pub fn hs(self) -> f64 {
        self.0
    }
}

impl std::ops::AddAssign for Hashrate {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl std::iter::Sum for Hashrate {
    fn sum<I: Iterator<Item = Self>>(rates: I) -> Self {
        Self(rates.map(|rate| rate.0).sum())
    }
}

impl fmt::Display for Hashrate {
    /// With the unit that leaves one to three digits before the point: `198 TH/s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["H/s", "kH/s", "MH/s", "GH/s", "TH/s", "PH/s", "EH/s"];
        let mut value = self.0;
        let mut unit = 0;
        while value >= 1000.0 && unit + 1 < UNITS.len() {
            value /= 1000.0;
            unit += 1;
        }
        let decimals = if value >= 100.0 { 0 } else { 1 };
        write!(f, "{value:.decimals$} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target_of(difficulty: f64) -> String {
        Difficulty::new(difficulty).expect("a valid difficulty").target().to_string()
    }

    #[test]
    fn targets_are_exact_integers_of_the_decimal_text() {
        for (difficulty, target) in [
            (1.0, "00000000ffff0000000000000000000000000000000000000000000000000000"),
            (2.0, "000000007fff8000000000000000000000000000000000000000000000000000"),
            (0.5, "00000001fffe0000000000000000000000000000000000000000000000000000"),
            (0.001, "000003e7fc180000000000000000000000000000000000000000000000000000"),
            (0.0001, "0000270fd8f00000000000000000000000000000000000000000000000000000"),
            (3.0, "0000000055550000000000000000000000000000000000000000000000000000"),
            (16.0, "000000000ffff000000000000000000000000000000000000000000000000000"),
            (512.0, "00000000007fff80000000000000000000000000000000000000000000000000"),
            (1000.0, "00000000004188f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28"),
            (1024.0, "00000000003fffc0000000000000000000000000000000000000000000000000"),
            (8192.0, "000000000007fff8000000000000000000000000000000000000000000000000"),
            (8192.5, "000000000007ffd8009ffd8009ffd8009ffd8009ffd8009ffd8009ffd8009ffd"),
            (16384.0, "000000000003fffc000000000000000000000000000000000000000000000000"),
            (65535.0, "0000000000010000000000000000000000000000000000000000000000000000"),
            (65536.0, "000000000000ffff000000000000000000000000000000000000000000000000"),
            (100000.0, "000000000000a7c504816f0068db8bac710cb295e9e1b089a027525460aa64c2"),
            (262144.0, "0000000000003fffc00000000000000000000000000000000000000000000000"),
            (524288.0, "0000000000001fffe00000000000000000000000000000000000000000000000"),
            (1000000.0, "00000000000010c6e6d9be4cd74927913e81450efdc9c4da9003eea209aaa3ad"),
            (4294967296.0, "0000000000000000ffff00000000000000000000000000000000000000000000"),
            (1e12, "00000000000000000119787e99468e32f6e0e71cef78ee034b5f8a0944d68076"),
            (126411437451912.23, "000000000000000000023a0400000000062bc4db49fa025d0810a41fb347ee26"),
        ] {
            assert_eq!(target_of(difficulty), target, "difficulty {difficulty}");
        }
    }

    #[test]
    fn the_easiest_difficulties_saturate() {
        assert_eq!(Difficulty::new(1e-10).unwrap().target(), Target::MAX);
        assert!(Target::MAX.is_met_by(&BlockHash([0xff; 32])));
    }

    #[test]
    fn only_positive_finite_difficulties_exist() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Difficulty::new(bad).is_none(), "{bad}");
        }
        assert!(Difficulty::new(f64::MIN_POSITIVE).is_some());
    }

    #[test]
    fn nbits_decode_as_bitcoin_core_decodes_them() {
        let target = Target::from_compact(0x1d00_ffff).unwrap();
        assert_eq!(target, Difficulty::ONE.target());
        assert!((Target::from_compact(0x170e_d0eb).unwrap().difficulty().get() - 18997641161758.95).abs() < 0.01e6);
        assert_eq!(Target::from_compact(0x1d80_ffff), None, "negative");
        assert_eq!(Target::from_compact(0x1d00_0000), None, "zero");
        assert_eq!(Target::from_compact(0xff00_ffff), None, "over 256 bits");
        assert_eq!(Target::from_compact(0x0100_0001), None, "shifts down to zero");
        assert!(Target::from_compact(0x207f_ffff).is_some(), "regtest");
    }

    #[test]
    fn targets_survive_their_byte_form() {
        let target = Difficulty::new(1000.0).unwrap().target();
        assert_eq!(Target::from_be_bytes(target.to_be_bytes()), target);
    }

    #[test]
    fn hashrates_print_with_a_fitting_unit() {
        assert_eq!(Hashrate::from_hs(198.4e12).to_string(), "198 TH/s");
        assert_eq!(Hashrate::from_hs(5.0e5).to_string(), "500 kH/s");
        assert_eq!(Hashrate::from_hs(0.0).to_string(), "0.0 H/s");
    }
}
