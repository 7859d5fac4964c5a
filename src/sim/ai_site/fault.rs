//! What can go wrong with AI compute, on demand.
//!
//! [`AiFault::Forgets`] is a moment; the others stand until [`AiFault::Resume`] ends them all. Each has a word, so that a command line or
//! a file can name it: `overdraws=10%`, `releases-late=30s`.

use std::{str::FromStr, time::Duration};

use jiff::SignedDuration;

/// Something to go wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AiFault {
    /// Leases are taken, and no job starts: `does-not-start`.
    DoesNotStart,
    /// What is asked back is "releasing" for ever, and its jobs run on: `does-not-release`.
    DoesNotRelease,
    /// What is asked back takes so much longer: `releases-late=30s`.
    ReleasesLate(Duration),
    /// Jobs draw this share more than their leases: `overdraws=10%`.
    Overdraws(f64),
    /// So many watts are drawn beside all leases: `draws-without-lease=5000`.
    DrawsWithoutLease(f64),
    /// It restarts and knows no lease and no epoch any more; its jobs are gone: `forgets`.
    Forgets,
    /// Everything is answered with 500, and nothing is heard: `answers-500`.
    Answers500,
    /// Everything is heard at once and answered so much later: `answers-late=20s`.
    AnswersLate(Duration),
    /// `observed_at` is so far from the truth, ahead or behind: `shifts-time=-45s`.
    ShiftsTime(SignedDuration),
    /// The status stays as it is now, its time too: `stuck-status`.
    StuckStatus,
    /// The status says that idle power is drawn, whatever is: `hides-its-draw`.
    HidesItsDraw,
    /// Ends all that stands: `resume`.
    Resume,
}

/// The faults that stand.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    pub(super) no_start: bool,
    pub(super) no_release: bool,
    pub(super) release_late: Duration,
    pub(super) overdraw: f64,
    pub(super) without_lease: f64,
    pub(super) broken: bool,
    pub(super) answer_late: Duration,
    pub(super) time_shift: SignedDuration,
    pub(super) hides: bool,
}

impl FromStr for AiFault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let wrong = |wanted: &str| format!("{text:?}: {wanted}");
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        let duration =
            |text: &str| humantime::parse_duration(text).map_err(|_| wrong("a duration is wanted, as in =20s"));
        Ok(match name {
            "releases-late" => Self::ReleasesLate(duration(value)?),
            "answers-late" => Self::AnswersLate(duration(value)?),
            "shifts-time" => {
                let shift = duration(value.trim_start_matches('-'))?;
                let shift = SignedDuration::try_from(shift).map_err(|_| wrong("that is too long"))?;
                Self::ShiftsTime(if value.starts_with('-') { -shift } else { shift })
            }
            "overdraws" => {
                let percent = value.strip_suffix('%').and_then(|value| number(value.trim_end()));
                Self::Overdraws(percent.ok_or_else(|| wrong("a share is wanted, as in =10%"))? / 100.0)
            }
            "draws-without-lease" => {
                Self::DrawsWithoutLease(number(value).ok_or_else(|| wrong("watts are wanted, as in =5000"))?)
            }
            _ if !value.is_empty() => return Err(wrong("there is no such fault with a value")),
            "does-not-start" => Self::DoesNotStart,
            "does-not-release" => Self::DoesNotRelease,
            "forgets" => Self::Forgets,
            "answers-500" => Self::Answers500,
            "stuck-status" => Self::StuckStatus,
            "hides-its-draw" => Self::HidesItsDraw,
            "resume" => Self::Resume,
            _ => return Err(wrong("there is no such fault")),
        })
    }
}
