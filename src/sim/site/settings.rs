//! What a simulated site is made of, and what it can't be made of.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::lie::Lie;
use crate::sim::load::MAX_MINERS;
use crate::sim::plant::TRUE_PUE;

/// ASICs of one site: each has a connection of its own.
pub const MAX_ASICS: usize = MAX_MINERS;
/// Bytes of a group's name: with the number behind it, all firmware can hold it as a user name.
pub const MAX_NAME: usize = 48;
/// What stands for a terahash per second: so many hashes per second are computed. At a difficulty of 1e-8, an S21's 200 TH/s find a share
/// in some 11 s.
pub const HASHES_PER_TERAHASH: f64 = 0.02;
/// How long a machine wakes, where nobody says otherwise. Stock firmware takes two minutes and more; these are fast ones.
const WAKE: Range<Duration> = Duration::from_secs(40)..Duration::from_secs(150);
/// How long one falls asleep.
const SLEEP: Range<Duration> = Duration::from_secs(2)..Duration::from_secs(8);

/// Where the site's meter learns what AI compute draws: W of IT, asked for at each step.
#[derive(Clone)]
pub struct AiDraw(Arc<dyn Fn() -> f64 + Send + Sync>);

impl AiDraw {
    /// Asks `watts`, which must not wait.
    pub fn new(watts: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(watts))
    }

    pub(super) fn watts(&self) -> f64 {
        (self.0)()
    }
}

impl fmt::Debug for AiDraw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AiDraw")
    }
}

/// Machines of one kind, called `{name}.0001` and so on: as workers, and in the control API.
#[derive(Debug, Clone, PartialEq)]
pub struct SimGroup {
    /// Its name, and what its workers' names begin with.
    pub name: String,
    /// How many.
    pub count: usize,
    /// Joules for a terahash.
    pub joules_per_terahash: f64,
    /// What is printed on one, W at its own supply.
    pub nameplate: f64,
    /// What one hashes, per second and for real.
    pub hashrate: f64,
    /// How long one wakes, before the time scale.
    pub wake: Range<Duration>,
    /// How long one falls asleep, before the time scale.
    pub sleep: Range<Duration>,
}

impl SimGroup {
    /// A group whose hashrate follows from its watts, [`HASHES_PER_TERAHASH`].
    #[must_use]
    pub fn new(name: impl Into<String>, count: usize, joules_per_terahash: f64, nameplate: f64) -> Self {
        let hashrate = nameplate / joules_per_terahash * HASHES_PER_TERAHASH;
        Self { name: name.into(), count, joules_per_terahash, nameplate, hashrate, wake: WAKE, sleep: SLEEP }
    }

    pub(super) fn worker(&self, number: usize) -> String {
        format!("{}.{number:04}", self.name)
    }
}

/// Everything that can be chosen about a simulated site. Watts.
#[derive(Debug, Clone)]
pub struct SimSiteSettings {
    /// Where the control API listens.
    pub listen: SocketAddr,
    /// The machines.
    pub groups: Vec<SimGroup>,
    /// The most of what is always there.
    pub base_load: f64,
    /// What the site may draw; for the report alone, nothing is switched off.
    pub cap: Option<f64>,
    /// What AI compute draws.
    pub ai: Option<AiDraw>,
    /// What it draws at the site meter for a watt of IT.
    pub pue: f64,
    /// The share of ASICs whose firmware lies, 0 to 1.
    pub liars: f64,
    /// How they do, in turns; none: nobody lies.
    pub lies: Vec<Lie>,
    /// How much faster machines boot, reset and dawdle than real ones. Meter and report know real seconds only.
    pub time_scale: f64,
    /// The password of all machines.
    pub password: String,
    /// What firmware suggests as its difficulty, if it does so at all.
    pub difficulty: Option<f64>,
    /// Connects per second; 0: all at once.
    pub connects_per_second: f64,
    /// Decides everything that is random.
    pub seed: u64,
}

