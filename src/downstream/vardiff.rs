//! One miner's variable difficulty: from credited shares to a hashrate, from the hashrate to a difficulty.
//!
//! Knows nothing of jobs, sockets or pools: the session says which share was credited, and at what; it sends what
//! comes back as `mining.set_difficulty` before the next `mining.notify`, and judges shares by the easier of the
//! job's difficulty and [`Vardiff::difficulty`].
//!
//! Three things are kept apart, so that nothing feeds back on the difficulty in force (c2pool#766 limit-cycles by 2–3×):
//!
//! | what | from | answers |
//! |---|---|---|
//! | average | credited work per second: plain mean at first (unbiased from share one), decaying over [`MEMORY_S`] | how fast is the miner? |
//! | `above`, `below` | shares since the rate last was inside the hold band | has it left the band, beyond doubt? |
//! | `steady` | the last hashrate that [`PROVEN`] shares vouched for | what would it wake up to? |
//!
//! **Leaving the band.** Each window starts over whenever its rate is on the right side of its edge (a CUSUM), so it
//! begins at the change and holds no share from before. Its evidence is the Poisson log likelihood ratio
//! `n·ln(n/m) − n + m` of `n` shares where the edge allows `m`: chance passes it once in about `e^evidence`. A large
//! change is thus seen after some thirty shares, a small one after thousands, and a constant rate never. The window that
//! proved the change then *is* the average. A new difficulty found from few shares is looked at again after 256 and
//! 1024 ([`TRIM_AT`]), against the inner half of the band: what is left in peace doesn't sit on an edge.
//!
//! **Silence.** No share in `t` seconds is evidence for at most one share in `t`: a silent miner is lowered to that, some
//! ten-fold each time while nothing is known of it, down to the floor. A proven miner more likely sleeps, and whole halls
//! wake at once: silence lowers it [`SLEEP_FACTOR`]-fold and no further, so that the first seconds after waking bring
//! a bounded flood. A share that ends a silence without the old rate coming back lets it go one such step lower.
//! The share that ends a silence starts the average and both windows afresh: a night's sleep isn't slow hashing.
//!
//! **Sleep.** A miner that is known to sleep ([`Vardiff::sleep`]) is not lowered at all, and what silence took before that was known is
//! given back. Its time stands still until its first share, or until [`RISE`] after it should be up ([`Vardiff::rise`]).
//!
//! Cost: no allocation, a few multiplications a share, one logarithm while out of the band; 96 bytes a miner.
//!
//! Sources: ckpool `stratifier.c` (time-unbiased averages, the `min` rule), c2pool#766, EM#212, EM#1587, sri#2227.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::work::{Difficulty, HASHES_PER_DIFFICULTY, Hashrate};

#[cfg(test)]
mod tests;

/// The average forgets over this many seconds: 20 minutes are 360 shares at 18 a minute, some 4 % of noise.
const MEMORY_S: f64 = 1200.0;

/// Shares after which the hashrate is known well enough (12 %) to be remembered and to be given up slowly.
const PROVEN: u32 = 64;

/// Evidence needed while fewer than [`PROVEN`] shares are known; e^8 makes 3000 to one, and a wrong step is soon repaired.
const EAGER: f64 = 8.0;

/// Evidence needed against a proven hashrate: e^15 makes 3 million to one for a rate on the very edge.
const SURE: f64 = 15.0;

/// Share counts at which a difficulty is checked against the inner half of the band.
const TRIM_AT: [u32; 2] = [256, 1024];

/// How far silence alone lowers a proven miner: 16 × 18 shares a minute are 5 a second when it wakes.
const SLEEP_FACTOR: f64 = 16.0;

/// After a sleep, silence says nothing for so long: firmware boots and tunes for minutes before it hashes.
pub const RISE: Duration = Duration::from_secs(1200);

/// A miner that sleeps is looked at so often, for nothing.
const ASLEEP_LOOK: Duration = Duration::from_secs(86_400);

/// Shares of this many seconds may arrive at once after a stalled link without looking like a faster miner.
const STALL_S: f64 = 10.0;

/// A raise rests on this many shares at least (18 % of noise): when they come too fast, they come soon.
const RAISE_SHARES: f64 = 32.0;

/// No rate is read from a shorter span: one read may hold many shares.
const SPAN_MIN_S: f64 = 1.0;

/// Blind time after a change that comes with work at once: shares on their way were found at the old difficulty.
const GRACE_NOW_S: f32 = 2.0;

/// Blind time after a change that waits for the next job: keep-alive sends one every 30 s at the latest.
const GRACE_NEXT_JOB_S: f32 = 30.0;

