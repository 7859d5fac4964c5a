//! One simulated ASIC as its supply and its firmware's API show it: what it draws, obeys, answers and pretends.
//!
//! Knows nothing of stratum: whether it hashes and has a connection is [`Asic::hashing`], and others carry that out. Time is an argument.
//!
//! ```text
//!            sleep                  sleep time            wake, a blip             wake time
//!  Mining ─────────► FallingAsleep ───────────► Asleep ──────────────► Booting ─────────────► Mining
//!    │                                                          dark      ▲
//!    └───────────────── a reset ──────────────────────► Dark ─────────────┘
//! ```
//! Half of a boot long its firmware says nothing; one that had no power has no connection either until its fans are up.

use std::time::Duration;

use rand::{Rng, RngExt};

use super::lie::Lie;
use super::settings::Times;
use crate::sim::draw::{self, Phase};

/// How much it is asked to do; what its firmware calls a power mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// 0.7 of its draw.
    Low,
    /// As it is tuned; also what a wake without a mode leads to (Antminer stock forgets its mode in sleep).
    Normal,
    /// 1.1 of its draw.
    High,
}

impl Mode {
    /// Its name in the API.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Low, Self::Normal, Self::High].into_iter().find(|mode| mode.label() == name)
    }

    const fn factor(self) -> f64 {
        match self {
            Self::Low => 0.7,
            Self::Normal => 1.0,
            Self::High => 1.1,
        }
    }
}

/// What an ASIC can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// To sleep.
    Sleep,
    /// To mine; in this mode, or in the normal one.
    Wake(Option<Mode>),
}

/// What its firmware says to that. Which proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// OK.
    Ok,
    /// OK, so much later.
    Later(Duration),
    /// An error: that it sleeps already.
    AsleepAlready,
    /// Nothing: nobody is there, or it boots.
    Nothing,
}

/// What its firmware says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    /// What it draws, W at its own supply.
    pub watts: f64,
    /// Its mode; asleep, the one that it slept in.
    pub mode: Mode,
    /// Whether it says that it sleeps.
    pub is_asleep: bool,
}

/// What its hash boards and its control board do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hashing {
    /// It hashes.
    Mining,
    /// The control board lives.
    Asleep,
    /// Neither.
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Mining,
    FallingAsleep { at: Duration },
    Asleep { wakes_at: Option<Duration> },
    Booting { since: Duration, up_at: Duration, is_cold: bool, resets: bool },
    Dark { until: Duration },
}

/// How long a machine that resets is dark, and one that wakes unasked sleeps. Seconds before the time scale.
const DARK: std::ops::Range<f64> = 20.0..60.0;
const UNASKED: std::ops::Range<f64> = 120.0..600.0;
/// How late one that is late acts; a Whatsminer's replies were seen to take that long.
const LATE: f64 = 21.0;
/// Of a boot: fans, all boards at once, and when the firmware begins to answer.
const FANS_UP: f64 = 0.1;
const SURGE: f64 = 0.4;
const SPEAKS: f64 = 0.5;

/// A simulated ASIC.
#[derive(Debug)]
pub(super) struct Asic {
    pub group: usize,
    pub lie: Option<Lie>,
    tuned: f64,
    sleep: f64,
    mode: Mode,
    state: State,
    /// Told to, and not yet done. A newer command takes its place.
    late: Option<(Duration, Command)>,
    /// It claims to sleep.
    pretends: bool,
    /// What it draws now, W at its own supply.
    pub watts: f64,
    /// What others were told last.
    told: Hashing,
}

impl Asic {
    /// One that mines. Who lies does so near its nameplate; a third of the others are tuned well past theirs.
    pub(super) fn new(group: usize, number: usize, nameplate: f64, lie: Option<Lie>, rng: &mut impl Rng) -> Self {
        let tuned = draw::tuned(nameplate, lie.is_none() && number.is_multiple_of(3), rng);
        Self {
            group,
            lie,
            tuned,
            sleep: draw::asleep(rng),
            mode: Mode::Normal,
            state: State::Mining,
            late: None,
            pretends: false,
            watts: tuned,
            told: Hashing::Mining,
        }
    }

    /// Whether it mines, truly.
    pub(super) fn is_mining(&self) -> bool {
        matches!(self.state, State::Mining)
    }

    /// Whether it sleeps, truly.
    pub(super) fn is_asleep(&self) -> bool {
        matches!(self.state, State::Asleep { .. })
    }

    pub(super) fn told(&self) -> Hashing {
        self.told
    }

    /// Tells its firmware.
    pub(super) fn command(&mut self, now: Duration, command: Command, times: &Times, rng: &mut impl Rng) -> Answer {
        if self.is_silent(now) {
            return Answer::Nothing;
        }
        if self.lie == Some(Lie::IsLate) {
            let delay = times.scaled(LATE);
            self.late = Some((now + delay, command));
            return Answer::Later(delay);
        }
        self.obey(now, command, times, rng)
    }

    /// Asks its firmware; `None`: no answer.
    pub(super) fn claim(&self, now: Duration, rng: &mut impl Rng) -> Option<Claim> {
        if self.is_silent(now) {
            return None;
        }
        let watts = if self.pretends { self.sleep } else { self.watts };
        let is_asleep = self.pretends || self.is_asleep();
        Some(Claim { watts: watts * rng.random_range(0.99..1.01), mode: self.mode, is_asleep })
    }

