//! One connection to a pool, from the first line to the last.
//!
//! A machine: lines, shares and the time go in with `now`; lines, events and at the end a reason come out. Knows nothing of
//! sockets, and of other connections only what the one before has left ([`Carried`]).
//!
//! ```text
//! Configuring ──► Subscribing ──► Authorizing ──► Live ──► Closed
//!  no answer or    error to a      refused: a slow          from everywhere: no answer, garbage, no job
//!  error: no mask  session id:     retry                    for `notify_timeout`, client.reconnect
//!                  asked without
//! ```
//!
//! | the pool says | what it does |
//! |---|---|
//! | `mining.notify` | a job, with the difficulty, mask and extranonce in force; one that can't be mined is skipped, one that is given again gets a new ntime |
//! | `mining.set_difficulty` | from the next job on; older jobs keep theirs |
//! | `mining.set_extranonce` | from the next job on, under a new [`UpstreamId`] |
//! | `mining.set_version_mask` | at once |
//! | `client.reconnect` | closes, if `redirect.rs` lets it |
//! | a reply | settles the share with this id; unknown ids are ignored |
//! | no JSON | counted; at [`MAX_GARBAGE`] the connection is closed |
//!
//! Limits: [`MAX_AWAITED`] requests without an answer (the oldest gives way), one share is sent once on one connection.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::Level;

use super::{
    Event, Facts, Outgoing, Settlement, UpstreamIds,
    carried::{Carried, Kept, LastJob},
    output::{Close, MAX_GARBAGE, Output, Redirect},
    redirect,
    request::{self, ASKED_MASK, MAX_JOB_ID, MAX_LINE, MAX_SESSION_ID, USER_AGENT},
    workers::{Place, Workers},
};
use crate::{
    config::{Pool, PoolUrl, WorkerNames},
    stratum::{ConfigureAnswer, Frame, Notify, PoolError, PoolMessage, RawId, SubscribeAnswer, share_reply},
    work::{Difficulty, Job, MAX_EXTRANONCE, UpstreamId},
};

/// Bytes of the longest line of a pool: a job with a coinbase of 6.5 KB and 24 branches takes 15 KB, one with a coinbase of 100 KB
/// is no job for a miner.
pub(super) const MAX_POOL_LINE: usize = 256 * 1024;

/// Pools without BIP 310 often don't answer configure at all; the others answer in one round trip.
const CONFIGURE_TIMEOUT: Duration = Duration::from_secs(3);

/// Requests without an answer: 2 000 shares a second (the default of `admit_shares_per_second`) for the default `reply_timeout`.
const MAX_AWAITED: usize = 65_536;

/// What one connection may write into the log beyond its coming and going.
const MAX_NOTES: u32 = 100;

/// Bytes of a pool's extranonce1; those in use have 4 to 8.
const MAX_EXTRANONCE1: usize = 32;

/// The first request of a connection.
const CONFIGURE: u64 = 1;

/// Our name where a pool is told miners' names only and none is there yet.
const NOBODY: &str = "hashgate";

/// An extranonce of a pool.
#[derive(Debug, PartialEq, Eq)]
struct PoolExtranonce {
    extranonce1: Vec<u8>,
    extranonce2_size: usize,
}

impl PoolExtranonce {
    fn new(extranonce1: Vec<u8>, extranonce2_size: usize) -> Result<Self, Close> {
        let wrong = |text| Err(Close::Extranonce(text));
        if extranonce1.len() > MAX_EXTRANONCE1 {
            return wrong(format!(
                "extranonce1 of {} bytes, at most {MAX_EXTRANONCE1} are possible",
                extranonce1.len()
            ));
        }
        if !(1..=MAX_EXTRANONCE).contains(&extranonce2_size) {
            return wrong(format!("extranonce2 of {extranonce2_size} bytes, 1 to {MAX_EXTRANONCE} are possible"));
        }
        Ok(Self { extranonce1, extranonce2_size })
    }

    fn is_that_of(&self, facts: &Facts) -> bool {
        self.extranonce1 == facts.extranonce1 && self.extranonce2_size == facts.extranonce2_size
    }
}

#[derive(Debug)]
enum State {
    Configuring {
        deadline: Instant,
    },
    Subscribing {
        request: u64,
        deadline: Instant,
        is_resuming: bool,
    },
    Authorizing {
        request: u64,
        deadline: Instant,
        extranonce: PoolExtranonce,
        early: Option<(Box<Notify>, Difficulty)>,
    },
    Live(Live),
    Closed {
        was_live: Option<WasLive>,
    },
}

