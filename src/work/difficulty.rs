//! Difficulty and hashrate as values that can't be mixed up.

/// A share difficulty: finite and above 0; 1 is 2^32 hashes on average.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Difficulty(f64);

impl Difficulty {
    /// `None` unless `value` is finite and above 0.
    pub fn new(value: f64) -> Option<Self> {
        (value.is_finite() && value > 0.0).then_some(Self(value))
    }

    /// The plain number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl std::fmt::Display for Difficulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Hashes per second.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Hashrate(f64);

impl Hashrate {
    /// From hashes per second.
    pub fn from_hs(hs: f64) -> Self {
        Self(hs)
    }

    /// In hashes per second.
    pub fn hs(self) -> f64 {
        self.0
    }
}
