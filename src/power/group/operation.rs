//! One drain or wake while it is under way: what its receipt will say.
//!
//! Counts; decides nothing. Without a command there is nothing to account for, and no receipt.

use jiff::Timestamp;

use super::Slot;
use crate::{
    power::{
        device::{Shares, StageKind},
        receipt::{Cost, DeviceBill, Move, Outcome, RECEIPT_VERSION, Receipt, SecondBill, ShareBill, WattBill},
    },
    profit::MoneyPerMwh,
};

/// What its receipt will say.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    event: u64,
    kind: Move,
    why: Box<str>,
    value: Option<MoneyPerMwh>,
    started: Timestamp,
    first_command: Option<Timestamp>,
    last_proof: Option<Timestamp>,
    commands: u64,
    shares: ShareBill,
    before_w: f64,
    peak_w: f64,
    transit_wh_before: f64,
}

impl Operation {
    pub fn new(event: u64, kind: Move, why: Box<str>, value: Option<MoneyPerMwh>, now: Timestamp) -> Self {
        Self {
            event,
            kind,
            why,
            value,
            started: now,
            first_command: None,
            last_proof: None,
            commands: 0,
            shares: ShareBill::default(),
            before_w: 0.0,
            peak_w: 0.0,
            transit_wh_before: 0.0,
        }
    }

    /// When it was ordered.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// The devices that are to move are chosen.
    pub fn opens(&mut self, slots: &[Slot]) {
        let moving = slots.iter().filter(|slot| slot.is_moving);
        let in_flight_at_start = moving.map(|slot| slot.device.in_flight()).sum();
        // What was said before was of the devices of another.
        self.shares = ShareBill { in_flight_at_start, ..ShareBill::default() };
        self.before_w = drawn(slots);
        self.peak_w = self.before_w;
        self.transit_wh_before = transit_wh(slots);
    }

    /// One more device moves, with so many shares under way.
    pub fn joins(&mut self, in_flight: u64) {
        self.shares.in_flight_at_start += in_flight;
    }

    pub fn commands(&mut self, now: Timestamp) {
        self.first_command.get_or_insert(now);
        self.commands += 1;
    }

    pub fn shares(&mut self, shares: &Shares) {
        self.shares.add(shares);
    }

    pub fn proof(&mut self, now: Timestamp) {
        self.last_proof = Some(now);
    }

    pub fn draws(&mut self, watts: f64) {
        self.peak_w = self.peak_w.max(watts);
    }

    /// Its receipt; `None` if nothing was commanded. `ended` is [`Outcome::Done`] where devices decide whether it is partial.
    pub fn receipt(mut self, now: Timestamp, group: &str, slots: &[Slot], ended: Outcome) -> Option<Receipt> {
        let first_command = self.first_command?;
        let moving = || slots.iter().filter(|slot| slot.is_moving).map(|slot| &slot.device);
        let count = |kind| moving().filter(|device| device.stage().kind() == kind).count() as u64;
        let goal = self.kind.goal();
        let is_there = |kind: StageKind| kind == StageKind::Confirmed;
        let asked = moving().count() as u64;
        let confirmed =
            moving().filter(|device| device.goal() == goal && is_there(device.stage().kind())).count() as u64;
        self.shares.in_flight_at_end = moving().map(|device| device.in_flight()).sum();
        let outcome = if ended == Outcome::Done && confirmed < asked { Outcome::Partial } else { ended };
        let last_proof = self.last_proof.unwrap_or(now).max(first_command);
        let energy_wh = (transit_wh(slots) - self.transit_wh_before).max(0.0);
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
        Some(Receipt {
            v: RECEIPT_VERSION,
            event: self.event,
            group: group.into(),
            kind: self.kind,
            why: self.why,
            started: self.started,
            ended: now,
            outcome,
            shares: self.shares,
            watts: WattBill { before_w: self.before_w, after_w: drawn(slots), peak_w: self.peak_w },
            devices: DeviceBill {
                asked,
                confirmed,
                by_watts: moving().filter(|device| device.is_untouched() && device.is_by_watts()).count() as u64,
                failed: count(StageKind::Failed),
                unavailable: count(StageKind::Unavailable),
                left_out: slots.len() as u64 - asked,
                commands: self.commands,
            },
            seconds: SecondBill {
                to_first_command_s: seconds(self.started, first_command),
                to_last_proof_s: seconds(first_command, last_proof),
                to_quiet_s: seconds(last_proof, now),
                total_s: seconds(self.started, now),
            },
            cost: Cost { energy_wh, money: self.value.map(|value| value.get() * energy_wh * 1e-6) },
        })
    }
}

/// What all devices draw: measured, else their bounds.
pub(super) fn drawn(slots: &[Slot]) -> f64 {
    slots.iter().map(|slot| slot.device.watts().get()).sum()
}

fn transit_wh(slots: &[Slot]) -> f64 {
    slots.iter().map(|slot| slot.device.transit_wh()).sum()
}