#[derive(Debug)]
struct Live {
    facts: Arc<Facts>,
    since: Instant,
    last_job: Instant,
    next_extranonce: Option<PoolExtranonce>,
    /// The newest job can't be rolled although a mask was granted.
    is_unrollable: bool,
    awaited: BTreeMap<u64, Awaited>,
    workers: Workers,
}

/// A request whose answer means something. Ids and times ascend together.
#[derive(Debug)]
struct Awaited {
    sent: Instant,
    what: Asked,
}

#[derive(Debug)]
enum Asked {
    Share { kept: Kept, was_resubmitted: bool },
    Worker(Arc<str>),
}

/// A login that had succeeded.
#[derive(Clone, Copy, Debug)]
pub(super) struct WasLive {
    pub id: UpstreamId,
    pub since: Instant,
}

/// One connection to a pool.
#[derive(Debug)]
pub(super) struct Session {
    pool: Arc<Pool>,
    ids: Arc<UpstreamIds>,
    login: Arc<str>,
    carried: Carried,
    state: State,
    /// In force for the next job.
    difficulty: Difficulty,
    /// In force.
    version_mask: u32,
    next_request: u64,
    outputs: VecDeque<Output>,
    garbage: u32,
    notes: u32,
}

impl Session {
    /// The connection is made; `carried` is what the one before has left.
    pub fn new(now: Instant, pool: Arc<Pool>, ids: Arc<UpstreamIds>, carried: Carried) -> Self {
        let login = pool.user.render("");
        let login = if login.is_empty() { NOBODY.into() } else { login.into() };
        let deadline = now + CONFIGURE_TIMEOUT.min(pool.reply_timeout);
        let mut session = Self {
            pool,
            ids,
            login,
            carried,
            state: State::Configuring { deadline },
            difficulty: Difficulty::ONE,
            version_mask: 0,
            next_request: CONFIGURE,
            outputs: VecDeque::new(),
            garbage: 0,
            notes: 0,
        };
        session.request(request::configure);
        // It would cost every connection the wait; an answer counts whenever it comes.
        if session.carried.is_silent_on_configure {
            session.subscribe(now);
        }
        session
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Configuring { deadline }
            | State::Subscribing { deadline, .. }
            | State::Authorizing { deadline, .. } => Some(*deadline),
            State::Live(live) => {
                let reply = live.awaited.first_key_value().map(|(_, first)| first.sent + self.pool.reply_timeout);
                let job = live.last_job + self.pool.notify_timeout;
                Some(reply.map_or(job, |reply| reply.min(job)))
            }
            State::Closed { .. } => return None,
        };
        own.into_iter().chain(self.carried.next_expiry()).min()
    }

    /// A line of the pool, without its end.
    pub fn handle_line(&mut self, now: Instant, line: &[u8]) {
        if matches!(self.state, State::Closed { .. }) {
            return;
        }
        let frame = match Frame::parse(line) {
            Ok(frame) => frame,
            Err(error) => {
                self.garbage += 1;
                self.note(Level::DEBUG, format!("passed over a line: {error}"));
                if self.garbage >= MAX_GARBAGE {
                    self.close(Close::Garbage(error.to_string()));
                }
                return;
            }
        };
        match PoolMessage::parse(&frame) {
            Some(Ok(message)) => self.handle_message(now, frame.id(), message),
            Some(Err(error)) => self.note(Level::WARN, format!("skipped a message that can't be used: {error}")),
            None => {
                if let Some(request) = frame.id().as_u64() {
                    self.handle_reply(now, request, &frame);
                }
            }
        }
    }

    /// The time has come that [`poll_timeout`](Self::poll_timeout) told.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(kept) = self.carried.expired(now) {
            self.settle(kept, Settlement::Lost);
        }
        let after = self.pool.reply_timeout;
        match &self.state {
            State::Configuring { deadline } if now >= *deadline => {
                self.note(Level::INFO, "does not answer mining.configure: no version rolling".to_owned());
                self.carried.is_silent_on_configure = true;
                self.subscribe(now);
            }
            State::Subscribing { deadline, .. } if now >= *deadline => {
                self.close(Close::NoAnswer { method: "mining.subscribe", after });
            }
            State::Authorizing { deadline, .. } if now >= *deadline => {
                self.close(Close::NoAnswer { method: "mining.authorize", after });
            }
            State::Live(_) => self.check_live(now),
            _ => {}
        }
    }

    /// A share for the pool. It is settled by an event, now or later.
    pub fn submit(&mut self, now: Instant, outgoing: Outgoing) {
        let kept = Kept::new(now, outgoing);
        match &self.state {
            State::Live(live) if live.facts.id == kept.upstream() => self.dispatch(now, kept),
            State::Live(_) | State::Closed { .. } => self.settle(kept, Settlement::Lost),
            _ => {
                if let Some(lost) = self.carried.keep(kept) {
                    self.settle(lost, Settlement::Lost);
                }
            }
        }
    }

    /// The router would like this difficulty, on this connection and those after it.
    pub fn suggest(&mut self, difficulty: Difficulty) {
        self.carried.suggested = Some(difficulty);
        if matches!(self.state, State::Live(_)) {
            self.request(|id| request::suggest_difficulty(id, difficulty));
        }
    }

    /// The connection is gone. Yields what had been reached, and what the next one needs; its outputs are those of
    /// [`poll_output`](Self::poll_output) before and of the vector now.
    pub fn end(mut self) -> (Option<WasLive>, Carried, Vec<Output>) {
        self.leave();
        let State::Closed { was_live } = self.state else { unreachable!("a session that was left is closed") };
        (was_live, self.carried, self.outputs.into())
    }

    // ---- replies

    fn handle_reply(&mut self, now: Instant, reply: u64, frame: &Frame<'_>) {
        match &mut self.state {
            _ if reply == CONFIGURE => {
                self.carried.is_silent_on_configure = false;
                self.set_version_mask(now, ConfigureAnswer::parse(frame.result, ASKED_MASK).version_mask);
                // Else it is later than we waited for it, and granted all the same.
                if matches!(self.state, State::Configuring { .. }) {
                    self.subscribe(now);
                }
            }
            State::Subscribing { request, is_resuming, .. } if *request == reply => {
                let is_resuming = *is_resuming;
                self.subscribed(now, frame, is_resuming);
            }
            State::Authorizing { request, .. } if *request == reply => self.authorized(now, share_reply(frame)),
            State::Live(live) => {
                if let Some(awaited) = live.awaited.remove(&reply) {
                    self.answered(now, awaited, share_reply(frame));
                }
            }
            _ => {}
        }
    }

    fn subscribe(&mut self, now: Instant) {
        // Taken, so that a pool that hangs up on a session id gets none the next time.
        let session = self.carried.session.take();
        let request = self.request(|id| request::subscribe(id, session.as_deref()));
        let deadline = now + self.pool.reply_timeout;
        self.state = State::Subscribing { request, deadline, is_resuming: session.is_some() };
    }

    fn subscribed(&mut self, now: Instant, frame: &Frame<'_>, is_resuming: bool) {
        let answer = match (frame.error, frame.result) {
            (None, Some(result)) => SubscribeAnswer::parse(result),
            (Some(error), _) => Err(error.get().chars().take(200).collect()),
            (None, None) => Err("no result".to_owned()),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is_resuming => {
                self.note(Level::DEBUG, format!("does not resume ({error}); subscribing anew"));
                return self.subscribe(now);
            }
            Err(error) => return self.close(Close::Subscribe(error)),
        };
        self.carried.session = answer.session.filter(|session| is_short_text(session, MAX_SESSION_ID));
        match PoolExtranonce::new(answer.extranonce1, answer.extranonce2_size) {
            Err(close) => self.close(close),
            Ok(extranonce) => {
                let (pool, login) = (self.pool.clone(), self.login.clone());
                let request = self.request(|id| request::authorize(id, &login, pool.password.expose()));
                let deadline = now + self.pool.reply_timeout;
                self.state = State::Authorizing { request, deadline, extranonce, early: None };
            }
        }
    }

    fn authorized(&mut self, now: Instant, answer: Result<(), PoolError>) {
        if let Err(error) = answer {
            // A pool that wants miners' names only may refuse ours and still give work.
            if self.pool.workers != WorkerNames::Forward || *self.login != *NOBODY {
                return self.close(Close::Login { user: self.login.clone(), error });
            }
            self.note(
                Level::INFO,
                format!("login {NOBODY:?} refused: {error}; going on, the miners bring their own names"),
            );
        }
        let closed = State::Closed { was_live: None };
        let State::Authorizing { extranonce, early, .. } = std::mem::replace(&mut self.state, closed) else { return };
        let before = self.carried.facts.take().filter(|facts| extranonce.is_that_of(facts));
        let id = before.as_ref().map_or_else(|| self.ids.next(), |facts| facts.id);
        let PoolExtranonce { extranonce1, extranonce2_size } = extranonce;
        let facts = Arc::new(Facts { id, extranonce1, extranonce2_size, version_mask: self.version_mask });
        self.state = State::Live(Live {
            facts: facts.clone(),
            since: now,
            last_job: now,
            next_extranonce: None,
            is_unrollable: false,
            awaited: BTreeMap::new(),
            workers: Workers::default(),
        });
        self.publish(facts);
        self.request(request::extranonce_subscribe);
        if let Some(difficulty) = self.carried.suggested.or(self.pool.suggest_difficulty) {
            self.request(|id| request::suggest_difficulty(id, difficulty));
        }
        if before.is_some() {
            self.outputs.push_back(Output::Event(Event::Resumed(id)));
        }
        for kept in self.carried.take_shares() {
            if kept.upstream() == id { self.dispatch(now, kept) } else { self.settle(kept, Settlement::Lost) }
        }
        if let Some((notify, difficulty)) = early {
            self.job(now, *notify, difficulty);
        }
    }

    fn answered(&mut self, now: Instant, awaited: Awaited, answer: Result<(), PoolError>) {
        match awaited.what {
            Asked::Share { kept, was_resubmitted } => {
                let settlement = match answer {
                    Ok(()) => Settlement::Accepted { latency: now.saturating_duration_since(awaited.sent) },
                    // It has the first.
                    Err(error) if was_resubmitted && error.label() == "duplicate" => {
                        Settlement::Accepted { latency: now.saturating_duration_since(awaited.sent) }
                    }
                    Err(error) => Settlement::Rejected(error),
                };
                self.settle(kept, settlement);
            }
            Asked::Worker(name) => {
                let State::Live(live) = &mut self.state else { return };
                let shares = live.workers.answered(now, &name, &answer);
                if let Err(error) = &answer {
                    self.note(Level::WARN, format!("worker {name:?} refused: {error}"));
                }
                for kept in shares {
                    match &answer {
                        Ok(()) => self.transmit(now, &name, kept),
                        Err(error) => {
                            let error = PoolError { code: UNAUTHORIZED, message: error.message.clone() };
                            self.settle(kept, Settlement::Rejected(error));
                        }
                    }
                }
            }
        }
    }

    // ---- messages

    fn handle_message(&mut self, now: Instant, id: RawId<'_>, message: PoolMessage<'_>) {
        match message {
            PoolMessage::Notify(notify) => match &mut self.state {
                State::Live(_) => self.job(now, *notify, self.difficulty),
                State::Authorizing { early, .. } => *early = Some((notify, self.difficulty)),
                _ => {}
            },
            PoolMessage::SetDifficulty(value) => match Difficulty::new(value) {
                Some(difficulty) => self.difficulty = difficulty,
                None => self.note(Level::WARN, format!("ignored the difficulty {value}")),
            },
            PoolMessage::SetExtranonce { extranonce1, extranonce2_size } => {
                match PoolExtranonce::new(extranonce1, extranonce2_size) {
                    Err(close) => self.close(close),
                    Ok(new) => match &mut self.state {
                        State::Live(live) => live.next_extranonce = Some(new),
                        State::Authorizing { extranonce, .. } => *extranonce = new,
                        _ => {}
                    },
                }
            }
            PoolMessage::SetVersionMask(mask) => self.set_version_mask(now, mask & ASKED_MASK),
            PoolMessage::Reconnect { host, port, wait_s } => {
                self.reconnect(Redirect { host, port, wait: Duration::from_secs(wait_s) });
            }
            PoolMessage::ShowMessage(text) => {
                self.note(Level::INFO, format!("says: {text}"));
                self.outputs.push_back(Output::Event(Event::Message(text)));
            }
            PoolMessage::GetVersion => self.send(request::answer(id, USER_AGENT)),
            PoolMessage::Ping => self.send(request::answer(id, "pong")),
            PoolMessage::Unknown(method) => self.note(Level::DEBUG, format!("ignored {:.40}", method.escape_debug())),
        }
    }

    fn job(&mut self, now: Instant, mut notify: Notify, difficulty: Difficulty) {
        let State::Live(live) = &mut self.state else { return };
        if let Some(next) = live.next_extranonce.take().filter(|next| !next.is_that_of(&live.facts)) {
            let PoolExtranonce { extranonce1, extranonce2_size } = next;
            let facts = Facts { id: self.ids.next(), extranonce1, extranonce2_size, version_mask: self.version_mask };
            live.facts = Arc::new(facts);
            let facts = live.facts.clone();
            self.publish(facts);
        }
        let State::Live(live) = &mut self.state else { return };
        if !is_short_text(&notify.job_id, MAX_JOB_ID) {
            let text = format!("skipped a job: its id is more than {MAX_JOB_ID} bytes of plain text");
            return self.note(Level::WARN, text);
        }
        let (facts, dialect, ntime) = (&live.facts, self.pool.dialect, notify.ntime);
        let repeated = self.carried.last_job.as_ref().filter(|last| last.is_repeated_by(facts.id, &notify));
        let since = repeated.map_or(now, |last| last.since);
        if let Some(last) = repeated {
            notify.ntime = last.next_ntime(now);
        }
        match Job::new(facts.id, notify, &facts.extranonce1, difficulty, facts.version_mask, dialect) {
            Ok(job) => {
                live.last_job = now;
                let is_unrollable = facts.version_mask != 0 && job.version_mask == 0;
                let is_news = is_unrollable && !live.is_unrollable;
                live.is_unrollable = is_unrollable;
                let job = Arc::new(job);
                self.carried.last_job = Some(LastJob { job: job.clone(), since, ntime });
                self.outputs.push_back(Output::Event(Event::Job(job)));
                if is_news {
                    let text = "its version has bits set that miners may roll, and it ORs theirs in: nothing can be rolled here";
                    self.note(Level::WARN, text.to_owned());
                }
            }
            Err(error) => self.note(Level::WARN, format!("skipped a job: {error}")),
        }
    }

    fn set_version_mask(&mut self, now: Instant, version_mask: u32) {
        self.version_mask = version_mask;
        let State::Live(live) = &mut self.state else { return };
        if live.facts.version_mask == version_mask {
            return;
        }
        live.facts = Arc::new(Facts { version_mask, ..(*live.facts).clone() });
        let (facts, last_job) = (live.facts.clone(), live.last_job);
        let id = facts.id;
        self.publish(facts);
        // The mask holds at once, so miners need their work anew. For the watchdog it is no job.
        if let Some(last) = self.carried.last_job.as_ref().filter(|last| last.job.upstream == id) {
            let notify = Notify { ntime: last.ntime, clean: false, ..last.job.notify.clone() };
            let difficulty = last.job.pool_difficulty;
            self.job(now, notify, difficulty);
        }
        if let State::Live(live) = &mut self.state {
            live.last_job = last_job;
        }
    }

    fn reconnect(&mut self, redirect: Redirect) {
        let (here, is_pinned) = match &self.pool.url {
            PoolUrl::Tcp { host, .. } => (&**host, false),
            PoolUrl::Tls { host, pin, .. } => (&**host, pin.is_some()),
            PoolUrl::Simulated(_) => ("", false),
        };
        let to = redirect.host.as_deref().unwrap_or(here);
        if redirect::is_allowed(here, to, &self.pool.redirect_hosts, is_pinned) {
            self.close(Close::Redirect(redirect));
        } else {
            let text = format!(
                "refused to be sent to {:.100}: not within the domain of {here}; add it to redirect_hosts if it is the pool's",
                to.escape_debug()
            );
            self.note(Level::WARN, text);
        }
    }

    // ---- shares

    /// Sends a share, or finds out first whether its worker may.
    fn dispatch(&mut self, now: Instant, kept: Kept) {
        let login = self.login.clone();
        if self.pool.workers == WorkerNames::Aggregate {
            return self.transmit(now, &login, kept);
        }
        let name: Arc<str> = self.pool.user.render(&kept.outgoing.user).into();
        if name == login || name.is_empty() {
            return self.transmit(now, &login, kept);
        }
        let State::Live(live) = &mut self.state else { return };
        match live.workers.place(now, &name, kept) {
            Place::Send(kept) => self.transmit(now, &name, kept),
            Place::SendAsLogin(kept) => self.transmit(now, &login, kept),
            Place::Ask => {
                let pool = self.pool.clone();
                let request = self.request(|id| request::authorize(id, &name, pool.password.expose()));
                self.await_answer(now, request, Asked::Worker(name));
            }
            Place::Waits => {}
            Place::NoRoom(kept) => self.settle(kept, Settlement::Unanswered),
            Place::Refused(kept, error) => {
                self.settle(kept, Settlement::Rejected(PoolError { code: UNAUTHORIZED, ..error }));
            }
        }
    }

    fn transmit(&mut self, now: Instant, user: &str, kept: Kept) {
        let mask = self.version_mask;
        let share = &kept.outgoing.share;
        if (share.version() ^ share.job().notify.version) & !mask != 0 {
            // Hashed before the pool narrowed its mask: it can't be told the version any more.
            let error = PoolError { code: OTHER, message: "version bits outside the pool's new mask".to_owned() };
            return self.settle(kept, Settlement::Rejected(error));
        }
        let request = self.request(|id| request::submit(id, user, &kept.outgoing.share, mask));
        let was_resubmitted = kept.was_sent;
        self.await_answer(now, request, Asked::Share { kept: Kept { was_sent: true, ..kept }, was_resubmitted });
    }

    fn await_answer(&mut self, now: Instant, request: u64, what: Asked) {
        let State::Live(live) = &mut self.state else { return };
        live.awaited.insert(request, Awaited { sent: now, what });
        if live.awaited.len() > MAX_AWAITED
            && let Some((_, oldest)) = live.awaited.pop_first()
        {
            self.give_up(oldest);
        }
    }

    fn check_live(&mut self, now: Instant) {
        while let State::Live(live) = &mut self.state
            && let Some(first) = live.awaited.first_entry()
            && now >= first.get().sent + self.pool.reply_timeout
        {
            let awaited = first.remove();
            self.give_up(awaited);
        }
        let notify_timeout = self.pool.notify_timeout;
        if let State::Live(live) = &self.state
            && now >= live.last_job + notify_timeout
        {
            self.close(Close::NoJob(notify_timeout));
        }
    }

    /// There will be no answer.
    fn give_up(&mut self, awaited: Awaited) {
        match awaited.what {
            Asked::Share { kept, .. } => self.settle(kept, Settlement::Unanswered),
            Asked::Worker(name) => {
                let State::Live(live) = &mut self.state else { return };
                for kept in live.workers.unanswered(&name) {
                    self.settle(kept, Settlement::Unanswered);
                }
            }
        }
    }

    // ---- outputs

    fn publish(&mut self, facts: Arc<Facts>) {
        self.carried.facts = Some(facts.clone());
        self.outputs.push_back(Output::Event(Event::Ready(facts)));
    }

    fn settle(&mut self, kept: Kept, settlement: Settlement) {
        self.outputs.push_back(Output::Event(Event::Settled { outgoing: kept.outgoing, settlement }));
    }

    fn note(&mut self, level: Level, text: String) {
        self.notes += 1;
        if self.notes <= MAX_NOTES {
            self.outputs.push_back(Output::Note(level, text));
        }
    }

    fn request(&mut self, line: impl FnOnce(u64) -> String) -> u64 {
        let id = self.next_request;
        self.next_request += 1;
        self.send(line(id));
        id
    }

    /// Our own lines are short by the limits of their parts; an answer carries an id of the pool's.
    fn send(&mut self, line: String) {
        if line.len() <= MAX_LINE {
            self.outputs.push_back(Output::Send(line));
        } else {
            self.note(
                Level::WARN,
                format!("did not send a line of {} bytes: pools drop those over {MAX_LINE}", line.len()),
            );
        }
    }

    fn close(&mut self, close: Close) {
        self.leave();
        self.outputs.push_back(Output::Close(close));
    }

    /// Puts what is unsettled aside for the next connection.
    fn leave(&mut self) {
        let closed = |was_live| State::Closed { was_live };
        let live = match std::mem::replace(&mut self.state, closed(None)) {
            State::Live(live) => live,
            State::Closed { was_live } => return self.state = closed(was_live),
            _ => return,
        };
        self.state = closed(Some(WasLive { id: live.facts.id, since: live.since }));
        let shares = live.awaited.into_values().filter_map(|awaited| match awaited.what {
            Asked::Share { kept, .. } => Some(kept),
            Asked::Worker(_) => None,
        });
        let mut shares: Vec<Kept> = shares.chain(live.workers.into_waiting()).collect();
        shares.sort_by_key(|kept| kept.since);
        for kept in shares {
            if let Some(lost) = self.carried.keep(kept) {
                self.settle(lost, Settlement::Lost);
            }
        }
    }
}

/// The code for what has no code of its own.
const OTHER: i64 = 20;

/// The code for a worker that may not submit.
const UNAUTHORIZED: i64 = 24;

/// Whether a text of the pool's fits into our lines.
fn is_short_text(text: &str, max_len: usize) -> bool {
    text.len() <= max_len && !text.contains(char::is_control)
}
