//! One machine's side of the conversation: lines in, bytes out; no socket, no clock.
//!
//! ```text
//!              connected          each group answered          last group answered
//!  Offline ──────────────► Handshake{group} ──────────────► … ──────────────► Ready ── search() submits
//!     ▲                          │                                              │
//!     └────── disconnected ──────┴── leave(): the firmware fails the pool ──────┘
//! ```
//!
//! What the firmware does in each case is read from its [`Profile`]. Unanswered requests are kept in the order in
//! which they were sent, at most [`MAX_IN_FLIGHT`]; beyond that, shares are withheld and counted as skipped.

use super::mining::{Found, Mining};
use super::profile::{
    BIP320_MASK, DifficultyForm, DifficultyTiming, Follow, IdStyle, JobRule, NonceForm, Profile,
    Rolling, Step,
};
use super::stats::{Board, MinerStats};
use super::violation::{ProtocolViolation, quoted};
use super::wire::{self, Line, Subscribed};
use super::work::{HeaderHash, JobWork, Target, Template, crc16};
use super::{HASH_BOUND_COST, MinerSettings, work};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Requests that may wait for a reply.
pub const MAX_IN_FLIGHT: usize = 1024;
/// Jobs whose ids are remembered, to notice repeated ones.
const RECENT_JOBS: usize = 16;
/// Longest wait that a `client.reconnect` can ask for.
const MAX_ASKED_WAIT: Duration = Duration::from_secs(60);

/// Why a session wants its connection closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// The firmware calls the pool dead.
    Failed,
    /// The server asked for it, with where to go (host and port) where the firmware follows, and how long to wait.
    Asked {
        /// Host and port, if not the same server.
        to: Option<(String, u16)>,
        /// Time to stay away.
        wait: Duration,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Offline,
    Handshake { group: usize },
    Ready,
}

#[derive(Debug)]
struct Pending {
    id: u64,
    sent: Instant,
    what: Asked,
}

#[derive(Debug)]
enum Asked {
    Handshake(Step),
    /// `mining.suggest_difficulty`, said again.
    Again,
    Share(Share),
}

#[derive(Debug)]
struct Share {
    hash: HeaderHash,
    difficulty: f64,
    /// The parameters, where the firmware may send them again.
    params: Option<Box<str>>,
}

/// A machine's protocol state; outlives its connections.
#[derive(Debug)]
pub struct Session {
    settings: Arc<MinerSettings>,
    profile: &'static Profile,
    ids: IdStyle,
    board: Arc<Board>,
    users: Vec<String>,
    phase: Phase,
    connection: u64,
    connected_at: Option<Instant>,
    heard: Option<Instant>,
    next_id: u64,
    next_user: usize,
    pending: VecDeque<Pending>,
    /// Shares of a dead connection that go out again if the extranonce1 stays.
    parked: Vec<(Instant, Share)>,
    out: Vec<u8>,
    leave: Option<Leave>,
    session_id: Option<String>,
    bare_subscribe: bool,
    extranonce1: Arc<[u8]>,
    extranonce2_size: usize,
    difficulty: Option<(f64, Target)>,
    suggest_at: Option<Instant>,
    recent: VecDeque<Arc<Template>>,
    mining: Mining,
}

impl Session {
    /// A machine that was never connected.
    #[must_use]
    pub fn new(settings: Arc<MinerSettings>, board: Arc<Board>) -> Self {
        let profile = settings.profile;
        let users = (1..=profile.workers.max(1))
            .map(|n| {
                let mut user = settings.user.clone();
                if n > 1 {
                    user.push_str(&format!(".{n}"));
                }
                if profile.limits.cuts_user {
                    let cut = (0..=profile.limits.user_bytes)
                        .rev()
                        .find(|at| user.is_char_boundary(*at));
                    user.truncate(cut.unwrap_or(0));
                }
                user
            })
            .collect();
        Self {
            ids: settings.ids.unwrap_or(profile.ids),
            mining: Mining::new(profile.rolling, settings.seed),
            profile,
            settings,
            board,
            users,
            phase: Phase::Offline,
            connection: 0,
            connected_at: None,
            heard: None,
            next_id: 0,
            next_user: 0,
            pending: VecDeque::new(),
            parked: Vec::new(),
            out: Vec::new(),
            leave: None,
            session_id: None,
            bare_subscribe: false,
            extranonce1: Arc::from([]),
            extranonce2_size: 0,
            difficulty: None,
            suggest_at: None,
            recent: VecDeque::new(),
        }
    }

