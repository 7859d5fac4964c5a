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

mod handshake;
mod messages;

use super::mining::{Found, Mining};
use super::profile::{BIP320_MASK, IdStyle, NonceForm, Profile, Rolling, Step};
use super::stats::{Board, MinerStats};
use super::violation::{ProtocolViolation, quoted};
use super::wire::{self, Line};
use super::work::{HASHES_PER_DIFFICULTY, HeaderHash, Target, Template};
use super::{HASH_BOUND_COST, MinerSettings};
use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Requests that may wait for a reply.
pub const MAX_IN_FLIGHT: usize = 1024;

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
    hash: Option<HeaderHash>,
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
                    let cut = (0..=profile.limits.user_bytes).rev().find(|at| user.is_char_boundary(*at));
                    user.truncate(cut.unwrap_or(0));
                }
                user
            })
            .collect();
        let mut mining = Mining::new(profile.rolling, settings.seed);
        if settings.recorded_hashes == 0 {
            mining.spare_hashes();
        }
        Self {
            ids: settings.ids.unwrap_or(profile.ids),
            mining,
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

    /// Whether a share's answer is owed.
    #[must_use]
    pub fn awaits_verdict(&self) -> bool {
        self.pending.iter().any(|asked| matches!(asked.what, Asked::Share(_)))
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
        if let Some(user) = self.users.iter().find(|user| user.len() > self.profile.limits.user_bytes) {
            stats.violate(ProtocolViolation::UserTooLong(user.len()));
        }
        self.mining.set_mask(if self.profile.rolling == Rolling::Unasked { BIP320_MASK } else { 0 });
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

    /// Its power is cut: whatever it remembered of the connection is gone, as after a reboot.
    pub fn power_cut(&mut self, stats: &mut MinerStats) {
        let shares = self.pending.iter().filter(|asked| matches!(asked.what, Asked::Share(_))).count();
        stats.cut_off += (shares + self.parked.len()) as u64;
        self.pending.clear();
        self.parked.clear();
        self.session_id = None;
        if self.phase != Phase::Offline {
            self.disconnected(stats);
        }
    }

    /// Nobody listens to the server now: what it did not say is no silence.
    pub fn not_listening(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    /// Time passed: notices silence and late replies, repeats a suggestion.
    pub fn tick(&mut self, now: Instant, stats: &mut MinerStats) {
        if self.phase == Phase::Offline || self.leave.is_some() {
            return;
        }
        let limit = self.profile.reply_limit;
        if self.pending.front().is_some_and(|asked| now.duration_since(asked.sent) > limit) {
            self.fail(ProtocolViolation::ReplyTimeout, stats);
        } else if self.heard.is_some_and(|heard| now.duration_since(heard) > self.profile.silence_limit) {
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
        if self.ids != IdStyle::Text
            && let Some(id) = wire::plain_true(line)
            && self.pending.front().is_some_and(|asked| asked.id == id && matches!(asked.what, Asked::Share(_)))
            && let Some(Pending { sent, what: Asked::Share(share), .. }) = self.pending.pop_front()
        {
            self.board.reply_took(now.duration_since(sent));
            return self.accepted(&share, stats);
        }
        let Ok(message) = serde_json::from_slice::<Line>(line) else {
            return self.fail(ProtocolViolation::Garbage(quoted(line)), stats);
        };
        if let Some(Pending { id, what: Asked::Handshake(step), .. }) = self.pending.front()
            && self.profile.takes_next_line.contains(step)
            && (message.method.is_some() || message.reply_id(self.ids) != Some(*id))
        {
            let violation = ProtocolViolation::LineInsteadOfAnswer { step: *step, line: quoted(line) };
            return self.fail(violation, stats);
        }
        match message.method.as_deref() {
            Some(method) => self.message(now, method, &message, line, stats),
            None => self.reply(now, &message, line, stats),
        }
    }

    fn fail(&mut self, violation: ProtocolViolation, stats: &mut MinerStats) {
        stats.violate(violation);
        self.leave = Some(Leave::Failed);
    }

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
        stats.hash_bound += u64::from(difficulty * HASHES_PER_DIFFICULTY > HASH_BOUND_COST);
        let keeps = self.settings.resubmit && self.profile.resubmits.is_some();
        let kept = keeps.then(|| params.as_str().into());
        self.send_share(now, &params, Share { hash: found.hash, difficulty, params: kept });
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
        let parts = (user.as_str(), template.job_id.as_str(), hex::encode(&found.extranonce2), &template.ntime_text);
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
        writeln!(self.out, r#"{{"id":{quote}{id}{quote},"method":"mining.submit","params":[{params}]}}"#)
            .expect("writing to memory can't fail");
        self.pending.push_back(Pending { id, sent: now, what: Asked::Share(share) });
    }

    fn judged(&mut self, share: &Share, reply: &Line, stats: &mut MinerStats) {
        if !reply.is_true() {
            let (code, text) = reply.refusal();
            return stats.reject(code, text);
        }
        self.accepted(share, stats);
    }

    fn accepted(&self, share: &Share, stats: &mut MinerStats) {
        stats.accepted += 1;
        stats.accepted_difficulty += share.difficulty;
        if let Some(hash) = share.hash.filter(|_| self.settings.recorded_hashes > 0) {
            if stats.accepted_hashes.len() >= self.settings.recorded_hashes {
                stats.accepted_hashes.pop_front();
            }
            stats.accepted_hashes.push_back(hash);
        }
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
}
