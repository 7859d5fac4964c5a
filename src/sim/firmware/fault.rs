//! How a simulated firmware deceives and fails, and the names by which that is asked for.

use std::fmt;
use std::str::FromStr;

/// What it does otherwise than its documentation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers as if it obeyed, and stays as it is.
    StaysAsItIs,
    /// Acts at once and answers an order late.
    IsLate,
    /// Its only session is held by somebody else. Firmware without sessions knows no such thing.
    SessionHeld,
    /// Says of every order that there was nothing to do, and is there already.
    IsThereAlready,
    /// Breaks the connection in the middle of the answer to a wake, and boots again.
    ResetsWhenWoken,
    /// Knows no user. Firmware without a login knows no such thing.
    RefusesLogin,
    /// Obeys, and answers with half of its JSON.
    HalfAnswers,
    /// Goes away for a boot between the first call of an order and the next.
    RebootsInBetween,
    /// Takes connections and never says a word.
    IsSilent,
    /// Nothing listens.
    IsAway,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::StaysAsItIs,
        Self::IsLate,
        Self::SessionHeld,
        Self::IsThereAlready,
        Self::ResetsWhenWoken,
        Self::RefusesLogin,
        Self::HalfAnswers,
        Self::RebootsInBetween,
        Self::IsSilent,
        Self::IsAway,
    ];

    /// Its name in arguments.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::StaysAsItIs => "stays-as-it-is",
            Self::IsLate => "late",
            Self::SessionHeld => "session-held",
            Self::IsThereAlready => "already",
            Self::ResetsWhenWoken => "resets-when-woken",
            Self::RefusesLogin => "refuses-login",
            Self::HalfAnswers => "half-answers",
            Self::RebootsInBetween => "reboots-in-between",
            Self::IsSilent => "silent",
            Self::IsAway => "away",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|fault| fault.label() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::label).join(", ");
            format!("no fault is called \"{text}\"; known are {known}")
        })
    }
}