/// A change by more than this is worth new work at once.
const URGENT: f64 = 4.0;

/// No miner gets less, whatever it suggests: one share in 4 hashes. (At 2^-32 every hash would be a share.)
const LEAST: f64 = 1e-9;

/// What a listener decides for all its miners.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VardiffSettings {
    /// Aimed-at shares a minute and miner, above 0; 18 makes about 10 % of noise in a look over five minutes.
    pub shares_per_minute: f64,
    /// The floor; see [`Vardiff::raise_floor`] and [`Vardiff::suggest`] for what a miner can ask.
    pub min: Difficulty,
    /// The ceiling, if any; the pool's own difficulty is a second one.
    pub max: Option<Difficulty>,
}

/// Which values a firmware understands. Everything is rounded **down** to one: rounding up loses shares (sri#2227).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Integers from 1 on, three significant digits below; held while the rate is 0.6–1.5× the target.
    Fine,
    /// Powers of two, also below 1; rounding alone makes 1–2× the rate, so it is held at 0.8–2.4×.
    PowerOfTwo,
}

impl Step {
    /// The hold band, as multiples of the target rate.
    const fn band(self) -> (f64, f64) {
        match self {
            Self::Fine => (0.6, 1.5),
            Self::PowerOfTwo => (0.8, 2.4),
        }
    }

    /// Half-way between the hold band and what rounding alone explains (1, or 1–2 for powers of two).
    const fn inner_band(self) -> (f64, f64) {
        match self {
            Self::Fine => (0.72, 1.33),
            Self::PowerOfTwo => (0.894, 2.19),
        }
    }

    /// The next value at or below `value`.
    fn round_down(self, value: f64) -> f64 {
        match self {
            // The exponent alone, exactly.
            Self::PowerOfTwo => f64::from_bits(value.to_bits() & 0x7FF0_0000_0000_0000),
            Self::Fine if value >= 1.0 => value.floor(),
            Self::Fine => {
                // Dividing gives the decimal that prints short (389 / 1e6, not 389 × 1e-6); the last factor keeps a
                // value that is such a decimal already from losing a unit to its own representation.
                let per_unit = 10f64.powi(2 - value.log10().floor() as i32);
                (value * per_unit * (1.0 + 1e-12)).floor() / per_unit
            }
        }
    }

    /// The next value at or above `value`.
    fn round_up(self, value: f64) -> f64 {
        let down = self.round_down(value);
        if down >= value {
            return down;
        }
        match self {
            Self::PowerOfTwo => 2.0 * down,
            Self::Fine if value >= 1.0 => down + 1.0,
            // One unit in the third digit is between 0.1 and 1 %.
            Self::Fine => self.round_down(down + 10f64.powi(value.log10().floor() as i32 - 2)),
        }
    }
}

/// A new difficulty for the miner; [`Vardiff::difficulty`] says the same from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retarget {
    /// What to send.
    pub difficulty: Difficulty,
    /// When it has to bite.
    pub urgency: Urgency,
}

/// How soon a new difficulty must come with work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The next job is soon enough.
    NextJob,
    /// Off by over 4×, or little is known of the miner yet: re-send work at once.
    Now,
}

/// Shares (in units of the difficulty in force) and seconds since a window began; before 0 s the machine is blind.
#[derive(Clone, Copy, Debug)]
struct Window {
    shares: f32,
    age_s: f32,
}

impl Window {
    const fn after(grace_s: f32) -> Self {
        Self { shares: 0.0, age_s: -grace_s }
    }
}

/// The variable-difficulty machine of one miner. See the module's text for what it decides.
#[derive(Debug)]
pub struct Vardiff {
    settings: Arc<VardiffSettings>,
    /// Up to when the windows and the average have aged.
    seen: Instant,
    difficulty: Difficulty,
    floor: f64,
    /// The pool's or network's difficulty; infinite while unknown.
    ceiling: f64,
    /// Credited difficulty and the seconds it took, both fading.
    work: f64,
    work_s: f64,
    /// Rate above the band's upper edge since this began.
    above: Window,
    /// Rate below the band's lower edge since this began.
    below: Window,
    /// Difficulty a second that was proven last; 0 for never.
    steady: f32,
    /// Shares behind the average, saturating.
    shares: u32,
    /// Seconds for which silence says nothing yet, and time stands still; infinite for one that sleeps.
    rest_s: f32,
    step: Step,
    /// It is known to sleep.
    asleep: bool,
    /// No share since silence was judged.
    silent: bool,
    /// Nothing credited and nothing found out by silence yet: the start is still open to suggestions.
    fresh: bool,
}

