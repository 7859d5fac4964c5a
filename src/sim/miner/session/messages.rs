//! What the server says on its own: jobs, difficulties, extranonces, and its wishes.

use super::{Leave, Session};
use crate::sim::miner::profile::{DifficultyForm, DifficultyTiming, Follow, JobRule, Step};
use crate::sim::miner::stats::MinerStats;
use crate::sim::miner::violation::ProtocolViolation;
use crate::sim::miner::wire::{self, Line};
use crate::sim::miner::work::{JobWork, Target, Template, crc16};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Jobs whose ids are remembered, to notice repeated ones.
const RECENT_JOBS: usize = 16;
/// Longest wait that a `client.reconnect` can ask for.
const MAX_ASKED_WAIT: Duration = Duration::from_secs(60);

impl Session {
    pub(super) fn message(&mut self, now: Instant, method: &str, message: &Line, line: &[u8], stats: &mut MinerStats) {
        match method {
            "mining.notify" => self.notify(now, message, line, stats),
            "mining.set_difficulty" => self.set_difficulty(message, stats),
            "mining.set_extranonce" => self.set_extranonce(message, stats),
            "mining.set_version_mask" => self.set_version_mask(message, stats),
            "client.reconnect" => self.reconnect(message),
            "client.show_message" => stats.messages += 1,
            "client.get_version" => self.answer(message, &json!(self.profile.user_agent)),
            "mining.ping" if self.profile.pong_method => {
                let id = message.id.map_or(Value::Null, |id| serde_json::from_str(id.get()).unwrap_or(Value::Null));
                wire::append(&mut self.out, &json!({"id": id, "method": "pong", "params": []}));
            }
            "mining.ping" => self.answer(message, &json!("pong")),
            // Unknown methods are ignored by all firmware.
            _ => {}
        }
    }

    fn answer(&mut self, message: &Line, result: &Value) {
        let id = message.id.map_or(Value::Null, |id| serde_json::from_str(id.get()).unwrap_or(Value::Null));
        wire::append(&mut self.out, &json!({"id": id, "result": result, "error": null}));
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
            let key = if new_block { template.prevhash } else { template.content };
            self.board.clean_job_arrived(key, template.made, now);
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
        let repeated = self.mining.start(job, self.extranonce2_size, restarts, self.connection);
        if repeated && restarts {
            stats.violate(ProtocolViolation::RepeatedWork(job_id));
        }
    }

    /// Passes a job through unless this firmware drops it.
    fn bearable(&self, template: Arc<Template>, line_bytes: usize) -> Result<Arc<Template>, ProtocolViolation> {
        let limits = &self.profile.limits;
        let coinbase = template.coinbase_len(self.extranonce1.len(), self.extranonce2_size);
        let id = || template.job_id.clone();
        let known = || self.recent.iter().any(|job| job.job_id == template.job_id);
        let violation = match (template.odd_field, self.profile.jobs) {
            (Some(field), _) if self.profile.checks_field_lengths => ProtocolViolation::BadField(field),
            _ if template.branches.len() > limits.branches => {
                ProtocolViolation::TooManyBranches(template.branches.len())
            }
            _ if coinbase > limits.coinbase_bytes => ProtocolViolation::CoinbaseTooLong(coinbase),
            _ if line_bytes > limits.notify_bytes => ProtocolViolation::NotifyTooLong(line_bytes),
            (_, JobRule::DropKnownId) if !template.clean && known() => ProtocolViolation::RepeatedJobId(id()),
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
        self.recent.iter().any(|job| crc16(job.job_id.as_bytes()) == crc)
    }

    fn set_difficulty(&mut self, message: &Line, stats: &mut MinerStats) {
        let strict = !self.settings.scaled_world;
        let Some((mut difficulty,)) = message.params::<(f64,)>() else {
            return stats.violate(ProtocolViolation::BadDifficulty);
        };
        if strict && difficulty < self.profile.limits.least_difficulty {
            stats.violate(ProtocolViolation::DifficultyTooLow);
        }
        if strict && self.profile.difficulty_form == DifficultyForm::WholeU32 && difficulty.fract() != 0.0 {
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

    pub(super) fn take_extranonce(&mut self, extranonce1: Vec<u8>, size: usize, stats: &mut MinerStats) {
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
        let mask = message.params::<(String,)>().and_then(|(hex,)| u32::from_str_radix(&hex, 16).ok());
        match mask {
            _ if !self.profile.asks(Step::Configure) => stats.violate(ProtocolViolation::UnrequestedVersionMask),
            Some(mask) => self.mining.set_mask(mask & self.profile.configure.mask),
            None => stats.violate(ProtocolViolation::BadField("version mask")),
        }
    }

    fn reconnect(&mut self, message: &Line) {
        let params = message.params::<Vec<Value>>().unwrap_or_default();
        let host = params.first().and_then(Value::as_str).filter(|host| !host.is_empty());
        let port = params.get(1).and_then(|port| {
            port.as_u64().or_else(|| port.as_str()?.parse().ok()).and_then(|port| u16::try_from(port).ok())
        });
        let wait = params.get(2).and_then(Value::as_u64).map_or(Duration::ZERO, Duration::from_secs);
        let named = host.zip(port).map(|(host, port)| (host.to_owned(), port));
        let here = self.settings.server.ip().to_string();
        let to = match self.profile.follow {
            Follow::OwnServer => None,
            Follow::NeedsHostAndPort if named.is_none() => return,
            // A server that sends its miners to a stranger's host may be hijacked: they stay.
            Follow::SameDomain if host.is_some_and(|host| !same_domain(host, &here)) => return,
            Follow::NeedsHostAndPort | Follow::SameDomain => named,
        };
        self.leave = Some(Leave::Asked { to, wait: wait.min(MAX_ASKED_WAIT) });
    }
}

/// cgminer's rule against hijacks: the last two labels must be equal; an address only equals itself.
fn same_domain(there: &str, here: &str) -> bool {
    if there.parse::<IpAddr>().is_ok() || here.parse::<IpAddr>().is_ok() {
        return there == here;
    }
    let domain = |host: &str| host.rsplit('.').take(2).map(str::to_ascii_lowercase).collect::<Vec<_>>();
    domain(there) == domain(here)
}