    /// Bytes to write; the caller takes away what it wrote.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Whether the session wants its connection closed.
    #[must_use]
    pub fn leave(&self) -> Option<&Leave> {
        self.leave.as_ref()
    }

    /// Whether the handshake is done and there is a job.
    #[must_use]
    pub fn is_mining(&self) -> bool {
        self.phase == Phase::Ready && self.mining.work().is_some()
    }

    /// A connection stands: starts the handshake.
    pub fn connected(&mut self, now: Instant, stats: &mut MinerStats) {
        stats.connects += 1;
        self.connection += 1;
        self.connected_at = Some(now);
        self.heard = Some(now);
        self.next_id = 0;
        self.leave = None;
        self.bare_subscribe = false;
        self.phase = Phase::Handshake { group: 0 };
        if let Some(user) = self
            .users
            .iter()
            .find(|user| user.len() > self.profile.limits.user_bytes)
        {
            stats.violate(ProtocolViolation::UserTooLong(user.len()));
        }
        self.mining
            .set_mask(if self.profile.rolling == Rolling::Unasked {
                BIP320_MASK
            } else {
                0
            });
        self.send_group(now, stats);
    }

    /// The connection is gone: shares without an answer are lost, or parked where the firmware sends them again.
    pub fn disconnected(&mut self, stats: &mut MinerStats) {
        stats.disconnects += 1;
        self.phase = Phase::Offline;
        self.mining.stop();
        self.difficulty = None;
        self.suggest_at = None;
        self.recent.clear();
        self.out.clear();
        let keeps = self.settings.resubmit && self.profile.resubmits.is_some();
        for pending in self.pending.drain(..) {
            match pending.what {
                Asked::Share(share) if keeps && self.parked.len() < MAX_IN_FLIGHT => {
                    self.parked.push((pending.sent, share));
                }
                Asked::Share(_) => stats.lost += 1,
                Asked::Handshake(_) | Asked::Again => {}
            }
        }
    }

    /// Time passed: notices silence and late replies, repeats a suggestion.
    pub fn tick(&mut self, now: Instant, stats: &mut MinerStats) {
        if self.phase == Phase::Offline || self.leave.is_some() {
            return;
        }
        let limit = self.profile.reply_limit;
        if self
            .pending
            .front()
            .is_some_and(|asked| now.duration_since(asked.sent) > limit)
        {
            self.fail(ProtocolViolation::ReplyTimeout, stats);
        } else if self
            .heard
            .is_some_and(|heard| now.duration_since(heard) > self.profile.silence_limit)
        {
            self.fail(ProtocolViolation::Silence, stats);
        } else if self.suggest_at.is_some_and(|at| now >= at) {
            self.suggest(now, Asked::Again);
        }
    }

    /// Takes one line, without its newline.
    pub fn line(&mut self, now: Instant, line: &[u8], stats: &mut MinerStats) {
        if self.leave.is_some() || self.phase == Phase::Offline {
            return;
        }
        self.heard = Some(now);
        let Ok(message) = serde_json::from_slice::<Line>(line) else {
            return self.fail(ProtocolViolation::Garbage(quoted(line)), stats);
        };
        if let Some(Pending {
            id,
            what: Asked::Handshake(step),
            ..
        }) = self.pending.front()
            && self.profile.takes_next_line.contains(step)
            && (message.method.is_some() || message.reply_id(self.ids) != Some(*id))
        {
            let violation = ProtocolViolation::LineInsteadOfAnswer {
                step: *step,
                line: quoted(line),
            };
            return self.fail(violation, stats);
        }
        match message.method.as_deref() {
            Some(method) => self.message(now, method, &message, line, stats),
            None => self.reply(now, &message, line, stats),
        }
    }

