//! What groups ask for, and what becomes of it: the ledger's word for wakes, lines in the book, commands, sentences.
//!
//! A group's commands come out of it only when its record is on disk, and a wake only after the ledger's word, which is given once the
//! holds are on disk; so all that is left to do here is to keep that order.

use jiff::Timestamp;

use super::{
    Site,
    book::After,
    member::{Question, Refused},
    words::{DeviceKey, EventKind, Level, Output, Person, Write},
};
use crate::{
    power::{
        device::{Device, Goal, Sample},
        group::{Command, Event, Input as GroupInput, Order, Output as GroupOutput, Phase, Request},
        ledger::{Booking, DeviceId, Reading, Refusal},
    },
    profit::{MoneyPerMwh, Watts},
};

impl Site {
    /// Lets something happen to a group.
    pub(super) fn tell_group(&mut self, now: Timestamp, group: usize, input: GroupInput) {
        if let Some(machine) = self.members.get_mut(group).and_then(|member| member.group.as_mut()) {
            machine.handle(now, input);
            self.drain_group(now, group);
        }
    }

    /// What is wanted of a group; what was wanted last counts when an emergency is over.
    pub(super) fn want_group(&mut self, now: Timestamp, group: usize, order: Order, value: Option<MoneyPerMwh>) {
        let Some(member) = self.members.get_mut(group) else { return };
        let is_same = member.wanted.as_ref().is_some_and(|wanted| wanted.0 == order && wanted.1 == value);
        member.wanted = Some((order.clone(), value));
        let is_overridden = member.shed.is_some() && order.goal == Goal::Mine;
        if !is_same && !is_overridden {
            self.tell_group(now, group, GroupInput::Order(order, value));
        }
    }

    pub(super) fn handle_person(&mut self, now: Timestamp, group: usize, person: Person) {
        let is_shed = self.remember_hold(group, &person);
        if let (Person::Hold(why), true) = (&person, is_shed) {
            // Who holds it stops no emergency.
            let name = self.group_name(group);
            let words = format!("group {name:?}: it is held ({why}) as soon as the site is under its cap again");
            self.tell(Level::Warn, EventKind::Phase, Some(group), words);
            return;
        }
        let input = match person {
            Person::Hold(why) => GroupInput::Hold(why),
            Person::Lock(why) => GroupInput::Lock(why),
            Person::Rouse(why) => GroupInput::Rouse(why),
            Person::Release => GroupInput::Release,
            Person::Unlock => GroupInput::Unlock,
        };
        self.tell_group(now, group, input);
    }

    /// Notes a person's hold, or its end; whether the group is put to sleep now for the site's cap, which comes first.
    fn remember_hold(&mut self, group: usize, person: &Person) -> bool {
        let only_observes = self.only_observes();
        let Some(member) = self.members.get_mut(group) else { return false };
        member.hold = match person {
            Person::Hold(why) => Some(why.clone()),
            // A hold that it was in before it was locked out ends with that.
            Person::Lock(_) | Person::Release => None,
            Person::Unlock | Person::Rouse(_) => return false,
        };
        let Some(shed) = member.shed.as_mut().filter(|_| !only_observes) else { return false };
        shed.hold.clone_from(&member.hold);
        member.phase() != Some(Phase::Lockout)
    }

    pub(super) fn handle_sample(&mut self, now: Timestamp, key: DeviceKey, sample: Sample) {
        let Some(id) = self.members.get(key.group).and_then(|member| member.id(key.device)).cloned() else { return };
        let reading = Reading { watts: sample.watts, taken_at: sample.at };
        if let Ok(Some(entry)) = self.ledger.read_device(now, &id, reading) {
            // It takes room, and counts from now on.
            self.ledger.apply(&entry);
            self.book.gather(now, entry);
        }
        self.tell_group(now, key.group, GroupInput::Sample(key.device, sample));
        self.try_to_free(now, key, &id);
    }

    /// Books a device as asleep, as soon as readings prove it: the group is content with one, the ledger is not.
    fn try_to_free(&mut self, now: Timestamp, key: DeviceKey, id: &DeviceId) {
        let Some(member) = self.members.get_mut(key.group) else { return };
        let Some(since) = member.sleeps_since(key.device) else { return };
        if self.ledger.is_freed(id) || member.freeing.contains(&key.device) {
            return;
        }
        if let Ok(entry) = self.ledger.freed(id, since) {
            member.freeing.insert(key.device);
            self.book.gather(now, entry.clone());
            self.book.then(After::Free(entry));
        }
    }

