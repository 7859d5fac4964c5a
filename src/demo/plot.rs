//! When what happens in the demo: the cues of its story.
//!
//! Pure: it is told the time and what is to be seen, and says what comes next; it moves no price and fails no pool. An act waits until the
//! one before it has shown what it is for, so that the story is the same on a slow machine, only longer.
//!
//! | second | cue | not before |
//! |---|---|---|
//! | 3 | the first pool fails, for 4 s | |
//! | 12 | [`Act::PowerIsDear`] | everybody mines, and the power side knows it |
//! | 15 | [`Act::AiPays`] | |
//! | 29, with faults | a blip | AI compute has worked for 4 s |
//! | 41 | [`Act::MiningPays`] | AI compute has worked for 10 s, and it is 12 s after the blip |
//! | 68 | the end | all are back |
//!
//! With faults the end is later: a site that was over its cap wakes nobody for a minute.
//!
//! Limits: no act waits longer than [`PATIENCE`]; what is missing then is found at the end.

use std::time::Duration;

use super::story::{Act, Told};

/// How long the story takes where nothing makes it wait.
pub const LENGTH: Duration = Duration::from_secs(68);

/// How long an act waits for the one before it.
const PATIENCE: Duration = Duration::from_secs(90);

const POOL_FAILS: Duration = Duration::from_secs(3);
const POOL_FAILS_FOR: Duration = Duration::from_secs(4);
const POWER_IS_DEAR: Duration = Duration::from_secs(12);
/// After the act before it has begun.
const AI_PAYS: Duration = Duration::from_secs(3);
/// After AI compute has begun to pay.
const BLIP: Duration = Duration::from_secs(14);
/// After the act before it has begun, and how long its end takes.
const MINING_PAYS: Duration = Duration::from_secs(26);
const WAKING: Duration = Duration::from_secs(20);
/// How long AI compute works before the blip, and before prices turn; and how long the site has after the blip.
const WORKS_BEFORE_BLIP: Duration = Duration::from_secs(4);
const WORKS: Duration = Duration::from_secs(10);
const AFTER_BLIP: Duration = Duration::from_secs(12);

/// What happens now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cue {
    /// The first pool goes away for so long.
    PoolFails(Duration),
    /// Prices are those of this act.
    Prices(Act),
    /// The supply of the oldest group blips.
    Blip,
    /// It is over.
    End(Told),
}

/// What is to be seen.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Since the beginning.
    pub elapsed: Duration,
    /// Every machine mines, and the power side knows every one.
    pub all_mine: bool,
    /// AI compute works.
    pub ai_works: bool,
    /// Those that slept mine again, as far as they obey.
    pub is_back: bool,
}

/// The way through the story.
#[derive(Debug)]
pub struct Plot {
    length: Duration,
    tells_all: bool,
    has_faults: bool,
    /// When the first pool fails; `None` once it has.
    pool_fails: Option<Duration>,
    pool_is_away: Duration,
    act: Act,
    /// When the act began.
    since: Duration,
    blipped: Option<Duration>,
    /// How long AI compute has worked.
    worked: Duration,
    looked: Duration,
}

impl Plot {
    /// Told within `wanted`, if that is long enough for all of it; if not, only its first act is, within that time.
    #[must_use]
    pub fn new(wanted: Option<Duration>, has_faults: bool) -> Self {
        let length = wanted.unwrap_or(LENGTH);
        let tells_all = length >= LENGTH;
        // A short one runs well for a third of its time.
        let (pool_fails, pool_is_away) =
            if tells_all { (POOL_FAILS, POOL_FAILS_FOR) } else { (length / 3, length / 6) };
        Self {
            length,
            tells_all,
            has_faults,
            pool_fails: Some(pool_fails),
            pool_is_away,
            act: Act::AllMine,
            since: Duration::ZERO,
            blipped: None,
            worked: Duration::ZERO,
            looked: Duration::ZERO,
        }
    }

    /// Whether it goes beyond its first act.
    #[must_use]
    pub fn tells_all(&self) -> bool {
        self.tells_all
    }