    // ---- what the server says on its own ----

    fn message(
        &mut self,
        now: Instant,
        method: &str,
        message: &Line,
        line: &[u8],
        stats: &mut MinerStats,
    ) {
        match method {
            "mining.notify" => self.notify(now, message, line, stats),
            "mining.set_difficulty" => self.set_difficulty(message, stats),
            "mining.set_extranonce" => self.set_extranonce(message, stats),
            "mining.set_version_mask" => self.set_version_mask(message, stats),
            "client.reconnect" => self.reconnect(message),
            "client.show_message" => stats.messages += 1,
            "client.get_version" => self.answer(message, &json!(self.profile.user_agent)),
            "mining.ping" if self.profile.pong_method => {
                let id = message.id.map_or(Value::Null, |id| {
                    serde_json::from_str(id.get()).unwrap_or(Value::Null)
                });
                wire::append(
                    &mut self.out,
                    &json!({"id": id, "method": "pong", "params": []}),
                );
            }
            "mining.ping" => self.answer(message, &json!("pong")),
            // Unknown methods are ignored by all firmware.
            _ => {}
        }
    }

    fn answer(&mut self, message: &Line, result: &Value) {
        let id = message.id.map_or(Value::Null, |id| {
            serde_json::from_str(id.get()).unwrap_or(Value::Null)
        });
        wire::append(
            &mut self.out,
            &json!({"id": id, "result": result, "error": null}),
        );
    }

    fn notify(&mut self, now: Instant, message: &Line, line: &[u8], stats: &mut MinerStats) {
        let template = match message.params {
            Some(params) => self.board.templates.get(params),
            None => Err(ProtocolViolation::BadField("params")),
        };
        let template = match template.and_then(|template| self.bearable(template, line.len())) {
            Ok(template) => template,
            Err(violation) => return stats.violate(violation),
        };
        if self.difficulty.is_none() {
            // All firmware falls back to difficulty 1.
            stats.violate(ProtocolViolation::NoDifficulty);
            self.difficulty = Target::from_difficulty(1.0).map(|target| (1.0, target));
        }
        let Some((difficulty, target)) = self.difficulty else {
            return;
        };
        stats.jobs += 1;
        stats.clean_jobs += u64::from(template.clean);
        stats.last_job = Some(now);
        if let Some(before) = self.mining.work().filter(|_| template.clean) {
            let new_block = before.template.prevhash != template.prevhash;
            let key = if new_block {
                template.prevhash
            } else {
                template.content
            };
            self.board.clean_job_arrived(key, now);
        }
        if let Some(since) = self.connected_at.take() {
            let took = now.duration_since(since);
            stats.first_job_after = Some(took);
            self.board.handshake_took(took);
        }
        if template.clean {
            self.recent.clear();
        } else if self.recent.len() == RECENT_JOBS {
            self.recent.pop_front();
        }
        self.recent.push_back(Arc::clone(&template));
        self.mining.set_difficulty(difficulty, target);
        let restarts = self.profile.extranonce2_restarts;
        let job_id = template.job_id.clone();
        let job = JobWork::new(template, Arc::clone(&self.extranonce1));
        let repeated = self
            .mining
            .start(job, self.extranonce2_size, restarts, self.connection);
        if repeated && restarts {
            stats.violate(ProtocolViolation::RepeatedWork(job_id));
        }
    }

    /// Passes a job through unless this firmware drops it.
    fn bearable(
        &self,
        template: Arc<Template>,
        line_bytes: usize,
    ) -> Result<Arc<Template>, ProtocolViolation> {
        let limits = &self.profile.limits;
        let coinbase = template.coinbase_len(self.extranonce1.len(), self.extranonce2_size);
        let id = || template.job_id.clone();
        let known = || self.recent.iter().any(|job| job.job_id == template.job_id);
        let violation = match (template.odd_field, self.profile.jobs) {
            (Some(field), _) if self.profile.checks_field_lengths => {
                ProtocolViolation::BadField(field)
            }
            _ if template.branches.len() > limits.branches => {
                ProtocolViolation::TooManyBranches(template.branches.len())
            }
            _ if coinbase > limits.coinbase_bytes => ProtocolViolation::CoinbaseTooLong(coinbase),
            _ if line_bytes > limits.notify_bytes => ProtocolViolation::NotifyTooLong(line_bytes),
            (_, JobRule::DropKnownId) if !template.clean && known() => {
                ProtocolViolation::RepeatedJobId(id())
            }
            (_, JobRule::UniqueId) if known() => ProtocolViolation::RepeatedJobId(id()),
            (_, JobRule::Crc16OfId) if !template.clean && self.collides(&template.job_id) => {
                ProtocolViolation::JobIdCollision(id())
            }
            _ => return Ok(template),
        };
        Err(violation)
    }

