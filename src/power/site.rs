//! The site: groups, ledger and leases as one machine.
//!
//! Knows what is wanted of groups and AI blocks, what was measured, and what is on disk; knows no prices, no sockets, no clock and no
//! file. Whoever owns those (`task.rs`) feeds [`Site::handle`], does what [`Site::poll_output`] says, and comes back at [`Site::poll_timeout`].
//!
//! ```text
//! wanted ──► group.rs ── may these wake? ──► ledger.rs ── entries ──► written ──► permission ──► commands
//! readings ─► ledger.rs ── freed, held ──► written ──► room
//! room ──► leases.rs ── lease ──► written ──► told, told again, renewed ── asked back, released, measured ──► written ──► room
//! meter ──► over_cap.rs ── more than may be ──► leases asked back, groups to sleep, at once
//! ```
//!
//! | what | counts | goes out |
//! |---|---|---|
//! | takes room: a hold, a lease, a lease asked back | from its decision | when it is on disk; that a lease is asked back at once, as that can only help |
//! | makes room: freed, returned | once it is on disk | |
//!
//! * One batch of lines is under way at a time ([`Output::Write`]); meanwhile nothing is given out, and what takes is gathered. What single
//!   devices' readings say waits for others of its kind (`book.rs`).
//! * Wakes are answered before blocks grow. A block that has something to give back is given nothing.
//! * Once another controller's higher epoch is seen, readings and records go on, and no command and no message leaves any more.
//!
//! Limits: an input costs what its device costs, and the logarithm of their number; once a second, and with each reading of the meter
//! or a block, all devices are summed up. Outputs wait until they are polled. Sentences about single devices are limited per group.

mod book;
mod forget;
mod groups;
mod keeper;
mod leases;
mod member;
mod over_cap;
mod plan;
mod view;
mod words;

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

use self::{
    book::{After, Book},
    keeper::Keeper,
    leases::Unexplained,
    member::Member,
    over_cap::OverCap,
};
use super::{
    device::{Device, Goal, StageKind, later},
    group::{Input as GroupInput, Order, Record},
    ledger::{BlockId, Booking, DeviceId, Entry, Epoch, LeaseId, Ledger},
};
use crate::profit::{MoneyPerMwh, Watts};

pub use self::{forget::Kept, words::*};

/// How often all is looked over.
const LOOK: Duration = Duration::from_secs(1);

/// All of a site's groups and AI blocks under one ledger.
#[derive(Debug)]
pub struct Site {
    terms: SiteTerms,
    epoch: Epoch,
    ledger: Ledger,
    /// By the index of the group.
    members: Vec<Member>,
    /// By the index of the block.
    keepers: Vec<Option<Keeper>>,
    book: Book,
    over_cap: Option<OverCap>,
    unexplained: Unexplained,
    /// Whether the meter was there when it was last looked at; `None` before the first reading.
    meter: Option<bool>,
    /// Another controller was spoken of.
    is_superseded: bool,
    /// It is told to observe only.
    observes: bool,
    now: Timestamp,
    look_at: Timestamp,
    out: VecDeque<Output>,
}

impl Site {
    /// A site as its book, its groups' last records and the devices that are known leave it; by the index of the group. It finds out where
    /// its devices are before it does anything.
    pub fn new(
        terms: SiteTerms,
        epoch: Epoch,
        entries: &[Entry],
        devices: Vec<Vec<Joining>>,
        records: Vec<Option<Record>>,
        now: Timestamp,
    ) -> Self {
        let rules = |joining: &Joining| (DeviceId::from(&*joining.spec.name), joining.rules);
        let ids: Vec<_> = devices.iter().flatten().map(rules).collect();
        let blocks: Vec<_> = terms.blocks.iter().flatten().map(|block| (block.id.clone(), block.rules)).collect();
        let ledger = Ledger::rebuild(terms.rules.clone(), ids, blocks, epoch, entries);
        let mut devices = devices.into_iter();
        let mut records = records.into_iter();
        let member = |group: &Option<GroupTerms>| {
            let record = records.next().flatten();
            Member::new(group.as_ref(), devices.next().unwrap_or_default(), record.as_ref(), now)
        };
        let members: Vec<Member> = terms.groups.iter().map(member).collect();
        let was_over_cap = members.iter().any(|member| member.shed.is_some());
        let keepers = terms.blocks.iter().map(|block| block.clone().map(Keeper::new)).collect();
        let mut site = Self {
            terms,
            epoch,
            ledger,
            members,
            keepers,
            book: Book::default(),
            over_cap: was_over_cap.then(|| OverCap::resumed(now)),
            unexplained: Unexplained::default(),
            meter: None,
            is_superseded: false,
            observes: false,
            now,
            look_at: now,
            out: VecDeque::new(),
        };
        site.tell_of_strange_leases();
        for group in 0..site.members.len() {
            site.drain_group(now, group);
        }
        site.turn(now);
        site
    }

