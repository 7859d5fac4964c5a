//! One client's conversation: what it asked, what it may do, which jobs it holds.
//!
//! Lines and pool events in, lines out; the socket and the waiting are in `connection.rs`.
//!
//! | method                        | answer                                                         |
//! |-------------------------------|----------------------------------------------------------------|
//! | `mining.configure`            | the keys asked for, nothing more                               |
//! | `mining.subscribe`            | subscriptions, extranonce1, size; a repeated one changes nothing |
//! | `mining.authorize`            | `true`, or 24                                                  |
//! | `mining.submit`               | `true`, or the [`Reject`]                                      |
//! | `mining.suggest_difficulty`   | `true`; honoured from the next job on, if the settings say so  |
//! | `mining.suggest_target`       | `true`, ignored                                                |
//! | `mining.extranonce.subscribe` | `true`                                                         |
//! | `mining.ping`                 | `"pong"`                                                       |
//! | anything else                 | −3 "Method not found"                                          |
//!
//! A connection holds the last [`MAX_ISSUED_JOBS`](super::issued::MAX_ISSUED_JOBS) jobs it was sent, older ones are "not found".

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::check::{Accepted, IssuedJob, ShareFields, VersionRules, parse_u32};
use super::fault::Standing;
use super::issued::{Extranonce, IssuedJobs};
use super::job::{Draw, Job};
use super::parked::ParkedSession;
use super::reject::Reject;
use super::reply::{Outbox, notification, quoted, refusal, success};
use super::settings::FirstJob;
use super::shared::{Event, Shared};
use super::target::{MAX_DIFFICULTY, MIN_DIFFICULTY, ShareDifficulty};

/// Workers on one connection; a proxy below may log in many.
const MAX_WORKERS_PER_CONNECTION: usize = 4096;
/// The line length over which ckpool hangs up, in bytes.
const LONG_LINE: usize = 1024;

/// Whether the conversation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// It does.
    Continue,
    /// The pool hangs up.
    HangUp,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// The state of one connection; dropping it closes its books and parks what can be resumed.
#[derive(Debug)]
pub(super) struct Session {
    pool: Arc<Shared>,
    connection: u64,
    session_id: String,
    extranonce: Option<Extranonce>,
    wants_extranonce: bool,
    workers: HashSet<String>,
    /// Version bits in force, if any were negotiated.
    mask: Option<u32>,
    suggested: Option<Arc<ShareDifficulty>>,
    announced: Option<Arc<ShareDifficulty>>,
    newest_job: Option<u64>,
    issued: IssuedJobs,
}

impl Session {
    pub(super) fn new(pool: Arc<Shared>, connection: u64) -> Session {
        let session_id = Draw::new(pool.settings.seed ^ 0x5e55_1041_d000_0000, connection).hex();
        Session {
            pool,
            connection,
            session_id,
            extranonce: None,
            wants_extranonce: false,
            workers: HashSet::new(),
            mask: None,
            suggested: None,
            announced: None,
            newest_job: None,
            issued: IssuedJobs::default(),
        }
    }