    fn collides(&self, job_id: &str) -> bool {
        let crc = crc16(job_id.as_bytes());
        self.recent
            .iter()
            .any(|job| crc16(job.job_id.as_bytes()) == crc)
    }

    fn set_difficulty(&mut self, message: &Line, stats: &mut MinerStats) {
        let strict = !self.settings.scaled_world;
        let Some((mut difficulty,)) = message.params::<(f64,)>() else {
            return stats.violate(ProtocolViolation::BadDifficulty);
        };
        if strict && difficulty < self.profile.limits.least_difficulty {
            stats.violate(ProtocolViolation::DifficultyTooLow);
        }
        if strict
            && self.profile.difficulty_form == DifficultyForm::WholeU32
            && difficulty.fract() != 0.0
        {
            stats.violate(ProtocolViolation::FractionalDifficulty);
            difficulty = difficulty.trunc();
        }
        let Some(target) = Target::from_difficulty(difficulty) else {
            return stats.violate(ProtocolViolation::BadDifficulty);
        };
        stats.difficulty = difficulty;
        self.difficulty = Some((difficulty, target));
        if self.profile.difficulty_timing == DifficultyTiming::AtOnce {
            self.mining.set_difficulty(difficulty, target);
        }
    }

    fn set_extranonce(&mut self, message: &Line, stats: &mut MinerStats) {
        if !self.profile.asks(Step::ExtranonceSubscribe) {
            return stats.violate(ProtocolViolation::UnrequestedExtranonce);
        }
        let params = message.params::<(String, usize)>();
        match params.and_then(|(extranonce1, size)| Some((hex::decode(extranonce1).ok()?, size))) {
            Some((extranonce1, size)) => self.take_extranonce(extranonce1, size, stats),
            None => stats.violate(ProtocolViolation::BadField("extranonce1")),
        }
    }

    fn take_extranonce(&mut self, extranonce1: Vec<u8>, size: usize, stats: &mut MinerStats) {
        let limits = &self.profile.limits;
        if extranonce1.len() > limits.extranonce1_bytes {
            self.fail(ProtocolViolation::Extranonce1Size(extranonce1.len()), stats);
        } else if !limits.extranonce2_bytes.contains(&size) {
            self.fail(ProtocolViolation::Extranonce2Size(size), stats);
        }
        self.extranonce1 = Arc::from(extranonce1);
        self.extranonce2_size = size;
    }

    fn set_version_mask(&mut self, message: &Line, stats: &mut MinerStats) {
        let mask = message
            .params::<(String,)>()
            .and_then(|(hex,)| u32::from_str_radix(&hex, 16).ok());
        match mask {
            _ if !self.profile.asks(Step::Configure) => {
                stats.violate(ProtocolViolation::UnrequestedVersionMask)
            }
            Some(mask) => self.mining.set_mask(mask & self.profile.configure.mask),
            None => stats.violate(ProtocolViolation::BadField("version mask")),
        }
    }