    /// Does what a group wants done.
    pub(super) fn drain_group(&mut self, now: Timestamp, group: usize) {
        while let Some(output) = self
            .members
            .get_mut(group)
            .and_then(|member| member.group.as_mut())
            .and_then(|machine| machine.poll_output())
        {
            match output {
                GroupOutput::Persist(mut record) => {
                    record.overruled = self.members[group].shed.clone();
                    self.book.then(After::Persisted(group, record.number));
                    self.book.write(Write::Record(group, record));
                }
                GroupOutput::Receipt(receipt) => self.book.write(Write::Receipt(receipt)),
                GroupOutput::Probe(device) => self.out.push_back(Output::Probe(DeviceKey { group, device })),
                GroupOutput::Command(device, command) => self.command(now, DeviceKey { group, device }, command),
                GroupOutput::Withdraw(device) => self.out.push_back(Output::Withdraw(DeviceKey { group, device })),
                GroupOutput::Dormant => self.out.push_back(Output::Dormant(group)),
                GroupOutput::Rouse => self.out.push_back(Output::Rouse(group)),
                GroupOutput::Event(event) => self.tell_of_group(now, group, event),
                GroupOutput::Ledger(Request::AskIncrease { ask, devices, .. }) => {
                    self.take_question(group, ask, devices)
                }
                // What is free is tried with every reading; what draws is booked by its reading; what a wake needs back is asked back
                // when there is no room.
                GroupOutput::Ledger(Request::Freed { .. } | Request::Drawing { .. } | Request::WantBack(_)) => {}
            }
        }
    }

    fn command(&mut self, now: Timestamp, key: DeviceKey, command: Command) {
        // Another is in office, or this is a dry run.
        if self.only_observes() {
            self.tell_group(now, key.group, GroupInput::Refused(key.device));
        } else {
            self.out.push_back(Output::Command(key, command));
        }
    }

    /// A command is on its way, and counts from now on: what waited until now could be taken back.
    pub(super) fn handle_sent(&mut self, now: Timestamp, key: DeviceKey) {
        let Some(member) = self.members.get(key.group) else { return };
        let wakes = |device: &Device| device.is_waiting() && device.goal() == Goal::Mine;
        if let Some(id) = member.id(key.device).filter(|_| member.device(key.device).is_some_and(wakes)) {
            self.ledger.sends_wake(now, id);
        }
        self.tell_group(now, key.group, GroupInput::Sent(key.device));
    }

    fn take_question(&mut self, group: usize, number: u64, devices: Vec<usize>) {
        let Some(member) = self.members.get_mut(group) else { return };
        // Asked again, it is the same question.
        if member.question.as_ref().is_none_or(|open| open.number != number) {
            member.question = Some(Question { number, devices, is_answered: false });
        }
    }