impl Vardiff {
    /// A miner of which nothing is known but where to start; `start` is brought between floor and ceiling and rounded.
    pub fn new(settings: &Arc<VardiffSettings>, step: Step, start: Difficulty, now: Instant) -> Self {
        let mut this = Self {
            settings: Arc::clone(settings),
            seen: now,
            difficulty: start,
            floor: step.round_up(settings.min.get().max(LEAST)),
            ceiling: f64::INFINITY,
            work: 0.0,
            work_s: 0.0,
            above: Window::after(0.0),
            below: Window::after(0.0),
            steady: 0.0,
            shares: 0,
            rest_s: 0.0,
            step,
            asleep: false,
            silent: false,
            fresh: true,
        };
        this.difficulty = this.allowed(start.get());
        this
    }

    /// A miner that is known by name: starts where `remembered` belongs, and silence is taken for sleep from the start.
    pub fn resume(settings: &Arc<VardiffSettings>, step: Step, remembered: Hashrate, now: Instant) -> Self {
        let mut this = Self::new(settings, step, settings.min, now);
        let per_s = remembered.hs() / HASHES_PER_DIFFICULTY;
        this.steady = per_s as f32;
        this.difficulty = this.allowed(per_s / this.target_per_s());
        this
    }

    /// The listener decides otherwise from now on. What the miner itself asked for stays: a floor above the listener's, or under it.
    pub fn set_settings(&mut self, now: Instant, settings: &Arc<VardiffSettings>) -> Option<Retarget> {
        self.advance(now);
        let floor = |settings: &VardiffSettings| self.step.round_up(settings.min.get().max(LEAST));
        let (before, after) = (floor(&self.settings), floor(settings));
        self.floor = match self.floor.total_cmp(&before) {
            std::cmp::Ordering::Less => self.floor.min(after),
            std::cmp::Ordering::Equal => after,
            std::cmp::Ordering::Greater => self.floor.max(after),
        };
        // Windows compare with the rate that was aimed at when they began.
        if self.settings.shares_per_minute != settings.shares_per_minute && self.above.age_s >= 0.0 {
            self.begin_windows(0.0);
        }
        self.settings = Arc::clone(settings);
        let allowed = self.allowed(self.difficulty.get());
        (allowed != self.difficulty).then(|| self.change_to(allowed))
    }

    /// What the miner should work at now.
    pub fn difficulty(&self) -> Difficulty {
        self.difficulty
    }

    /// The estimate: `None` before the first share, right after a silence, and for one that sleeps; falls while shares stay away.
    pub fn hashrate(&self, now: Instant) -> Option<Hashrate> {
        if self.rest_s > 0.0 {
            return None;
        }
        let work_s = self.work_s + self.counted_s(now.saturating_duration_since(self.seen));
        (self.work > 0.0 && work_s > 0.0).then(|| Hashrate::from_hs(self.work / work_s * HASHES_PER_DIFFICULTY))
    }

    /// Takes a share that was credited with the difficulty it was judged by.
    pub fn record_share(&mut self, now: Instant, credited: Difficulty) -> Option<Retarget> {
        self.advance(now);
        self.fresh = false;
        if self.rest_s > 0.0 {
            self.stir();
            return None;
        }
        if self.above.age_s < 0.0 {
            return None;
        }
        if self.silent {
            self.wake();
            return None;
        }
        self.shares = self.shares.saturating_add(1);
        self.work += credited.get();
        let share = (credited.get() / self.difficulty.get()) as f32;
        self.above.shares += share;
        self.below.shares += share;
        if self.shares >= PROVEN && self.work_s > 0.0 {
            self.steady = (self.work / self.work_s) as f32;
        }
        self.judge_above().or_else(|| self.judge_below()).or_else(|| self.trim())
    }

    /// The timer's path: a silent miner is lowered too. Cheap and harmless at any time; due at [`Self::next_timeout`].
    pub fn poll(&mut self, now: Instant) -> Option<Retarget> {
        self.advance(now);
        if self.rest_s > 0.0 {
            return None;
        }
        if self.asleep {
            // It stirred, and is silent again.
            if self.below_for_sure().is_some() {
                self.rest();
            }
            return None;
        }
        self.judge_below()
    }

    /// It is known to sleep from now on: no silence is held against it, and what an earlier one cost it is given back.
    pub fn sleep(&mut self, now: Instant) -> Option<Retarget> {
        self.advance(now);
        self.asleep = true;
        let mut retarget = None;
        if self.silent && self.steady > 0.0 {
            self.silent = false;
            self.work = f64::from(self.steady) * self.work_s;
            let allowed = self.allowed(f64::from(self.steady) / self.target_per_s());
            retarget = (allowed > self.difficulty).then(|| self.change_to(allowed));
        }
        self.rest();
        retarget
    }