    fn reconnect(&mut self, message: &Line) {
        let params = message.params::<Vec<Value>>().unwrap_or_default();
        let host = params
            .first()
            .and_then(Value::as_str)
            .filter(|host| !host.is_empty());
        let port = params.get(1).and_then(|port| {
            port.as_u64()
                .or_else(|| port.as_str()?.parse().ok())
                .and_then(|port| u16::try_from(port).ok())
        });
        let wait = params
            .get(2)
            .and_then(Value::as_u64)
            .map_or(Duration::ZERO, Duration::from_secs);
        let named = host.zip(port).map(|(host, port)| (host.to_owned(), port));
        let to = match self.profile.follow {
            Follow::OwnServer => None,
            Follow::NeedsHostAndPort if named.is_none() => return,
            Follow::NeedsHostAndPort => named,
            Follow::SameDomain => {
                named.filter(|(host, _)| same_domain(host, &self.settings.server.ip().to_string()))
            }
        };
        self.leave = Some(Leave::Asked {
            to,
            wait: wait.min(MAX_ASKED_WAIT),
        });
    }

    // ---- the handshake ----

    fn send_group(&mut self, now: Instant, stats: &mut MinerStats) {
        while let Phase::Handshake { group } = self.phase {
            let Some(steps) = self.profile.handshake.get(group) else {
                self.phase = Phase::Ready;
                self.resubmit(now, stats);
                break;
            };
            for step in *steps {
                self.send_step(now, *step);
            }
            if !self.pending.is_empty() {
                break;
            }
            // Every request of the group was left out.
            self.phase = Phase::Handshake { group: group + 1 };
        }
    }

    fn send_step(&mut self, now: Instant, step: Step) {
        let (method, params) = match step {
            Step::Configure => (
                "mining.configure",
                wire::configure_params(self.profile.configure),
            ),
            Step::Subscribe if self.bare_subscribe => ("mining.subscribe", json!([])),
            Step::Subscribe => {
                let (form, agent) = (self.profile.subscribe, self.profile.user_agent);
                let session = self.session_id.as_deref();
                let params = wire::subscribe_params(
                    form,
                    agent,
                    session,
                    self.settings.server,
                    self.settings.seed,
                );
                ("mining.subscribe", params)
            }
            Step::Authorize => {
                for at in 0..self.users.len() {
                    let params = json!([self.users[at], self.settings.password]);
                    self.ask(now, "mining.authorize", &params, Asked::Handshake(step));
                }
                return;
            }
            Step::SuggestDifficulty => return self.suggest(now, Asked::Handshake(step)),
            Step::ExtranonceSubscribe => ("mining.extranonce.subscribe", json!([])),
            Step::MultiVersion => match self.profile.rolling {
                Rolling::FullVersion(versions) => ("mining.multi_version", json!([versions])),
                _ => ("mining.multi_version", json!([1])),
            },
        };
        self.ask(now, method, &params, Asked::Handshake(step));
    }

    fn suggest(&mut self, now: Instant, what: Asked) {
        let own = self
            .profile
            .suggests
            .filter(|_| !self.settings.scaled_world)
            .map(|(difficulty, _)| difficulty);
        let Some(difficulty) = self.settings.suggested_difficulty.or(own) else {
            return;
        };
        self.ask(now, "mining.suggest_difficulty", &json!([difficulty]), what);
        self.suggest_at = self
            .profile
            .suggests
            .and_then(|(_, again)| Some(now + again?));
    }

    fn ask(&mut self, now: Instant, method: &str, params: &Value, what: Asked) {
        self.next_id += 1;
        wire::request(&mut self.out, self.ids, self.next_id, method, params);
        self.pending.push_back(Pending {
            id: self.next_id,
            sent: now,
            what,
        });
    }

    fn reply(&mut self, now: Instant, reply: &Line, line: &[u8], stats: &mut MinerStats) {
        let found = reply
            .reply_id(self.ids)
            .and_then(|id| self.pending.iter().position(|asked| asked.id == id));
        let Some(asked) = found.and_then(|at| self.pending.remove(at)) else {
            return stats.violate(ProtocolViolation::UnknownReply(quoted(line)));
        };
        match asked.what {
            Asked::Share(share) => {
                self.board.reply_took(now.duration_since(asked.sent));
                self.judged(&share, reply, stats);
            }
            Asked::Again => {}
            Asked::Handshake(step) => {
                self.step_answered(now, step, reply, line, stats);
                let waits = self
                    .pending
                    .iter()
                    .any(|asked| matches!(asked.what, Asked::Handshake(_)));
                if let Phase::Handshake { group } = self.phase
                    && !waits
                    && self.leave.is_none()
                {
                    self.phase = Phase::Handshake { group: group + 1 };
                    self.send_group(now, stats);
                }
            }
        }
    }

