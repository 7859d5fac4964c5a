//! One miner's connection, from its first line to its last share.
//!
//! Knows the protocol and this miner; knows nothing of sockets, clocks, pools or other miners. Lines and messages come in through
//! `handle_*` with the time they came at; lines for the miner go to [`Io::out`], everything else that should happen to
//! [`Io::effects`]. Nothing here waits: a reply that needs the router is *held*, and while one is held the caller
//! passes no further line in, so that answers keep their order.
//!
//! ```text
//!            subscribe ─► (offer known?) ─► Effect::WantLease ─► handle_lease ─► reply
//!            authorize ─► true
//!  both, or 1.5 s after subscribe ─► Effect::WantRoute ─► handle_attached ─► set_difficulty, notify
//!            submit ─► share check ─► reply, Effect::Judged, Effect::Submit
//! ```
//!
//! | link to the pool | a share is answered |
//! |---|---|
//! | [`Link::Live`] | by the check, or by the pool's word if the listener says so |
//! | [`Link::Resumed`]: back, its next job is awaited | as live; no work is sent again before that job |
//! | [`Link::Away`]: lost, may resume | "No pool", never `true`; a block is kept for the pool |
//! | jobs of other connections that are gone | "Stale" |
//!
//! Limits: see the constants; texts from the miner are cut when they are read (`stratum/request.rs`).

use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    config,
    downstream::{
        CloseReason, Effect, Io, ListenerSettings, PasswordOptions, Quirks, Round,
        vardiff::{Retarget, Urgency, Vardiff},
    },
    router::{ExtranonceLease, LaneId, Layout, LeaseTerms, Offer, SessionId},
    stratum::{Configure, Extension, Frame, PoolError, RawId, Request, Response, Submit},
    work::{
        Difficulty, Extranonce, Hashrate, JobId, JobWindow, Judge, Judged, LiveJob, PoolShare, Reject, Submission,
        SubmittedVersion, Target, Terms, UpstreamId, ValidShare, WorkSeries,
    },
};

mod handshake;
mod shares;
mod sleep;

use shares::Awaited;

/// Work is sent at the latest so long after subscribe, authorized or not (Braiins Hashpower drops servers that wait longer than
/// 2 s; the caller's clock may be late by a quarter of a second).
const FIRST_WORK: Duration = Duration::from_millis(1500);

/// Lines that are no JSON object before a connection that made sense before is closed.
const MAX_MALFORMED: u8 = 8;

/// A suggestion this soon after the first work replaces the difficulty we started with.
const SUGGESTION_IN_TIME: Duration = Duration::from_secs(15);

/// Bytes of a user agent that are kept for each connection: names with versions have half as many.
const MAX_AGENT: usize = 64;

/// What the router says of a miner's route.
#[derive(Debug, Clone)]
pub struct Attached {
    /// The difficulty this worker had when it was last seen.
    pub remembered: Option<Difficulty>,
    /// The work of its pool, if that is there, and when the pool sent it.
    pub work: Option<(Arc<WorkSeries>, Instant)>,
}

/// A lease for a miner, with what it left when it was here before.
#[derive(Debug)]
pub struct Leased {
    /// The lease.
    pub lease: ExtranonceLease<Parked>,
    /// What was parked with it.
    pub resumed: Option<Parked>,
}

/// What became of a pool connection, for a miner that was not there to hear it.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// It is lost, and may come back with the same extranonce1.
    pub is_lost: bool,
    /// When its last clean job came.
    pub cleaned: Option<Instant>,
}

/// What a miner finds when it resumes its session: everything that its lease has seen.
#[derive(Debug)]
pub struct Parked {
    since: Instant,
    window: JobWindow,
    latest: Option<Latest>,
    vardiff: Option<Vardiff>,
}

/// The work sent last.
#[derive(Debug, Clone)]
struct Latest {
    series: Arc<WorkSeries>,
    came: Instant,
    number: u32,
}

/// A reply that waits for the router; the miner's following lines wait with it.
#[derive(Debug)]
enum Held {
    Nothing,
    /// The line is handled again when the offer is known.
    ForOffer(Box<[u8]>),
    /// A subscribe, its id verbatim.
    ForLease(Box<[u8]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// No pool yet.
    None,
    Live(UpstreamId),
    Resumed(UpstreamId),
    Away(UpstreamId),
}

/// How the miner's version bits are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rolling {
    /// It did not say; a sixth parameter is taken against the listener's mask (datum_gateway#214).
    Unasked,
    /// It did not say, and rolls.
    Unannounced,
    /// BIP 310, with the bits it asked for and was granted.
    Granted {
        /// What it was granted, for good.
        mask: u32,
        /// What it was told last; narrower where its pool grants less.
        told: u32,
    },
    /// `mining.multi_version`: the sixth parameter is the whole version.
    WholeVersion,
}