    /// What a new book begins with where an old one was lost: every block may hold all it can draw, until it releases that.
    pub fn after_loss(terms: &SiteTerms, now: Timestamp) -> Vec<Entry> {
        let blocks: Vec<_> = terms.blocks.iter().flatten().map(|block| (block.id.clone(), block.rules)).collect();
        Ledger::new(terms.rules.clone(), [], blocks, Epoch(0)).after_loss(now)
    }

    /// From now on nothing is commanded, lent or shed, and readings and records go on; or no more so.
    pub fn observe(&mut self, only: bool) {
        self.observes = only;
    }

    fn only_observes(&self) -> bool {
        self.observes || self.ledger.superseded().is_some()
    }

    /// What it was made of.
    pub fn terms(&self) -> &SiteTerms {
        &self.terms
    }

    /// Takes what happened. Keys and indexes that it does not have are not looked at; time that goes back stands still.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        let now = self.clock(now);
        match input {
            Input::Wanted { groups, blocks } => self.handle_wanted(now, groups, blocks),
            Input::Person(group, person) => self.handle_person(now, group, person),
            Input::Joined(group, joining) => self.handle_joined(now, group, joining),
            Input::Sample(key, sample) => self.handle_sample(now, key, sample),
            Input::Unreachable(key) => self.tell_group(now, key.group, GroupInput::Unreachable(key.device)),
            Input::Sent(key) => self.handle_sent(now, key),
            Input::Refused(key) => self.tell_group(now, key.group, GroupInput::Refused(key.device)),
            Input::Shares(key, shares) => self.tell_group(now, key.group, GroupInput::Shares(key.device, shares)),
            Input::Counted(at) => {
                for group in 0..self.members.len() {
                    self.tell_group(now, group, GroupInput::Counted(at));
                }
            }
            Input::Efficiency(key, joules) => {
                self.tell_group(now, key.group, GroupInput::Efficiency(key.device, joules))
            }
            Input::Times(group, times) => {
                for (device, times) in times {
                    self.tell_group(now, group, GroupInput::Times(device, times));
                }
            }
            Input::Survives(group, survives) => {
                if let Some(member) = self.members.get_mut(group) {
                    member.survives = survives;
                    self.look_at = now;
                }
            }
            Input::Meter(reading) => {
                if self.ledger.read_meter(now, reading).is_ok() {
                    self.look_at = now;
                }
            }
            Input::Status(block, status) => {
                self.handle_status(now, block, status);
                self.look_at = now;
            }
            Input::Answer(block, lease, answer) => {
                self.handle_answer(now, block, lease, answer);
                self.look_at = now;
            }
            Input::WorkReady(group) => self.tell_group(now, group, GroupInput::WorkReady),
            Input::Written(number) => self.handle_written(now, number),
        }
        self.turn(now);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let now = self.clock(now);
        for group in 0..self.members.len() {
            if let Some(machine) = &mut self.members[group].group
                && machine.poll_timeout().is_some_and(|at| at <= now)
            {
                machine.handle_timeout(now);
                self.drain_group(now, group);
            }
        }
        self.turn(now);
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Site::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let groups = self.members.iter().filter_map(|member| member.group.as_ref()?.poll_timeout());
        groups.chain([self.look_at]).chain(self.book.gathers_until()).min()
    }

    /// Whether a device is under way, or its sleep is not booked yet: it is worth measuring often.
    pub fn is_moving(&self, key: DeviceKey) -> bool {
        let Some(member) = self.members.get(key.group) else { return false };
        let (Some(device), Some(id)) = (member.device(key.device), member.id(key.device)) else { return false };
        let kind = device.stage().kind();
        matches!(kind, StageKind::Pending | StageKind::Dispatched | StageKind::Drifted)
            || device.goal() == Goal::Sleep && kind == StageKind::Confirmed && !self.ledger.is_freed(id)
    }

    /// A device, as its group sees it.
    pub fn device(&self, key: DeviceKey) -> Option<&Device> {
        self.members.get(key.group)?.device(key.device)
    }

    /// Whether a device is to sleep.
    pub fn is_to_sleep(&self, key: DeviceKey) -> bool {
        let device = self.members.get(key.group).and_then(|member| member.device(key.device));
        device.is_some_and(|device| device.goal() == Goal::Sleep)
    }

    /// The key of a device, by its group and its name.
    pub fn key(&self, group: usize, name: &str) -> Option<DeviceKey> {
        Some(DeviceKey { group, device: self.members.get(group)?.index(name)? })
    }

    fn handle_wanted(
        &mut self,
        now: Timestamp,
        groups: Vec<Option<(Order, Option<MoneyPerMwh>)>>,
        blocks: Vec<Option<Watts>>,
    ) {
        // Who only observes moves nothing.
        if self.only_observes() {
            return;
        }
        for (group, wanted) in groups.into_iter().enumerate() {
            if let Some((order, value)) = wanted {
                self.want_group(now, group, order, value);
            }
        }
        for (block, wanted) in blocks.into_iter().enumerate() {
            if let Some(keeper) = self.keeper(block) {
                keeper.wanted = wanted;
            }
        }
        self.look_at = now;
    }

    fn handle_joined(&mut self, now: Timestamp, group: usize, joining: Joining) {
        let Some(member) = self.members.get_mut(group) else { return };
        if member.join(&joining) {
            self.ledger.add_device((&*joining.spec.name).into(), joining.rules);
            self.tell_group(now, group, GroupInput::Joined(joining.spec));
        }
    }

    /// What may happen now that these lines are on disk.
    fn handle_written(&mut self, now: Timestamp, number: u64) {
        for after in self.book.written(number) {
            match after {
                After::Free(entry) => {
                    self.ledger.apply(&entry);
                    match entry.what {
                        Booking::Freed { device, .. } => self.handle_freed(&device),
                        Booking::Returned { block, lease, watts } => {
                            self.handle_returned(&block, lease, watts);
                            self.look_at = now;
                        }
                        Booking::Hold { .. } | Booking::Lease { .. } | Booking::Revoke { .. } => {}
                    }
                }
                After::Persisted(group, record) => self.tell_group(now, group, GroupInput::Persisted(record)),
                After::Permit { group, ask, allowed } => self.permit(now, group, ask, allowed),
                After::Given { block, lease } => self.handle_given(now, block, lease),
            }
        }
    }

    /// Does what has become possible.
    fn turn(&mut self, now: Timestamp) {
        let looks = self.look_at <= now;
        if looks {
            self.look_at = later(now, LOOK);
            self.look(now);
        }
        if self.book.is_settled() {
            self.answer_questions(now);
            if looks && self.over_cap.is_none() && !self.only_observes() {
                self.grow(now);
            }
        }
        if let Some(write) = self.book.flush(now) {
            self.out.push_back(write);
        }
    }

    fn look(&mut self, now: Timestamp) {
        self.look_for_others();
        self.look_at_meter(now);
        if !self.only_observes() {
            self.keep_leases(now);
            self.guard_cap(now);
            // It only frees power: also while the site is over its cap, and in the calm after that.
            self.ask_back(now);
            self.restrain(now);
        }
        self.sum_up_news(now);
    }

    fn look_for_others(&mut self) {
        if let Some(seen) = self.ledger.superseded()
            && !std::mem::replace(&mut self.is_superseded, true)
        {
            let words = format!(
                "another controller has taken over: epoch {seen} was seen, ours is {}; from now on nothing is commanded and nothing is \
                 lent: end one of the two, and restart the other",
                self.epoch
            );
            self.tell(Level::Error, EventKind::Superseded, None, words);
        }
    }

    fn look_at_meter(&mut self, now: Timestamp) {
        if self.terms.rules.meter.is_none() {
            return;
        }
        let meter = self.ledger.meter_says(now);
        let was_there = self.meter;
        if was_there.is_none() && meter.is_none() {
            return;
        }
        self.meter = Some(meter.is_some());
        match (was_there, meter) {
            (Some(true), None) => {
                let words = "the site's meter is lost: nobody is given more and nothing is woken until it is back; drains go on";
                self.tell(Level::Warn, EventKind::Meter, None, words.to_owned());
            }
            (Some(false), Some(watts)) => {
                let words = format!("the site's meter is back: it says {}", watts.in_words());
                self.tell(Level::Info, EventKind::Meter, None, words);
            }
            _ => {}
        }
    }

    /// A block that the config no longer names cannot be asked to give back.
    fn tell_of_strange_leases(&mut self) {
        let is_known = |id: &BlockId| self.keepers.iter().flatten().any(|keeper| keeper.terms.id == *id);
        let strange: Vec<(BlockId, LeaseId)> =
            self.ledger.leases().filter(|(id, ..)| !is_known(id)).map(|(id, lease, _)| (id.clone(), lease)).collect();
        for (id, lease) in strange {
            let words = format!(
                "AI block {:?} holds lease {lease} and is not in the config with a control: nobody can ask it back, and it counts",
                id.as_str()
            );
            self.tell(Level::Error, EventKind::NotReturned, None, words);
        }
    }

    fn tell(&mut self, level: Level, kind: EventKind, group: Option<usize>, words: String) {
        self.out.push_back(Output::Event(SiteEvent { level, kind, group, words: words.into() }));
    }

    fn clock(&mut self, now: Timestamp) -> Timestamp {
        self.now = self.now.max(now);
        self.now
    }
}

#[cfg(test)]
mod tests;