    fn judged(&mut self, share: &Share, reply: &Line, stats: &mut MinerStats) {
        if !reply.is_true() {
            let (code, text) = reply.refusal();
            return stats.reject(code, text);
        }
        stats.accepted += 1;
        stats.accepted_difficulty += share.difficulty;
        if self.settings.recorded_hashes > 0 {
            if stats.accepted_hashes.len() >= self.settings.recorded_hashes {
                stats.accepted_hashes.pop_front();
            }
            stats.accepted_hashes.push_back(share.hash);
        }
    }

    fn step_answered(
        &mut self,
        now: Instant,
        step: Step,
        reply: &Line,
        line: &[u8],
        stats: &mut MinerStats,
    ) {
        let bad = || ProtocolViolation::BadAnswer {
            step,
            line: quoted(line),
        };
        let refused = || ProtocolViolation::Refused {
            step,
            error: reply.refusal().1,
        };
        match step {
            Step::Configure => self.configured(reply, bad, stats),
            Step::Subscribe => match reply
                .result
                .filter(|_| reply.error.is_none())
                .map(Subscribed::parse)
            {
                Some(Some(subscribed)) => self.subscribed(subscribed, stats),
                Some(None) => self.fail(bad(), stats),
                None if self.session_id.take().is_some() && !self.bare_subscribe => {
                    self.bare_subscribe = true;
                    self.send_step(now, Step::Subscribe);
                }
                None => self.fail(refused(), stats),
            },
            _ if reply.is_true() => {
                if step == Step::MultiVersion {
                    self.mining.set_mask(BIP320_MASK);
                }
            }
            Step::Authorize => self.fail(refused(), stats),
            Step::ExtranonceSubscribe if self.profile.extranonce_error_fatal => {
                self.fail(refused(), stats)
            }
            Step::SuggestDifficulty | Step::ExtranonceSubscribe | Step::MultiVersion => {
                stats.violate(refused())
            }
        }
    }

    fn configured(
        &mut self,
        reply: &Line,
        bad: impl Fn() -> ProtocolViolation,
        stats: &mut MinerStats,
    ) {
        let answer = reply
            .result
            .and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
        let Some(Value::Object(answer)) = answer else {
            // BIP 310 has servers that don't know the method; only firmware that needs a mask minds.
            return match (self.profile.needs_mask, reply.error) {
                (true, _) => self.fail(ProtocolViolation::NoVersionMask, stats),
                (false, Some(_)) => {}
                (false, None) => stats.violate(bad()),
            };
        };
        let asked = ["version-rolling", "version-rolling.mask"];
        if self.profile.unrequested_keys_fatal
            && let Some(key) = answer.keys().find(|key| !asked.contains(&key.as_str()))
        {
            return self.fail(
                ProtocolViolation::UnrequestedConfigureKey(key.clone()),
                stats,
            );
        }
        let granted = answer
            .get("version-rolling")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        let mask = answer.get("version-rolling.mask").and_then(Value::as_str);
        let mask = match mask
            .filter(|_| granted)
            .map(|hex| u32::from_str_radix(hex, 16))
        {
            Some(Ok(mask)) => mask & self.profile.configure.mask,
            Some(Err(_)) => return self.fail(bad(), stats),
            None => 0,
        };
        if mask == 0 && self.profile.needs_mask {
            return self.fail(ProtocolViolation::NoVersionMask, stats);
        }
        self.mining.set_mask(mask);
    }

    fn subscribed(&mut self, subscribed: Subscribed, stats: &mut MinerStats) {
        if *self.extranonce1 != *subscribed.extranonce1 {
            stats.lost += std::mem::take(&mut self.parked).len() as u64;
        }
        self.session_id = subscribed.session;
        self.take_extranonce(subscribed.extranonce1, subscribed.extranonce2_size, stats);
    }