/// What is known of where the difficulty should start; the lowest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum StartFrom {
    Password,
    Remembered,
    Suggested,
    UserAgent,
    Listener,
}

/// A worker that was authorized on a connection.
#[derive(Debug)]
struct Authorized {
    name: Arc<str>,
    /// How many were authorized before it; its own for as long as the connection lives.
    place: u16,
}

/// One miner's connection.
#[derive(Debug)]
pub struct Session {
    settings: Arc<ListenerSettings>,
    offer: Option<Offer>,
    lease: Option<ExtranonceLease<Parked>>,
    held: Held,
    quirks: &'static Quirks,
    /// What its firmware calls itself, cut to [`MAX_AGENT`].
    agent: Option<Arc<str>>,
    /// Authorized workers, sorted by name.
    workers: Vec<Authorized>,
    /// The first of them, which decides the route.
    user: Option<Arc<str>>,
    asked_route: AskedRoute,
    /// What the route was asked for: a miner that rolls.
    asked_rolls: bool,
    rolling: Rolling,
    takes_set_extranonce: bool,
    options: PasswordOptions,
    suggested: Option<Difficulty>,
    started_from: StartFrom,
    window: JobWindow,
    link: Link,
    latest: Option<Latest>,
    vardiff: Option<Vardiff>,
    /// The difficulty in force: what the miner was told last.
    told: Option<Arc<Terms>>,
    awaited: VecDeque<Awaited>,
    next_ticket: u32,
    malformed: u8,
    made_sense: bool,
    connected: Instant,
    subscribed: Option<Instant>,
    first_work: Option<Instant>,
    last_work: Instant,
    credited_any: bool,
    /// It sleeps, or is waking up: whatever work it is sent is clean, so that it replaces what it has not read.
    rests: bool,
}

/// Whether a session took a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// It did.
    Yes,
    /// Answers keep their order, and shares before it wait: judge the round, then give it the line again.
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AskedRoute {
    No,
    Anonymous,
    ByName,
}

impl Session {
    /// A connection that was just accepted.
    pub fn new(settings: Arc<ListenerSettings>, offer: Option<Offer>, now: Instant) -> Self {
        Self {
            settings,
            offer,
            lease: None,
            held: Held::Nothing,
            quirks: Quirks::of(""),
            agent: None,
            workers: Vec::new(),
            user: None,
            asked_route: AskedRoute::No,
            asked_rolls: false,
            rolling: Rolling::Unasked,
            takes_set_extranonce: false,
            options: PasswordOptions::default(),
            suggested: None,
            started_from: StartFrom::Listener,
            window: JobWindow::default(),
            link: Link::None,
            latest: None,
            vardiff: None,
            told: None,
            awaited: VecDeque::new(),
            next_ticket: 1,
            malformed: 0,
            made_sense: false,
            connected: now,
            subscribed: None,
            first_work: None,
            last_work: now,
            credited_any: false,
            rests: false,
        }
    }

    /// Its listener's settings are others from now on.
    pub fn handle_settings(&mut self, now: Instant, settings: &Arc<ListenerSettings>, io: &mut Io) {
        let is_other = self.settings.vardiff != settings.vardiff;
        self.settings = settings.clone();
        let vardiff = self.vardiff.as_mut().filter(|_| is_other);
        let retarget = vardiff.and_then(|vardiff| vardiff.set_settings(now, &settings.vardiff));
        self.retarget(now, retarget, io);
    }

    /// What shares are judged by, for [`Round::hash`].
    pub fn window(&self) -> &JobWindow {
        &self.window
    }

    /// Whether a reply is held: no line may be passed in until the router has answered.
    pub fn is_waiting(&self) -> bool {
        !matches!(self.held, Held::Nothing)
    }

    /// What the miner was granted.
    pub fn lease(&self) -> Option<&LeaseTerms> {
        self.lease.as_ref().map(|lease| &lease.terms)
    }

    /// The listener it came by.
    pub fn listener(&self) -> usize {
        self.settings.index
    }

    /// The first authorized worker.
    pub fn user(&self) -> Option<&Arc<str>> {
        self.user.as_ref()
    }