    /// A blip of its supply: whatever sleeps boots.
    pub(super) fn blip(&mut self, now: Duration, times: &Times, rng: &mut impl Rng) {
        if matches!(self.state, State::Asleep { .. } | State::FallingAsleep { .. }) {
            self.late = None;
            self.boot(now, true, times, rng);
        }
    }

    /// Time passed; what its hash boards and its control board do now, if that is new.
    pub(super) fn step(&mut self, now: Duration, times: &Times, rng: &mut impl Rng) -> Option<Hashing> {
        if let Some((at, command)) = self.late
            && now >= at
        {
            self.late = None;
            // Whoever waited for the answer gets it by the clock.
            self.obey(now, command, times, rng);
        }
        match self.state {
            State::FallingAsleep { at } if now >= at => {
                let unasked = self.lie == Some(Lie::WakesUnasked);
                let wakes_at = unasked.then(|| now + times.scaled(rng.random_range(UNASKED)));
                self.state = State::Asleep { wakes_at };
            }
            State::Asleep { wakes_at: Some(at) } if now >= at => self.boot(now, false, times, rng),
            State::Booting { since, up_at, resets: true, .. } if now >= since + (up_at - since).mul_f64(SPEAKS) => {
                self.go_dark(now, times, rng);
            }
            State::Booting { up_at, .. } if now >= up_at => self.state = State::Mining,
            State::Dark { until } if now >= until => self.boot(now, true, times, rng),
            _ => {}
        }
        self.watts = self.phase(now).watts(self.tuned * self.mode.factor(), self.sleep, rng);
        let hashing = self.hashing(now);
        (hashing != self.told).then(|| {
            self.told = hashing;
            hashing
        })
    }

    fn obey(&mut self, now: Duration, command: Command, times: &Times, rng: &mut impl Rng) -> Answer {
        match command {
            Command::Sleep => self.sleep(now, times, rng),
            Command::Wake(mode) => {
                self.mode = mode.unwrap_or(Mode::Normal);
                self.pretends = false;
                match self.state {
                    State::Asleep { .. } => self.boot(now, false, times, rng),
                    State::FallingAsleep { .. } => self.state = State::Mining,
                    State::Mining | State::Booting { .. } | State::Dark { .. } => {}
                }
                Answer::Ok
            }
        }
    }

    fn sleep(&mut self, now: Duration, times: &Times, rng: &mut impl Rng) -> Answer {
        match (self.lie, self.state) {
            (Some(Lie::StaysAwake), _) => return Answer::Ok,
            (Some(Lie::HidesItsDraw), _) => self.pretends = true,
            (Some(Lie::Resets), State::Mining) => self.go_dark(now, times, rng),
            (Some(Lie::Resets), _) => {}
            (_, State::Asleep { .. } | State::FallingAsleep { .. } | State::Dark { .. }) => {}
            (_, State::Mining | State::Booting { .. }) => {
                self.state = State::FallingAsleep { at: now + rng.random_range(times.sleep.clone()) };
            }
        }
        if self.lie == Some(Lie::Objects) { Answer::AsleepAlready } else { Answer::Ok }
    }

    fn boot(&mut self, now: Duration, is_cold: bool, times: &Times, rng: &mut impl Rng) {
        let resets = !is_cold && self.lie == Some(Lie::ResetsWhenWoken);
        self.state = State::Booting { since: now, up_at: now + rng.random_range(times.wake.clone()), is_cold, resets };
    }

    fn go_dark(&mut self, now: Duration, times: &Times, rng: &mut impl Rng) {
        self.state = State::Dark { until: now + times.scaled(rng.random_range(DARK)) };
    }

    /// How far its boot is, from 0 to 1; `None` if it does not boot.
    fn booted(&self, now: Duration) -> Option<f64> {
        let State::Booting { since, up_at, .. } = self.state else {
            return None;
        };
        Some(now.saturating_sub(since).as_secs_f64() / up_at.saturating_sub(since).as_secs_f64().max(f64::EPSILON))
    }

    fn is_silent(&self, now: Duration) -> bool {
        self.lie == Some(Lie::IsUnreachable)
            || matches!(self.state, State::Dark { .. })
            || self.booted(now).is_some_and(|done| done < SPEAKS)
    }

    fn phase(&self, now: Duration) -> Phase {
        match self.state {
            State::Mining | State::FallingAsleep { .. } => Phase::Mining,
            State::Asleep { .. } => Phase::Asleep,
            State::Dark { .. } => Phase::Dark,
            State::Booting { .. } => match self.booted(now).unwrap_or(1.0) {
                done if done < FANS_UP => Phase::FansUp,
                done if done < SURGE => Phase::Surge,
                _ => Phase::Settling,
            },
        }
    }

    fn hashing(&self, now: Duration) -> Hashing {
        match self.state {
            State::Mining | State::FallingAsleep { .. } => Hashing::Mining,
            State::Asleep { .. } => Hashing::Asleep,
            State::Dark { .. } => Hashing::Off,
            State::Booting { is_cold, .. } => {
                let is_off = is_cold && self.booted(now).is_some_and(|done| done < FANS_UP);
                if is_off { Hashing::Off } else { Hashing::Asleep }
            }
        }
    }
}