    /// The handshake is done: sends the shares again that are still young enough.
    fn resubmit(&mut self, now: Instant, stats: &mut MinerStats) {
        let limit = self.profile.resubmits.unwrap_or_default();
        for (sent, share) in std::mem::take(&mut self.parked) {
            match share.params.clone() {
                Some(params) if now.duration_since(sent) <= limit => {
                    stats.resubmitted += 1;
                    self.send_share(now, &params, share);
                }
                _ => stats.lost += 1,
            }
        }
    }

    fn fail(&mut self, violation: ProtocolViolation, stats: &mut MinerStats) {
        stats.violate(violation);
        self.leave = Some(Leave::Failed);
    }

    // ---- shares ----

    /// Tries up to `budget` hashes on the job at hand: the hashes spent, and the share that ended it early.
    /// Nothing is spent while there is no job, or too many replies are owed.
    pub fn search(&mut self, budget: u32) -> (u32, Option<Found>) {
        if !self.is_mining() || self.leave.is_some() || self.pending.len() >= MAX_IN_FLIGHT {
            return (0, None);
        }
        self.mining.search(budget)
    }

    /// Submits what [`search`](Self::search) just found.
    pub fn submit(&mut self, now: Instant, found: &Found, stats: &mut MinerStats) {
        let params = self.submit_params(found);
        let difficulty = self.mining.difficulty();
        stats.sent += 1;
        stats.hash_bound += u64::from(difficulty * work::HASHES_PER_DIFFICULTY > HASH_BOUND_COST);
        let keeps = self.settings.resubmit && self.profile.resubmits.is_some();
        let kept = keeps.then(|| params.as_str().into());
        self.send_share(
            now,
            &params,
            Share {
                hash: found.hash,
                difficulty,
                params: kept,
            },
        );
    }

    /// `"user","job","extranonce2","ntime","nonce"` and, from machines that roll, `"version"`.
    fn submit_params(&mut self, found: &Found) -> String {
        let Some(work) = self.mining.work() else {
            return String::new();
        };
        let user = &self.users[self.next_user % self.users.len()];
        let template = &work.template;
        let mut params = Vec::with_capacity(96);
        // Names and job ids are the only texts that could need escaping; the other fields are hex.
        let parts = (
            user.as_str(),
            template.job_id.as_str(),
            hex::encode(&found.extranonce2),
            &template.ntime_text,
        );
        serde_json::to_writer(&mut params, &parts).expect("strings always serialise");
        params.remove(0);
        params.pop();
        let written = match self.profile.nonce {
            NonceForm::Padded => write!(params, ",\"{:08x}\"", found.nonce),
            NonceForm::Unpadded => write!(params, ",\"{:x}\"", found.nonce),
        };
        let written = written.and_then(|()| match self.mining.sixth_parameter(found.version) {
            Some(version) => write!(params, ",\"{version:08x}\""),
            None => Ok(()),
        });
        written.expect("writing to memory can't fail");
        self.next_user = self.next_user.wrapping_add(1);
        String::from_utf8(params).expect("JSON is UTF-8")
    }

    fn send_share(&mut self, now: Instant, params: &str, share: Share) {
        self.next_id += 1;
        let id = match self.ids {
            IdStyle::SubmitsAlways(id) => id,
            IdStyle::Counting | IdStyle::Text => self.next_id,
        };
        let quote = if self.ids == IdStyle::Text { "\"" } else { "" };
        writeln!(
            self.out,
            r#"{{"id":{quote}{id}{quote},"method":"mining.submit","params":[{params}]}}"#
        )
        .expect("writing to memory can't fail");
        self.pending.push_back(Pending {
            id,
            sent: now,
            what: Asked::Share(share),
        });
    }
}

/// cgminer's rule against hijacks: the last two labels must be equal; an address only equals itself.
fn same_domain(there: &str, here: &str) -> bool {
    if there.parse::<std::net::IpAddr>().is_ok() || here.parse::<std::net::IpAddr>().is_ok() {
        return there == here;
    }
    let domain = |host: &str| {
        host.rsplit('.')
            .take(2)
            .map(str::to_ascii_lowercase)
            .collect::<Vec<_>>()
    };
    domain(there) == domain(here)
}