    /// It should wake up: its first share counts, and silence again after [`RISE`].
    pub fn rise(&mut self, now: Instant) {
        self.advance(now);
        self.asleep = false;
        self.rest_s = self.rest_s.min(RISE.as_secs_f32());
    }

    /// When [`Self::poll`] is due, if no share comes before.
    pub fn next_timeout(&self) -> Instant {
        if self.rest_s > 0.0 {
            return self.seen + Duration::from_secs_f32(self.rest_s.min(ASLEEP_LOOK.as_secs_f32()));
        }
        let per_s = self.step.band().0 * self.target_per_s();
        let (seen, evidence) = (f64::from(self.below.shares), self.evidence_needed());
        // Evidence is at most `m − n`; past that point, look again each time it may have grown by a quarter.
        let missing = seen + evidence - per_s * f64::from(self.below.age_s);
        self.seen + Duration::from_secs_f64(missing.max(evidence / 4.0) / per_s)
    }

    /// Never go above `ceiling`: the easier of the pool's own difficulty and the network's. It wins over every floor.
    ///
    /// A lower one is in force at once. A higher one is used when the shares ask for it.
    pub fn set_ceiling(&mut self, now: Instant, ceiling: Difficulty) -> Option<Retarget> {
        self.advance(now);
        self.ceiling = ceiling.get();
        let allowed = self.allowed(self.difficulty.get());
        (allowed < self.difficulty).then(|| self.change_to(allowed))
    }

    /// `md=` in the password: this miner wants no less. Lower values than the listener's floor change nothing.
    pub fn raise_floor(&mut self, now: Instant, wish: Difficulty) -> Option<Retarget> {
        self.advance(now);
        self.floor = self.floor.max(self.step.round_up(wish.get()));
        let allowed = self.allowed(self.difficulty.get());
        (allowed > self.difficulty).then(|| self.change_to(allowed))
    }

    /// `mining.suggest_difficulty`. May be repeated as often as the firmware likes.
    ///
    /// Below the listener's floor it is granted, since everybody's rate of shares is the same in the end; unless the miner
    /// raised the floor itself. As a start it is taken only until the first share is credited or silence was judged: then
    /// we know better. Not to be called where something better decided the start (`d=`, a remembered hashrate).
    pub fn suggest(&mut self, now: Instant, wish: Difficulty) -> Option<Retarget> {
        self.advance(now);
        if self.floor <= self.step.round_up(self.settings.min.get().max(LEAST)) {
            self.floor = self.floor.min(self.step.round_up(wish.get().max(LEAST)));
        }
        let allowed = self.allowed(wish.get());
        (self.fresh && allowed != self.difficulty).then(|| self.change_to(allowed))
    }