    /// How long it takes where nothing makes it wait.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.length
    }

    /// Whether more goes wrong than a pool.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        self.has_faults
    }

    /// How long the first pool is away.
    #[must_use]
    pub fn pool_fails_for(&self) -> Duration {
        self.pool_is_away
    }

    /// What happens now; to be asked until there is nothing more.
    pub fn next(&mut self, seen: &Seen) -> Option<Cue> {
        let now = seen.elapsed;
        if seen.ai_works {
            self.worked += now.saturating_sub(self.looked);
        }
        self.looked = now;
        if self.pool_fails.take_if(|at| now >= *at).is_some() {
            return Some(Cue::PoolFails(self.pool_is_away));
        }
        if !self.tells_all {
            return (now >= self.length).then_some(Cue::End(Told::FirstAct));
        }
        let in_act = now.saturating_sub(self.since);
        match self.act {
            Act::AllMine => is_due(now, POWER_IS_DEAR, seen.all_mine).then(|| self.begin(Act::PowerIsDear, now)),
            Act::PowerIsDear => (in_act >= AI_PAYS).then(|| self.begin(Act::AiPays, now)),
            Act::AiPays if self.wants_blip() && is_due(in_act, BLIP, self.worked >= WORKS_BEFORE_BLIP) => {
                self.blipped = Some(now);
                Some(Cue::Blip)
            }
            Act::AiPays if self.wants_blip() => None,
            Act::AiPays => {
                let has_settled = self.blipped.is_none_or(|at| now >= at + AFTER_BLIP);
                let is_shown = has_settled && self.worked >= WORKS;
                is_due(in_act, MINING_PAYS, is_shown).then(|| self.begin(Act::MiningPays, now))
            }
            Act::MiningPays => {
                let least = self.length.max(self.since + WAKING);
                is_due(now, least, seen.is_back).then_some(Cue::End(Told::All))
            }
        }
    }

    fn wants_blip(&self) -> bool {
        self.has_faults && self.blipped.is_none()
    }

    fn begin(&mut self, act: Act, now: Duration) -> Cue {
        (self.act, self.since) = (act, now);
        Cue::Prices(act)
    }
}

/// Whether it is time, and shown what was to be shown or waited for long enough.
fn is_due(now: Duration, at: Duration, is_shown: bool) -> bool {
    now >= at && (is_shown || now >= at + PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All cues with their seconds, where AI compute works from `ai_from` on.
    fn told(mut plot: Plot, ai_from: u64, is_back_at: u64) -> Vec<(u64, Cue)> {
        let mut cues = Vec::new();
        for second in 0..600 {
            let seen = Seen {
                elapsed: Duration::from_secs(second),
                all_mine: true,
                ai_works: (ai_from..).contains(&second),
                is_back: second >= is_back_at,
            };
            while let Some(cue) = plot.next(&seen) {
                cues.push((second, cue));
                if matches!(cue, Cue::End(_)) {
                    return cues;
                }
            }
        }
        panic!("it never ends: {cues:?}");
    }

    #[test]
    fn the_story_goes_as_the_table_says() {
        let pool = Cue::PoolFails(POOL_FAILS_FOR);
        let [dear, ai, mining] = [Act::PowerIsDear, Act::AiPays, Act::MiningPays].map(Cue::Prices);
        let end = Cue::End(Told::All);
        assert_eq!(told(Plot::new(None, false), 22, 60), [(3, pool), (12, dear), (15, ai), (41, mining), (68, end)]);
        let with_faults = [(3, pool), (12, dear), (15, ai), (29, Cue::Blip), (41, mining), (68, end)];
        assert_eq!(told(Plot::new(None, true), 22, 60), with_faults);
    }

    #[test]
    fn a_slow_machine_makes_it_longer_and_never_endless() {
        let slow = told(Plot::new(None, true), 50, 130);
        assert_eq!(slow[3..], [(53, Cue::Blip), (65, Cue::Prices(Act::MiningPays)), (130, Cue::End(Told::All))]);
        let never = told(Plot::new(None, true), 1000, 1000);
        assert!(never.last().is_some_and(|(second, cue)| *second < 400 && *cue == Cue::End(Told::All)), "{never:?}");
    }

    #[test]
    fn a_short_one_has_one_act_and_a_long_one_goes_on() {
        let short = told(Plot::new(Some(Duration::from_secs(12)), false), 0, 0);
        assert_eq!(short, [(4, Cue::PoolFails(Duration::from_secs(2))), (12, Cue::End(Told::FirstAct))]);
        let long = told(Plot::new(Some(Duration::from_secs(100)), false), 22, 60);
        assert_eq!(long.last(), Some(&(100, Cue::End(Told::All))));
    }
}
