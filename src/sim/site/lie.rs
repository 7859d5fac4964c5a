//! How the firmware of a simulated ASIC deceives, and the names by which that is asked for.

use std::fmt;
use std::str::FromStr;

/// What a firmware does otherwise than it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Says OK to a sleep and stays awake; its watts are true.
    StaysAwake,
    /// Says OK, mines on, and reports the watts of a sleeper.
    HidesItsDraw,
    /// Told to sleep, it goes dark for a minute, boots and mines again.
    Resets,
    /// Told to wake, it goes dark in the middle of its boot, and boots again.
    ResetsWhenWoken,
    /// Sleeps, and wakes unasked some minutes later.
    WakesUnasked,
    /// Acts and answers 21 s after it was told.
    IsLate,
    /// Cannot be reached at all, and mines.
    IsUnreachable,
    /// Goes to sleep, and answers with an error: that it sleeps already.
    Objects,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::StaysAwake,
        Self::HidesItsDraw,
        Self::Resets,
        Self::ResetsWhenWoken,
        Self::WakesUnasked,
        Self::IsLate,
        Self::IsUnreachable,
        Self::Objects,
    ];

    /// Its name in requests and arguments.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::StaysAwake => "stays-awake",
            Self::HidesItsDraw => "hides-its-draw",
            Self::Resets => "resets",
            Self::ResetsWhenWoken => "resets-when-woken",
            Self::WakesUnasked => "wakes-unasked",
            Self::IsLate => "late",
            Self::IsUnreachable => "unreachable",
            Self::Objects => "objects",
        }
    }
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Lie {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|lie| lie.label() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::label).join(", ");
            format!("no lie is called \"{text}\"; known are {known}")
        })
    }
}