    /// All authorized workers in the order of their names, each with its place: how many were authorized before it.
    pub fn workers(&self) -> impl ExactSizeIterator<Item = (u16, &Arc<str>)> {
        self.workers.iter().map(|worker| (worker.place, &worker.name))
    }

    /// What its firmware calls itself; `None` before it has subscribed, or where it says nothing.
    pub fn agent(&self) -> Option<&Arc<str>> {
        self.agent.as_ref()
    }

    /// When it connected.
    pub fn connected(&self) -> Instant {
        self.connected
    }

    /// The firmware, by its user agent.
    pub fn firmware(&self) -> &'static Quirks {
        self.quirks
    }

    /// The live pool connection it works for.
    pub fn upstream(&self) -> Option<UpstreamId> {
        match self.link {
            Link::Live(id) | Link::Resumed(id) => Some(id),
            Link::None | Link::Away(_) => None,
        }
    }

    /// Whether what happens to this pool connection concerns it: it works for it, live or away, or may still submit for its jobs.
    pub fn works_for(&self, upstream: UpstreamId) -> bool {
        self.upstream() == Some(upstream) || self.link == Link::Away(upstream) || self.window.has_jobs_of(upstream)
    }

    /// The difficulty that suits it, which it is told with its next work; `None` before the first.
    pub fn difficulty(&self) -> Option<Difficulty> {
        self.vardiff.as_ref().map(Vardiff::difficulty)
    }

    /// What it is estimated to hash.
    pub fn hashrate(&self, now: Instant) -> Option<Hashrate> {
        self.vardiff.as_ref()?.hashrate(now)
    }

    /// Whether it has subscribed and authorized: a miner, not just a connection.
    pub fn is_mining(&self) -> bool {
        self.lease.is_some() && self.user.is_some()
    }

    /// Whether it rolls versions, or may: many that were granted it can't stop.
    pub fn rolls(&self) -> bool {
        match self.rolling {
            Rolling::Unasked => false,
            Rolling::Granted { mask, .. } => mask != 0,
            Rolling::Unannounced | Rolling::WholeVersion => self.listener_mask() != 0,
        }
    }

    /// Gives the lease back, with everything its miner should find when it returns.
    pub fn park(self, now: Instant) {
        let Some(lease) = self.lease else { return };
        if !self.window.is_empty() {
            lease.park(Parked { since: now, window: self.window, latest: self.latest, vardiff: self.vardiff });
        }
    }

    /// A line came, and no other with it: its shares are judged at once.
    pub fn handle_line(&mut self, now: Instant, line: &[u8], io: &mut Io) {
        if self.take_line(now, line, io) == Taken::Not {
            self.judge_round(now, io);
            let taken = self.take_line(now, line, io);
            debug_assert_eq!(taken, Taken::Yes, "no share waits");
        }
        self.judge_round(now, io);
    }

    /// A line came. A share in it is put into the round, to be judged with those of other miners
    /// ([`judge_from`](Self::judge_from)); whatever else it is, it is answered at once.
    pub fn take_line(&mut self, now: Instant, line: &[u8], io: &mut Io) -> Taken {
        debug_assert!(!self.is_waiting(), "a held reply must go out first");
        if let Some((id, submit)) = Submit::usual(line) {
            self.made_sense = true;
            self.take_submit(id, &submit, io);
            return Taken::Yes;
        }
        let frame = Frame::parse(line);
        let parsed = frame.as_ref().map(Request::parse);
        if let Ok((id, Ok(Request::Submit(submit)))) = &parsed {
            self.made_sense = true;
            self.take_submit(*id, submit, io);
            return Taken::Yes;
        }
        if io.round.has_own() {
            return Taken::Not;
        }
        let (Ok(frame), Ok((id, request))) = (&frame, parsed) else {
            self.malformed_line(io);
            return Taken::Yes;
        };
        self.made_sense = true;
        match request {
            Ok(request) => self.request(now, id, request, line, io),
            Err(error) if frame.method.as_deref() == Some("mining.submit") => {
                self.reject(id, 0, Reject::Malformed(error.0), io);
            }
            Err(error) => Response(&mut io.out).error(id, 20, error),
        }
        Taken::Yes
    }

    fn malformed_line(&mut self, io: &mut Io) {
        self.malformed += 1;
        if !self.made_sense {
            return io.effects.push(Effect::Close(CloseReason::NotStratum));
        }
        Response(&mut io.out).error(RawId::from_text("null"), 20, "Malformed line");
        if self.malformed >= MAX_MALFORMED {
            io.effects.push(Effect::Close(CloseReason::Malformed));
        }
    }

    /// The router's answer to [`Effect::WantRoute`].
    pub fn handle_attached(&mut self, now: Instant, attached: &Attached, io: &mut Io) {
        if self.first_work.is_none() || !self.credited_any {
            self.start_difficulty(now, attached.remembered);
        }
        match &attached.work {
            Some((series, _)) if self.latest.is_some() && self.link == Link::Live(series.job().upstream) => {
                // It has this pool's work already; only a new difficulty is worth a line.
                if self.told.as_ref().map(|told| told.difficulty) != self.difficulty() {
                    self.send_more(now, io);
                }
            }
            Some((series, came)) => self.handle_bound(now, series, *came, io),
            None => self.handle_unbound(),
        }
    }

    /// The miner works for this pool connection from now on.
    pub fn handle_bound(&mut self, now: Instant, series: &Arc<WorkSeries>, came: Instant, io: &mut Io) {
        let upstream = series.job().upstream;
        if let Link::Away(gone) = self.link
            && gone != upstream
        {
            self.window.supersede(gone);
        }
        self.link = Link::Live(upstream);
        if self.vardiff.is_none() {
            self.start_difficulty(now, None);
        }
        self.send_work(now, series, came, 0, true, io);
    }

    /// Its route has no live pool. What it hashes goes on until its own patience ends.
    pub fn handle_unbound(&mut self) {
        if let Some(upstream) = self.upstream() {
            self.link = Link::Away(upstream);
        }
    }

    /// A pool connection sent a job. `came`: when.
    pub fn handle_job(&mut self, now: Instant, series: &Arc<WorkSeries>, came: Instant, io: &mut Io) {
        let job = series.job();
        if job.notify.clean {
            self.window.supersede(job.upstream);
        }
        if self.upstream() == Some(job.upstream) {
            self.link = Link::Live(job.upstream);
            self.send_work(now, series, came, 0, job.notify.clean, io);
        }
    }

    /// A pool connection is lost. `may_resume`: it may come back with the same extranonce1.
    pub fn handle_lost(&mut self, upstream: UpstreamId, may_resume: bool) {
        self.mark_awaited(upstream, true);
        match self.link {
            Link::Live(id) | Link::Resumed(id) | Link::Away(id) if id == upstream && may_resume => {
                self.link = Link::Away(upstream)
            }
            _ => self.window.supersede(upstream),
        }
    }

    /// A lost pool connection is back with the same extranonce1: its jobs count again.
    pub fn handle_resumed(&mut self, upstream: UpstreamId) {
        self.mark_awaited(upstream, false);
        if self.link == Link::Away(upstream) {
            self.link = Link::Resumed(upstream);
        }
    }

    /// The lease moved to another lane, under the same id.
    pub fn handle_merged(&mut self, from: LaneId, into: LaneId) {
        if let Some(lease) = self.lease.as_mut().filter(|lease| lease.terms.lane == from) {
            lease.terms.lane = into;
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn next_timeout(&self) -> Instant {
        let limits = &self.settings.limits;
        let pre_auth = (!self.is_mining()).then(|| self.connected + limits.pre_auth_timeout);
        let unasked = self.asked_route == AskedRoute::No;
        let first_work = self.subscribed.filter(|_| unasked).map(|subscribed| subscribed + FIRST_WORK);
        let is_live = matches!(self.link, Link::Live(_)) && self.latest.is_some();
        let keep_alive = is_live.then(|| self.last_work + self.settings.listener.keep_alive);
        let vardiff = self.vardiff.as_ref().filter(|_| is_live).map(Vardiff::next_timeout);
        let awaited = self.awaited.front().map(|first| first.since + self.answer_timeout());
        let far = self.connected + Duration::from_secs(86400 * 365);
        [pre_auth, first_work, keep_alive, vardiff, awaited].into_iter().flatten().min().unwrap_or(far)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, io: &mut Io) {
        let limits = &self.settings.limits;
        if !self.is_mining() && now >= self.connected + limits.pre_auth_timeout {
            return io.effects.push(Effect::Close(CloseReason::PreAuthTimeout));
        }
        if self.subscribed.is_some_and(|subscribed| now >= subscribed + FIRST_WORK) {
            self.ask_route(io);
        }
        while self.awaited.front().is_some_and(|first| now >= first.since + self.answer_timeout()) {
            match self.awaited.pop_front() {
                Some(Awaited { id, place, is_lost: true, .. }) => {
                    self.reject(RawId::from_bytes(&id), place, Reject::NoPool, io);
                }
                Some(Awaited { id, place, verdict, .. }) => self.credit(RawId::from_bytes(&id), place, verdict, io),
                None => {}
            }
        }
        if !matches!(self.link, Link::Live(_)) {
            // Silence lets the firmware go to its own backup pool.
            return;
        }
        let retarget = self.vardiff.as_mut().filter(|vardiff| now >= vardiff.next_timeout()).and_then(|v| v.poll(now));
        self.retarget(now, retarget, io);
        if now >= self.last_work + self.settings.listener.keep_alive {
            self.send_more(now, io);
        }
    }

    fn answer_timeout(&self) -> Duration {
        match self.settings.listener.answer {
            config::Answer::Pool { timeout } => timeout,
            config::Answer::Proxy => Duration::ZERO,
        }
    }

    /// The bits this miner may roll.
    fn version_mask(&self) -> u32 {
        match self.rolling {
            Rolling::Granted { mask, .. } => mask,
            Rolling::Unasked | Rolling::Unannounced | Rolling::WholeVersion => self.listener_mask(),
        }
    }

    fn retarget(&mut self, now: Instant, retarget: Option<Retarget>, io: &mut Io) {
        let Some(Retarget { urgency, .. }) = retarget else { return };
        io.effects.push(Effect::Retargeted);
        if self.exhausts_extranonce2(now) {
            Response(&mut io.out).show_message("too fast for the extranonce2 that the pools leave");
            return io.effects.push(Effect::Close(CloseReason::TooFastForExtranonce2));
        }
        if urgency == Urgency::Now {
            self.send_more(now, io);
        }
    }

    /// Whether the miner runs through its headers before it gets new work; only where pools leave two bytes or less.
    fn exhausts_extranonce2(&self, now: Instant) -> bool {
        let size = self.lease().map_or(8, |lease| lease.layout.extranonce2_size);
        if size > 2 {
            return false;
        }
        let headers = 2f64.powi(32 + 8 * i32::from(size) + self.version_mask().count_ones() as i32);
        let seconds = self.settings.listener.keep_alive.as_secs_f64();
        self.hashrate(now).is_some_and(|hashrate| hashrate.hs() * seconds > headers)
    }

    /// The next work of the job that the miner has: new headers under a new id.
    fn send_more(&mut self, now: Instant, io: &mut Io) {
        self.send_again(now, false, io);
    }

    fn send_again(&mut self, now: Instant, clean: bool, io: &mut Io) {
        let Some(Latest { series, came, number }) = self.latest.clone() else { return };
        if matches!(self.link, Link::Live(upstream) if upstream == series.job().upstream) {
            self.send_work(now, &series, came, number + 1, clean, io);
        }
    }

    /// Sends the newest work of a series, at least number `least`, with the difficulty that belongs to it.
    fn send_work(
        &mut self,
        now: Instant,
        series: &Arc<WorkSeries>,
        came: Instant,
        least: u32,
        clean: bool,
        io: &mut Io,
    ) {
        let clean = clean || self.rests;
        // A miner never gets one work twice, also not when it resumes, or comes back to a pool that has no new job.
        let sent = match &self.latest {
            Some(latest) if Arc::ptr_eq(&latest.series, series) => Some(latest.number),
            _ => self.window.newest_of(series.job()),
        };
        let least = sent.map_or(least, |number| least.max(number + 1));
        let elapsed_s = u32::try_from(now.saturating_duration_since(came).as_secs()).unwrap_or(u32::MAX);
        let (Some((number, work)), Some(vardiff)) = (series.at_least(least, elapsed_s), &mut self.vardiff) else {
            return;
        };
        vardiff.set_ceiling(now, series.job().difficulty_ceiling());
        let difficulty = vardiff.difficulty();
        let terms = match &self.told {
            Some(told) if told.difficulty == difficulty => told.clone(),
            _ => {
                Response(&mut io.out).set_difficulty(difficulty.get());
                self.told.insert(Terms::of(difficulty)).clone()
            }
        };
        if let Rolling::Granted { mask, told } = &mut self.rolling
            && *told != *mask & work.job.version_mask
        {
            *told = *mask & work.job.version_mask;
            Response(&mut io.out).set_version_mask(*told);
        }
        io.out.extend_from_slice(work.line(clean));
        io.clean |= clean;
        self.window.push(LiveJob::new(work, terms));
        self.latest = Some(Latest { series: series.clone(), came, number });
        self.first_work.get_or_insert(now);
        self.last_work = now;
    }
}

#[cfg(test)]
pub(super) mod tests;
