//! The handshake: requests in the firmware's order and form, and what it demands of the answers.

use super::{Asked, Pending, Phase, Session};
use crate::sim::miner::profile::{BIP320_MASK, Rolling, Step};
use crate::sim::miner::stats::MinerStats;
use crate::sim::miner::violation::{ProtocolViolation, quoted};
use crate::sim::miner::wire::{self, Line, Subscribed};
use serde_json::{Value, json};
use std::time::Instant;

impl Session {
    pub(super) fn send_group(&mut self, now: Instant, stats: &mut MinerStats) {
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
            Step::Configure => ("mining.configure", wire::configure_params(self.profile.configure)),
            Step::Subscribe if self.bare_subscribe => ("mining.subscribe", json!([])),
            Step::Subscribe => {
                let (form, agent) = (self.profile.subscribe, self.profile.user_agent);
                let session = self.session_id.as_deref();
                let params = wire::subscribe_params(form, agent, session, self.settings.server, self.settings.seed);
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

    pub(super) fn suggest(&mut self, now: Instant, what: Asked) {
        let own = self.profile.suggests.filter(|_| !self.settings.scaled_world).map(|(difficulty, _)| difficulty);
        let Some(difficulty) = self.settings.suggested_difficulty.or(own) else {
            return;
        };
        self.ask(now, "mining.suggest_difficulty", &json!([difficulty]), what);
        self.suggest_at = self.profile.suggests.and_then(|(_, again)| Some(now + again?));
    }

    fn ask(&mut self, now: Instant, method: &str, params: &Value, what: Asked) {
        self.next_id += 1;
        wire::request(&mut self.out, self.ids, self.next_id, method, params);
        self.pending.push_back(Pending { id: self.next_id, sent: now, what });
    }

    pub(super) fn reply(&mut self, now: Instant, reply: &Line, line: &[u8], stats: &mut MinerStats) {
        let found = reply.reply_id(self.ids).and_then(|id| self.pending.iter().position(|asked| asked.id == id));
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
                let waits = self.pending.iter().any(|asked| matches!(asked.what, Asked::Handshake(_)));
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

    fn step_answered(&mut self, now: Instant, step: Step, reply: &Line, line: &[u8], stats: &mut MinerStats) {
        let bad = || ProtocolViolation::BadAnswer { step, line: quoted(line) };
        let refused = || ProtocolViolation::Refused { step, error: reply.refusal().1 };
        match step {
            Step::Configure => self.configured(reply, bad, stats),
            Step::Subscribe => match reply.result.filter(|_| reply.error.is_none()).map(Subscribed::parse) {
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
            Step::ExtranonceSubscribe if self.profile.extranonce_error_fatal => self.fail(refused(), stats),
            Step::SuggestDifficulty | Step::ExtranonceSubscribe | Step::MultiVersion => stats.violate(refused()),
        }
    }

    fn configured(&mut self, reply: &Line, bad: impl Fn() -> ProtocolViolation, stats: &mut MinerStats) {
        let answer = reply.result.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
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
            return self.fail(ProtocolViolation::UnrequestedConfigureKey(key.clone()), stats);
        }
        let granted = answer.get("version-rolling").and_then(Value::as_bool).unwrap_or(false);
        let mask = answer.get("version-rolling.mask").and_then(Value::as_str);
        let mask = match mask.filter(|_| granted).map(|hex| u32::from_str_radix(hex, 16)) {
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
}