    /// Ages everything by the time since the last call.
    fn advance(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.seen);
        self.seen += elapsed;
        if self.rest_s > 0.0 {
            self.rest_s = (self.rest_s - elapsed.as_secs_f32()).max(0.0);
            return;
        }
        self.work_s += self.counted_s(elapsed);
        self.above.age_s += elapsed.as_secs_f32();
        self.below.age_s += elapsed.as_secs_f32();
        if self.work_s > MEMORY_S {
            self.work *= MEMORY_S / self.work_s;
            self.work_s = MEMORY_S;
        }
    }

    /// What of the next `elapsed` counts: all of it, but for a blind time that isn't over.
    fn counted_s(&self, elapsed: Duration) -> f64 {
        let blind_s = f64::from(-self.above.age_s).max(0.0);
        (elapsed.as_secs_f64() - blind_s).max(0.0)
    }

    /// Has the miner become too fast for its difficulty?
    fn judge_above(&mut self) -> Option<Retarget> {
        let (shares, age_s) = (f64::from(self.above.shares), f64::from(self.above.age_s));
        let per_s = self.step.band().1 * self.target_per_s();
        if shares <= per_s * age_s {
            self.above = Window::after(0.0);
            return None;
        }
        if age_s < SPAN_MIN_S
            || shares < RAISE_SHARES
            || evidence(shares, per_s * (age_s + STALL_S)) < self.evidence_needed()
        {
            return None;
        }
        self.follow(shares, age_s)
    }

    /// Shares and seconds of a window that is below the band beyond doubt.
    fn below_for_sure(&mut self) -> Option<(f64, f64)> {
        let (shares, age_s) = (f64::from(self.below.shares), f64::from(self.below.age_s));
        let allowed = self.step.band().0 * self.target_per_s() * age_s;
        if shares >= allowed {
            // Only a share can end the window: before the first one there is nothing to begin it with.
            if shares > 0.0 {
                self.below = Window::after(0.0);
            }
            return None;
        }
        (evidence(shares, allowed) >= self.evidence_needed()).then_some((shares, age_s))
    }

    /// Has it become too slow, or silent?
    fn judge_below(&mut self) -> Option<Retarget> {
        let (shares, age_s) = self.below_for_sure()?;
        if shares >= 1.0 {
            return self.follow(shares, age_s);
        }
        self.silent = true;
        let asleep_shares = f64::from(self.steady) / SLEEP_FACTOR * age_s / self.difficulty.get();
        if asleep_shares >= self.target_per_s() * age_s {
            self.begin_windows(0.0);
            return None;
        }
        self.follow(asleep_shares.max(1.0), age_s)
    }

    /// Looks at a proven average, twice, with a finer measure than the windows have.
    fn trim(&mut self) -> Option<Retarget> {
        if !TRIM_AT.contains(&self.shares) || self.work_s < SPAN_MIN_S {
            return None;
        }
        let wanted = self.work / self.work_s / self.target_per_s();
        let (low, high) = self.step.inner_band();
        if (low..high).contains(&(wanted / self.difficulty.get())) {
            return None;
        }
        let allowed = self.allowed(wanted);
        (allowed != self.difficulty).then(|| self.change_to(allowed))
    }

    /// Believes a window: `shares` in `age_s` seconds is how fast the miner is.
    fn follow(&mut self, shares: f64, age_s: f64) -> Option<Retarget> {
        let work = shares * self.difficulty.get();
        let allowed = self.allowed(work / age_s / self.target_per_s());
        if allowed == self.difficulty {
            // Held by floor, ceiling or rounding. The average goes on: it has more shares than the window.
            self.begin_windows(0.0);
            return None;
        }
        self.work = work;
        self.work_s = age_s;
        self.fresh = false;
        let retarget = self.change_to(allowed);
        self.shares = if self.silent { 0 } else { shares as u32 };
        Some(retarget)
    }

    /// A share after silence: what came before it says nothing about the miner's speed.
    fn wake(&mut self) {
        self.silent = false;
        self.steady /= SLEEP_FACTOR as f32;
        self.work = 0.0;
        self.work_s = 0.0;
        self.shares = 0;
        self.begin_windows(0.0);
    }

    /// Time stands still.
    fn rest(&mut self) {
        self.rest_s = f32::INFINITY;
        self.begin_windows(0.0);
    }

    /// A share after a rest: time goes on, and this share is where the windows begin.
    fn stir(&mut self) {
        self.rest_s = 0.0;
        if self.silent {
            self.wake();
        } else {
            self.begin_windows(0.0);
        }
    }

    /// Puts a difficulty in force. The average is in hashes and stays; the windows are in shares and begin anew.
    fn change_to(&mut self, difficulty: Difficulty) -> Retarget {
        let factor = difficulty.get() / self.difficulty.get();
        let urgent = self.shares < PROVEN || !(1.0 / URGENT..=URGENT).contains(&factor);
        let urgency = if urgent { Urgency::Now } else { Urgency::NextJob };
        self.difficulty = difficulty;
        self.begin_windows(match urgency {
            Urgency::Now => GRACE_NOW_S,
            Urgency::NextJob => GRACE_NEXT_JOB_S,
        });
        Retarget { difficulty, urgency }
    }

    fn begin_windows(&mut self, grace_s: f32) {
        self.above = Window::after(grace_s);
        self.below = Window::after(grace_s);
    }

    fn evidence_needed(&self) -> f64 {
        if self.shares < PROVEN { EAGER } else { SURE }
    }

    fn target_per_s(&self) -> f64 {
        self.settings.shares_per_minute / 60.0
    }

    /// `wanted` between floor and ceiling, rounded down.
    fn allowed(&self, wanted: f64) -> Difficulty {
        let max = self.settings.max.map_or(f64::INFINITY, Difficulty::get);
        let value = wanted.max(self.floor).min(max).min(self.ceiling).max(LEAST);
        Difficulty::new(self.step.round_down(value)).unwrap_or(self.difficulty)
    }
}

/// How surely `seen` shares are not what `allowed` would give: the Poisson log likelihood ratio, in nats.
fn evidence(seen: f64, allowed: f64) -> f64 {
    if seen > 0.0 { seen * (seen / allowed).ln() - seen + allowed } else { allowed }
}
