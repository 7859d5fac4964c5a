//! One drain or wake while it is under way: what its receipt will say.
//!
//! Counts; decides nothing. Without a command there is nothing to account for, and no receipt; but for a drain that found all asleep.

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
    /// It began in an earlier life of the process, which gave its receipt.
    goes_on: bool,
    /// Nobody had to be moved, and the receipt says so.
    moves_nobody: bool,
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
            goes_on: false,
            moves_nobody: false,
        }
    }

    /// It began in an earlier life of the process, which gave its receipt.
    pub fn goes_on(&mut self) {
        self.goes_on = true;
    }

    /// Whether anything was commanded.
    pub fn has_commanded(&self) -> bool {
        self.first_command.is_some()
    }

    /// It ends, and nobody had to be moved.
    pub fn moves_nobody(&mut self) {
        self.moves_nobody = !self.goes_on;
    }

    /// When it was ordered.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// The devices that are to move are chosen.
    pub fn opens(&mut self, slots: &mut [Slot]) {
        let moving = slots.iter().filter(|slot| slot.is_moving);
        let in_flight_at_start = moving.map(|slot| slot.device.in_flight()).sum();
        // What was said before was of the devices of another.
        self.shares = ShareBill { in_flight_at_start, ..ShareBill::default() };
        slots.iter_mut().for_each(|slot| slot.billed_w = slot.device.watts().get());
        self.before_w = drawn(slots);
        self.peak_w = self.before_w;
        self.transit_wh_before = transit_wh(slots);
    }

    /// One more device is known.
    pub fn finds(&mut self, slot: &mut Slot) {
        self.bill(slot);
    }

    /// One more device moves: its shares that are under way are waited for, and what it draws is what it began with.
    pub fn joins(&mut self, slot: &mut Slot) {
        self.shares.in_flight_at_start += slot.device.in_flight();
        self.bill(slot);
    }

    fn bill(&mut self, slot: &mut Slot) {
        let watts = slot.device.watts().get();
        self.before_w += watts - std::mem::replace(&mut slot.billed_w, watts);
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

    /// Its receipt; `None` if nothing was commanded and something had to be. `ended` is [`Outcome::Done`] where devices decide whether it is partial.
    pub fn receipt(mut self, now: Timestamp, group: &str, slots: &[Slot], ended: Outcome) -> Option<Receipt> {
        let first_command = self.first_command.or(self.moves_nobody.then_some(now))?;
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
                idle: slots.iter().filter(|slot| !slot.is_moving && slot.device.is_idle()).count() as u64,
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