    /// Asks the ledger what groups asked, the best J/TH first.
    pub(super) fn answer_questions(&mut self, now: Timestamp) {
        let is_open = |group: &usize| self.members[*group].question.as_ref().is_some_and(|open| !open.is_answered);
        let mut groups: Vec<usize> = (0..self.members.len()).filter(is_open).collect();
        if groups.is_empty() {
            return;
        }
        let mut order: Vec<(f64, usize)> =
            self.members.iter().enumerate().map(|(group, member)| (member.joules_to_wake(), group)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut better = Vec::new();
        for (_, group) in order {
            if let Some(index) = groups.iter().position(|open| *open == group) {
                groups.swap_remove(index);
                self.answer_question(now, group, &better);
            }
            better.push(group);
        }
    }

    /// `better`: the groups whose machines wake before this one's.
    fn answer_question(&mut self, now: Timestamp, group: usize, better: &[usize]) {
        let member = &mut self.members[group];
        let Some(question) = member.question.as_mut() else { return };
        question.is_answered = true;
        let (ask, indexes) = (question.number, question.devices.clone());
        // A question of a wake that was called off.
        let is_open = member.is_to_wake();
        let ids = indexes.iter().filter_map(|index| member.id(*index)).cloned();
        let mut ids: Vec<DeviceId> = if is_open { ids.collect() } else { Vec::new() };
        let (fits, before) = self.may_wake(now, group, &ids, better);
        let wakes = self.ledger.wake(now, &ids[..fits]);
        let allowed = wakes.entries.len();
        for entry in wakes.entries {
            if let Booking::Hold { device, .. } = &entry.what
                && let Some(index) = self.members[group].index(device.as_str())
            {
                self.members[group].freeing.remove(&index);
            }
            self.ledger.apply(&entry);
            self.book.write(Write::Entry(entry));
        }
        let rest = ids.split_off(allowed);
        self.members[group].refused = match wakes.refused {
            Some(Refusal::NoRoom { wanted, balance }) => {
                Some(Refused { why: Refusal::NoRoom { wanted, balance }.to_string().into(), waits_for_room: rest })
            }
            Some(why) => Some(Refused { why: why.to_string().into(), waits_for_room: Vec::new() }),
            None => before.map(|why| Refused { why, waits_for_room: Vec::new() }),
        };
        if allowed > 0 {
            self.book.then(After::Permit { group, ask, allowed });
        } else {
            self.permit(now, group, ask, 0);
        }
    }

    /// How many of these may wake beside what comes before them, and what that is if it is not all.
    fn may_wake(&self, now: Timestamp, group: usize, ids: &[DeviceId], better: &[usize]) -> (usize, Option<Box<str>>) {
        let balance = self.ledger.balance(now);
        // What a better group gets when it asks again, seconds from now, is not given away meanwhile.
        let ahead = self.ahead(now, better, balance.room());
        if let Some((name, watts)) = ahead {
            let room = balance.room().saturating_sub(watts);
            let fits = self.fitting(now, ids, room);
            if fits < ids.len() {
                return (
                    fits,
                    Some(format!("what is free is for group {name:?} first, which mines with less J/TH").into()),
                );
            }
        }
        // What a blip may wake must stay free where blocks that shed slowly have anything.
        if !self.members[group].survives || !self.lends_slowly() {
            return (ids.len(), None);
        }
        let fits = self.fitting(now, ids, self.room_for_slow(now, &balance));
        let why =
            "a power cut would wake other groups, and AI compute that does not say how fast it sheds has their power";
        (fits, (fits < ids.len()).then(|| why.into()))
    }

    /// How many of these, in their order, count no more than `room` beside what they count.
    fn fitting(&self, now: Timestamp, ids: &[DeviceId], mut room: Watts) -> usize {
        let fits = |id: &&DeviceId| {
            let more = self.ledger.bound(id).saturating_sub(self.ledger.counts(now, id));
            let fits = more <= room;
            room = room.saturating_sub(more);
            fits
        };
        ids.iter().take_while(fits).count()
    }

    /// What fits into `room` of the machines that better groups were refused, and the first of these groups.
    fn ahead(&self, now: Timestamp, better: &[usize], room: Watts) -> Option<(String, Watts)> {
        let (mut first, mut taken) = (None, Watts::ZERO);
        for other in better {
            let member = &self.members[*other];
            let Some(refused) = member.refused.as_ref().filter(|_| member.is_to_wake()) else { continue };
            let fits = self.fitting(now, &refused.waits_for_room, room.saturating_sub(taken));
            let more = |id: &DeviceId| self.ledger.bound(id).saturating_sub(self.ledger.counts(now, id));
            let watts: Watts = refused.waits_for_room[..fits].iter().map(more).sum();
            if watts > Watts::ZERO {
                first.get_or_insert(*other);
                taken = taken + watts;
            }
        }
        first.map(|other| (self.group_name(other), taken))
    }

    /// Gives a group the ledger's word.
    pub(super) fn permit(&mut self, now: Timestamp, group: usize, ask: u64, allowed: usize) {
        if let Some(member) = self.members.get_mut(group) {
            member.question.take_if(|question| question.number == ask);
        }
        self.tell_group(now, group, GroupInput::Permission(ask, allowed));
    }

    /// A device sleeps, and that is on disk.
    pub(super) fn handle_freed(&mut self, id: &DeviceId) {
        for member in &mut self.members {
            if let Some(index) = member.index(id.as_str()) {
                member.freeing.remove(&index);
            }
        }
    }

    fn tell_of_group(&mut self, now: Timestamp, group: usize, event: Event) {
        let (level, kind) = match &event {
            Event::Moved { to: Phase::Fault, .. } => (Level::Error, EventKind::Phase),
            Event::Moved { to: Phase::ManualHold, .. } => (Level::Warn, EventKind::Phase),
            Event::Moved { .. } => (Level::Info, EventKind::Phase),
            Event::TurnedUp { .. } => (Level::Info, EventKind::Device),
            // One for each time that strays are told again, which gets rarer.
            Event::Astray { .. } | Event::Nobody { .. } => (Level::Warn, EventKind::Phase),
            Event::Drifted { .. } | Event::Idle { .. } | Event::Failed { .. } | Event::Unavailable { .. } => {
                (Level::Warn, EventKind::Device)
            }
            Event::Refused { .. } => (Level::Info, EventKind::Refusal),
        };
        if kind == EventKind::Device && !self.members[group].is_news(now) {
            return;
        }
        let mut words = event.to_string();
        if let (Event::Refused { .. }, Some(refused)) = (&event, &self.members[group].refused) {
            words = format!("{words}: {}", refused.why);
        }
        self.tell(level, kind, Some(group), words);
    }

    /// Says how many devices were not spoken of.
    pub(super) fn sum_up_news(&mut self, now: Timestamp) {
        for group in 0..self.members.len() {
            if let Some(untold) = self.members[group].unsaid(now) {
                let name = self.group_name(group);
                let words = format!("group {name:?}: {untold} more sentences about single devices in the last seconds");
                self.tell(Level::Warn, EventKind::Device, Some(group), words);
            }
        }
    }

    pub(super) fn group_name(&self, group: usize) -> String {
        self.terms.groups.get(group).and_then(Option::as_ref).map_or_else(String::new, |terms| terms.name.to_string())
    }

    /// What is drawn at the site meter by devices of a group.
    pub(super) fn draws_at_meter(&self, group: usize) -> Watts {
        let pairs = self.members[group].pairs();
        pairs.map(|(known, device)| Watts::clamped(device.watts().get() * known.overhead.get())).sum()
    }
}