impl Default for SimSiteSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            groups: Vec::new(),
            base_load: 0.0,
            cap: None,
            ai: None,
            pue: TRUE_PUE,
            liars: 0.0,
            lies: Lie::ALL.to_vec(),
            time_scale: 1.0,
            password: "x".to_owned(),
            difficulty: None,
            connects_per_second: 2000.0,
            seed: 1,
        }
    }
}

/// Why there is no such site.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SiteError {
    /// No machine, or too many.
    #[error("simulated site: {0} ASICs, must be 1 to {MAX_ASICS}")]
    Count(usize),
    /// A name that is no worker's, or that two groups have.
    #[error(
        "simulated site: a group is called {0:?}; each needs a name of its own, of 1 to {MAX_NAME} letters, digits, . _ or -"
    )]
    Name(String),
    /// A number that makes no sense.
    #[error("simulated site: {what} is {value}, must be {wanted}")]
    Number {
        /// Which.
        what: &'static str,
        /// What it was.
        value: f64,
        /// What it should be.
        wanted: &'static str,
    },
    /// A time from nothing to nothing.
    #[error("simulated site: group {0:?} has a range of times that is empty")]
    Times(String),
}

impl SimSiteSettings {
    /// Says what is wrong, if anything.
    ///
    /// # Errors
    /// [`SiteError`] names the first setting that makes no sense.
    pub fn validate(&self) -> Result<(), SiteError> {
        let count = self.groups.iter().fold(0_usize, |count, group| count.saturating_add(group.count));
        if !(1..=MAX_ASICS).contains(&count) {
            return Err(SiteError::Count(count));
        }
        let number = |what, value: f64, is_right: bool, wanted| {
            if is_right { Ok(()) } else { Err(SiteError::Number { what, value, wanted }) }
        };
        let positive = |what, value: f64| number(what, value, value.is_finite() && value > 0.0, "a number above 0");
        let at_least_zero =
            |what, value: f64| number(what, value, value.is_finite() && value >= 0.0, "a number, 0 or more");
        for (at, group) in self.groups.iter().enumerate() {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            let is_named = (1..=MAX_NAME).contains(&group.name.len()) && group.name.chars().all(is_plain);
            if !is_named || self.groups[..at].iter().any(|other| other.name == group.name) {
                return Err(SiteError::Name(group.name.clone()));
            }
            positive("the efficiency of a group, in J/TH,", group.joules_per_terahash)?;
            positive("the nameplate of a group", group.nameplate)?;
            positive("the hashrate of a group", group.hashrate)?;
            if group.wake.is_empty() || group.sleep.is_empty() {
                return Err(SiteError::Times(group.name.clone()));
            }
        }
        number("the share of liars", self.liars, (0.0..=1.0).contains(&self.liars), "0 to 1")?;
        at_least_zero("the base load", self.base_load)?;
        at_least_zero("connects per second", self.connects_per_second)?;
        self.cap.map_or(Ok(()), |cap| positive("the cap", cap))?;
        number("the PUE", self.pue, self.pue.is_finite() && self.pue >= 1.0, "1 or more")?;
        number("the time scale", self.time_scale, (0.001..=1e6).contains(&self.time_scale), "0.001 to 1e6")
    }
}

/// A group's times, after the time scale.
#[derive(Debug, Clone)]
pub(super) struct Times {
    pub wake: Range<Duration>,
    pub sleep: Range<Duration>,
    scale: f64,
}

impl Times {
    pub(super) fn of(group: &SimGroup, scale: f64) -> Self {
        // A range that was not empty stays so, however fast its time goes.
        let scaled = |range: &Range<Duration>| {
            let start = range.start.div_f64(scale);
            start..range.end.div_f64(scale).max(start + Duration::from_nanos(1))
        };
        Self { wake: scaled(&group.wake), sleep: scaled(&group.sleep), scale }
    }

    /// So many seconds.
    pub(super) fn scaled(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds / self.scale)
    }
}