    /// Takes one line, without its newline.
    pub(super) fn handle_line(
        &mut self,
        now: Instant,
        line: &[u8],
        standing: &Standing,
        out: &mut Outbox,
    ) -> Flow {
        if line.len() >= LONG_LINE {
            self.pool.ledger().long_line();
            if self.pool.settings.strictness.drop_long_lines {
                return Flow::HangUp;
            }
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            return Flow::Continue;
        }
        let Ok(request) = serde_json::from_slice::<Request<'_>>(line) else {
            self.pool.ledger().garbage_line();
            return Flow::HangUp;
        };
        let Some(method) = request.method else {
            return Flow::Continue; // an answer to something we asked
        };
        let id = request.id.map_or("null", RawValue::get);
        let params = request.params.map_or("[]", RawValue::get);
        if method == "mining.submit" {
            self.submit(now, id, params, standing, out);
            return Flow::Continue;
        }
        let params: Value = serde_json::from_str(params).unwrap_or(Value::Null);
        match method.as_ref() {
            "mining.configure" => self.configure(id, &params, out),
            "mining.subscribe" => self.subscribe(now, id, &params, standing, out),
            "mining.authorize" => self.authorize(id, &params, standing, out),
            "mining.suggest_difficulty" => self.suggest_difficulty(id, &params, standing, out),
            "mining.suggest_target" => out.send(&success(id, "true")),
            "mining.extranonce.subscribe" => {
                if self.extranonce.is_none()
                    && self
                        .pool
                        .settings
                        .strictness
                        .drop_early_extranonce_subscribe
                {
                    return Flow::HangUp;
                }
                self.wants_extranonce = true;
                out.send(&success(id, "true"));
            }
            "mining.ping" => out.send(&success(id, "\"pong\"")),
            _ => out.send(&refusal(
                self.pool.settings.reply_form,
                id,
                -3,
                "Method not found",
            )),
        }
        Flow::Continue
    }

    /// Takes something that happened to the whole pool.
    pub(super) fn handle_event(&mut self, event: Event, standing: &Standing, out: &mut Outbox) {
        match event {
            Event::Standing => self.resync(standing, out), // there may be news that a fault held back
            Event::Line(line) => out.send(&line),
            _ if standing.no_notify => {}
            Event::Job { job, clean } => {
                if self.may_have_jobs() {
                    self.send_job(&job, clean, standing, out);
                }
            }
            Event::Difficulty => {
                self.suggested = None;
                if self.may_have_jobs() {
                    self.announce_difficulty(standing, out);
                }
            }
            Event::Extranonce { extranonce2_size } => self.change_extranonce(extranonce2_size, out),
            Event::VersionMask(mask) => {
                if self.mask.is_some() {
                    self.mask = Some(mask);
                    out.send(&notification(
                        "mining.set_version_mask",
                        &format!("[\"{mask:08x}\"]"),
                    ));
                }
            }
        }
    }

    /// Sends the newest job, unless the client has it or may not have any.
    pub(super) fn resync(&mut self, standing: &Standing, out: &mut Outbox) {
        if self.may_have_jobs() {
            let job = self.pool.current_job();
            self.send_job(&job, true, standing, out);
        }
    }

    fn configure(&mut self, id: &str, params: &Value, out: &mut Outbox) {
        let settings = &self.pool.settings;
        if self.extranonce.is_some() && settings.strictness.refuse_late_configure {
            out.send(&refusal(
                settings.reply_form,
                id,
                20,
                "mining.configure after mining.subscribe",
            ));
            return;
        }
        let mut answer = serde_json::Map::new();
        for extension in params[0]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            match extension {
                "version-rolling" => {
                    let wanted = params[1]["version-rolling.mask"]
                        .as_str()
                        .and_then(parse_u32)
                        .unwrap_or(u32::MAX);
                    let own = settings.version_mask.unwrap_or(0);
                    let granted = if settings.unintersected_mask {
                        own
                    } else {
                        own & wanted
                    };
                    answer.insert(extension.to_owned(), Value::Bool(granted != 0));
                    self.mask = (granted != 0).then_some(granted);
                    if granted != 0 {
                        answer.insert(
                            "version-rolling.mask".to_owned(),
                            Value::String(format!("{granted:08x}")),
                        );
                    }
                }
                "minimum-difficulty" => {
                    answer.insert(extension.to_owned(), Value::Bool(true));
                }
                "subscribe-extranonce" => {
                    self.wants_extranonce = true;
                    answer.insert(extension.to_owned(), Value::Bool(true));
                }
                unknown => {
                    answer.insert(unknown.to_owned(), Value::Bool(false));
                }
            }
        }
        out.send(&success(id, &Value::Object(answer).to_string()));
    }

    fn subscribe(
        &mut self,
        now: Instant,
        id: &str,
        params: &Value,
        standing: &Standing,
        out: &mut Outbox,
    ) {
        let first = self.extranonce.is_none();
        if first {
            let parked = params[1]
                .as_str()
                .filter(|_| self.pool.settings.resume)
                .and_then(|id| {
                    let parked = self.pool.parked().resume(now, id)?;
                    Some((id.to_owned(), parked))
                });
            let resumed = parked.is_some();
            let extranonce = match parked {
                Some((session_id, session)) => {
                    self.session_id = session_id;
                    self.issued = session.issued;
                    session.extranonce
                }
                None => {
                    let settings = &self.pool.settings;
                    Extranonce {
                        one: self.pool.unique_extranonce1(settings.extranonce1_len),
                        two_size: settings.extranonce2_size,
                    }
                }
            };
            let user_agent = params[0].as_str().unwrap_or_default();
            self.pool.ledger().subscribed(
                self.connection,
                user_agent,
                hex::encode(&extranonce.one),
                resumed,
            );
            self.extranonce = Some(extranonce);
        }
        let Some(extranonce) = &self.extranonce else {
            return;
        };
        let session = &self.session_id;
        let result = format!(
            "[[[\"mining.set_difficulty\",\"{session}\"],[\"mining.notify\",\"{session}\"]],\"{}\",{}]",
            hex::encode(&extranonce.one),
            extranonce.two_size,
        );
        out.send(&success(id, &result));
        if first {
            self.resync(standing, out);
        }
    }

    fn authorize(&mut self, id: &str, params: &Value, standing: &Standing, out: &mut Outbox) {
        let settings = &self.pool.settings;
        let user = params[0].as_str().unwrap_or_default();
        let admitted = !standing.refuse_login
            && !user.is_empty()
            && settings.users.admits(user)
            && (self.workers.len() < MAX_WORKERS_PER_CONNECTION || self.workers.contains(user));
        self.pool.ledger().login(admitted);
        if !admitted {
            out.send(&refusal(
                settings.reply_form,
                id,
                Reject::Unauthorized.code(),
                &Reject::Unauthorized.message(),
            ));
            return;
        }
        self.workers.insert(user.to_owned());
        out.send(&success(id, "true"));
        self.resync(standing, out);
    }

    fn suggest_difficulty(
        &mut self,
        id: &str,
        params: &Value,
        standing: &Standing,
        out: &mut Outbox,
    ) {
        out.send(&success(id, "true"));
        let Some(difficulty) = params[0].as_f64() else {
            return;
        };
        self.pool.ledger().suggested(difficulty);
        if !self.pool.settings.honour_suggested || difficulty <= 0.0 {
            return;
        }
        if let Ok(difficulty) =
            ShareDifficulty::new(difficulty.clamp(MIN_DIFFICULTY, MAX_DIFFICULTY))
        {
            self.suggested = Some(Arc::new(difficulty));
            if self.may_have_jobs() {
                self.announce_difficulty(standing, out);
            }
        }
    }

    fn submit(
        &mut self,
        now: Instant,
        id: &str,
        params: &str,
        standing: &Standing,
        out: &mut Outbox,
    ) {
        let params: Option<Vec<String>> = serde_json::from_str(params).ok();
        let line = match self.verdict(params.as_deref(), standing) {
            Ok(()) => success(id, "true"),
            Err(reject) => {
                let worker = params
                    .as_ref()
                    .and_then(|params| params.first())
                    .filter(|worker| self.workers.contains(*worker));
                self.pool
                    .ledger()
                    .rejected(self.connection, worker.map(String::as_str), &reject);
                refusal(
                    self.pool.settings.reply_form,
                    id,
                    reject.code(),
                    &reject.message(),
                )
            }
        };
        if standing.silent_replies {
            return;
        }
        if standing.reply_delay.is_zero() && out.delayed.is_empty() {
            out.send(&line);
        } else {
            // Replies keep their order, also when the delay has just been taken away.
            let due =
                (now + standing.reply_delay).max(out.delayed.back().map_or(now, |(due, _)| *due));
            out.delayed.push_back((due, line));
        }
    }

    fn verdict(&self, params: Option<&[String]>, standing: &Standing) -> Result<(), Reject> {
        if let Some((code, message)) = &standing.reject_all {
            return Err(Reject::Forced {
                code: *code,
                message: Arc::clone(message),
            });
        }
        let (worker, job_id, fields) = match params {
            Some([worker, job_id, extranonce2, ntime, nonce, rest @ ..]) if rest.len() <= 1 => (
                worker,
                job_id,
                ShareFields {
                    extranonce2,
                    ntime,
                    nonce,
                    version_bits: rest.first().map(String::as_str),
                },
            ),
            _ => return Err(Reject::Params("parameters")),
        };
        if self.extranonce.is_none() {
            return Err(Reject::NotSubscribed);
        }
        if !self.workers.contains(worker) {
            return Err(Reject::Unauthorized);
        }
        let issued = self.issued.get(job_id).ok_or(Reject::JobNotFound)?;
        if issued.job().epoch < self.pool.current_epoch() {
            return Err(Reject::Stale);
        }
        let rules = VersionRules {
            mask: self.mask.unwrap_or(0),
            dialect: self.pool.settings.dialect,
        };
        let share: Accepted = issued.judge(fields, rules)?;
        self.pool
            .ledger()
            .accepted(self.connection, worker, issued, &share);
        Ok(())
    }

    fn may_have_jobs(&self) -> bool {
        let logged_in =
            !self.workers.is_empty() || self.pool.settings.first_job == FirstJob::AfterSubscribe;
        self.extranonce.is_some() && logged_in
    }

    fn send_job(&mut self, job: &Arc<Job>, clean: bool, standing: &Standing, out: &mut Outbox) {
        let known = self.newest_job.is_some_and(|newest| newest >= job.number);
        if known || standing.no_notify {
            return;
        }
        let difficulty = self.announce_difficulty(standing, out);
        let Some(extranonce) = &self.extranonce else {
            return;
        };
        self.issued.insert(IssuedJob::new(
            Arc::clone(job),
            difficulty,
            &extranonce.one,
            extranonce.two_size,
        ));
        self.newest_job = Some(job.number);
        out.send(job.notify(clean));
        self.pool.ledger().job_sent();
    }

    /// Sends the difficulty in force unless the client knows it; returns what the client was told last.
    fn announce_difficulty(
        &mut self,
        standing: &Standing,
        out: &mut Outbox,
    ) -> Arc<ShareDifficulty> {
        let wanted = self
            .suggested
            .clone()
            .unwrap_or_else(|| self.pool.difficulty());
        match &self.announced {
            Some(told) if *told == wanted || standing.no_notify => Arc::clone(told),
            _ => {
                out.send(&notification(
                    "mining.set_difficulty",
                    &format!("[{}]", wanted.text()),
                ));
                self.announced = Some(Arc::clone(&wanted));
                wanted
            }
        }
    }

    fn change_extranonce(&mut self, extranonce2_size: usize, out: &mut Outbox) {
        if !self.wants_extranonce {
            return;
        }
        let Some(extranonce) = &mut self.extranonce else {
            return;
        };
        let whole = extranonce.one.len() + extranonce.two_size;
        let two_size = extranonce2_size.clamp(1, whole - 1);
        *extranonce = Extranonce {
            one: self.pool.unique_extranonce1(whole - two_size),
            two_size,
        };
        let one = hex::encode(&extranonce.one);
        out.send(&notification(
            "mining.set_extranonce",
            &format!("[{},{two_size}]", quoted(&one)),
        ));
        self.pool.ledger().extranonce_changed(self.connection, one);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.pool.ledger().disconnected(self.connection);
        if self.pool.settings.resume
            && let Some(extranonce) = self.extranonce.take()
        {
            let session = ParkedSession {
                extranonce,
                issued: std::mem::take(&mut self.issued),
            };
            self.pool.parked().park(
                Instant::now(),
                std::mem::take(&mut self.session_id),
                session,
            );
        }
    }
}
