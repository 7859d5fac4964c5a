//! The power ledger: how many watts of a site are given out, and whether more may be.
//!
//! Pure: `now`, readings and acknowledgements in, entries and refusals out. Knows no prices, no groups and no ramps (`group.rs` has
//! them), and sends nothing. All watts are at the site meter: an ASIC's × (1 + loss), AI's IT × PUE.
//!
//! ```text
//! before a command:  entry = ledger.wake(..)? | grant(..)?       ─ journal.append(entry) ─ ledger.apply(entry) ─ send
//! after a reading:   entry = ledger.freed(..)? | returned(..)?   ─ journal.append(entry) ─ ledger.apply(entry)
//! after a start:     Ledger::rebuild(.., journal's entries), then nothing counts as asleep or idle until it is read
//! ```
//!
//! | what | counts |
//! |---|---|
//! | ASIC awake, or nobody knows | max(configured maximum, 1.1 × nameplate, 1.05 × highest ever seen), from before its wake is sent |
//! | ASIC asleep: booked, read lately, and the meter has had its time to object | what it drew + the drift reserve |
//! | AI block | max(granted and not returned, drawn, idle); without a fresh status its capacity |
//! | what the meter sees and nobody tells | all of it |
//!
//! **The check gates increases only** ([`Ledger::wake`], [`Ledger::grant`]): at a cold start the bounds of an oversubscribed site exceed
//! the cap although all is well. Only measured power over the cap sheds ([`Ledger::shed`]), with leases counted whole: they may be drawn at
//! any time.
//!
//! Failure is one-sided. What is lost, late or told twice leaves watts booked that are free, never the other way: readings older than the
//! last are ignored, a wake that may still be on its way keeps a device from being freed, the release of a lease needs the word *and*
//! later readings, expiry proves nothing. A device that says it sleeps and does not is seen by the meter before its watts count as free
//! (`meter.rs`).
//!
//! Limits: [`block::MAX_LEASES`] for a block; a device and a block keep as many readings as a proof needs, the meter two.

mod block;
mod device;
mod entry;
mod forget;
mod meter;
mod reading;
mod reason;
mod rules;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry as MapEntry},
    fmt::{self, Display, Formatter},
};

use jiff::{SignedDuration, Timestamp};

use self::{
    block::{Block, MAX_LEASES},
    device::{Booked, Device},
    meter::{Measured, Meter, Open},
    reading::{Readings, in_order},
};
use crate::profit::Watts;

pub use self::{
    block::Lease,
    entry::{BlockId, Booking, DeviceId, Entry, Epoch, LeaseId},
    reading::Reading,
    reason::{Ignored, NotYet, Refusal, Shed},
    rules::{BlockRules, DeviceRules, MAX_TERM, MIN_TERM, MeterRules, Rules},
};

/// Devices that a book names and nobody knows: so many are remembered, in case they are found again.
const MAX_STRANGERS: usize = 100_000;

/// Who has how many watts.
#[derive(Debug)]
pub struct Ledger {
    rules: Rules,
    devices: HashMap<DeviceId, Device>,
    /// What the book says of devices that are not known: one may be found later. Bounded by [`MAX_STRANGERS`].
    strangers: HashMap<DeviceId, (Booked, Watts)>,
    blocks: BTreeMap<BlockId, Block>,
    meter: Meter,
    epoch: Epoch,
    /// The highest that was seen of another controller.
    seen: Option<Epoch>,
    /// Leases given in this epoch.
    given: u32,
}

/// What counts against the cap, at the site meter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Balance {
    /// The ASICs' bounds.
    pub asic: Watts,
    /// The AI blocks'.
    pub ai: Watts,
    /// What is always there.
    pub base: Watts,
    /// What the meter sees and nobody tells.
    pub unexplained: Watts,
    /// What stays free.
    pub reserve: Watts,
    /// What the site may draw.
    pub cap: Watts,
}

impl Balance {
    /// Everything that counts.
    pub fn total(&self) -> Watts {
        self.asic + self.ai + self.base + self.unexplained + self.reserve
    }

    /// Whether so much more is under the cap.
    pub fn fits(&self, more: Watts) -> bool {
        self.total() + more <= self.cap
    }

    /// What is left under the cap.
    pub fn room(&self) -> Watts {
        self.cap.saturating_sub(self.total())
    }
}

impl Display for Balance {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ASICs {} + AI {} + base load {} + unexplained {} + reserve {} of {}",
            self.asic.in_words(),
            self.ai.in_words(),
            self.base.in_words(),
            self.unexplained.in_words(),
            self.reserve.in_words(),
            self.cap.in_words()
        )
    }
}

/// Which of some devices may wake.
#[derive(Debug, Clone, PartialEq)]
pub struct Wakes {
    /// To be written before their commands are sent; of the devices asked for, the first so many.
    pub entries: Vec<Entry>,
    /// Why the next one may not.
    pub refused: Option<Refusal>,
}

impl Ledger {
    /// For a site of which nothing is known: every device counts its bound, every block its capacity.
    pub fn new(
        rules: Rules,
        devices: impl IntoIterator<Item = (DeviceId, DeviceRules)>,
        blocks: impl IntoIterator<Item = (BlockId, BlockRules)>,
        epoch: Epoch,
    ) -> Self {
        let devices = devices.into_iter().map(|(id, device)| (id, Device::new(device, &rules))).collect();
        let blocks = blocks.into_iter().map(|(id, block)| (id, Block::new(Some(block), &rules))).collect();
        let strangers = HashMap::new();
        Self { rules, devices, strangers, blocks, meter: Meter::default(), epoch, seen: None, given: 0 }
    }

    /// What a book says. A device that is not known counts nothing (the meter sees it) until it is found ([`Ledger::add_device`]); a block that it no longer
    /// names counts what it was given, until that is back.
    pub fn rebuild<'a>(
        rules: Rules,
        devices: impl IntoIterator<Item = (DeviceId, DeviceRules)>,
        blocks: impl IntoIterator<Item = (BlockId, BlockRules)>,
        epoch: Epoch,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> Self {
        let mut ledger = Self::new(rules, devices, blocks, epoch);
        entries.into_iter().for_each(|entry| ledger.apply(entry));
        ledger
    }

    /// Takes an entry over that is in the book.
    pub fn apply(&mut self, entry: &Entry) {
        match &entry.what {
            Booking::Hold { device, highest, .. } => {
                let held = Booked::Held { since: Some(entry.at) };
                match self.devices.get_mut(device) {
                    Some(device) => (device.booked, device.highest) = (held, device.highest.max(*highest)),
                    None => self.note_stranger(device, held, *highest),
                }
            }
            Booking::Freed { device, watts } => {
                let freed = Booked::Freed { watts: *watts, at: entry.at };
                match self.devices.get_mut(device) {
                    // A wake that was booked after this was measured stands.
                    Some(device) if device.is_held_since(entry.at) => {}
                    Some(device) => device.booked = freed,
                    None => self.note_stranger(device, freed, Watts::ZERO),
                }
            }
            Booking::Lease { block, lease, watts, expires } => {
                self.given = self.given.max(lease.number_in(self.epoch).unwrap_or(0));
                let new = || Block::new(None, &self.rules);
                let leases = &mut self.blocks.entry(block.clone()).or_insert_with(new).leases;
                leases.entry(*lease).or_insert(Lease {
                    watts: *watts,
                    expires: *expires,
                    revoked: None,
                    released: None,
                });
            }
            Booking::Revoke { block, lease } => {
                if let Some(lease) = self.lease_mut(block, *lease) {
                    lease.revoked.get_or_insert(entry.at);
                }
            }
            Booking::Returned { block, lease, .. } => {
                if let Some(leases) = self.blocks.get_mut(block) {
                    leases.leases.remove(lease);
                }
                self.blocks.retain(|_, block| block.rules.is_some() || !block.leases.is_empty());
            }
        }
    }

    fn note_stranger(&mut self, id: &DeviceId, booked: Booked, highest: Watts) {
        if self.strangers.len() < MAX_STRANGERS || self.strangers.contains_key(id) {
            let stranger = self.strangers.entry(id.clone()).or_insert((booked, highest));
            *stranger = (booked, stranger.1.max(highest));
        }
    }

    /// A device was found: what the book says of it is booked, else it is held since nobody knows when. Nothing for one that is known.
    pub fn add_device(&mut self, id: DeviceId, rules: DeviceRules) {
        let MapEntry::Vacant(place) = self.devices.entry(id) else { return };
        let mut device = Device::new(rules, &self.rules);
        if let Some((booked, highest)) = self.strangers.remove(place.key()) {
            (device.booked, device.highest) = (booked, highest);
        }
        place.insert(device);
    }

    /// What a new book begins with where an old one was lost: every block may hold all it can draw, until it releases
    /// [`LeaseId::EVERYTHING`].
    pub fn after_loss(&self, now: Timestamp) -> Vec<Entry> {
        let everything = |(id, block): (&BlockId, &Block)| {
            let watts = block.rules?.capacity;
            let what = Booking::Lease { block: id.clone(), lease: LeaseId::EVERYTHING, watts, expires: now };
            Some(Entry { at: now, what })
        };
        self.blocks.iter().filter_map(everything).collect()
    }

    /// Ours.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// An epoch was seen on the AI side, or anywhere: if it is higher than ours, we only observe from now on.
    pub fn see_epoch(&mut self, epoch: Epoch) {
        if epoch > self.epoch {
            self.seen = self.seen.max(Some(epoch));
        }
    }

    // ---- what was measured ----

    /// Takes what a device draws, at its own supply. If it is awake against the book, or higher than ever, the entry says so and must be
    /// written and applied at once; it counts from now on in any case.
    ///
    /// # Errors
    ///
    /// If the reading is not taken.
    pub fn read_device(&mut self, now: Timestamp, id: &DeviceId, reading: Reading) -> Result<Option<Entry>, Ignored> {
        let device = self.devices.get_mut(id).ok_or(Ignored::Unknown)?;
        let since = match device.booked {
            Booked::Held { since } => since,
            Booked::Freed { .. } => None,
        };
        let before = device.readings.is_answered();
        let must_hold = device.read(now, reading, &self.rules)?;
        let (watts, highest, after) = (device.bound(), device.highest, device.readings.is_answered());
        // One that is not waited for ends no comparison.
        let is_waited_for = device.rules.is_read;
        self.answered(before || !is_waited_for, after);
        // A higher bound is no new wake: what was booked for a wake stays as old as it is.
        let at = since.unwrap_or(reading.taken_at);
        let what = Booking::Hold { device: id.clone(), watts, highest };
        Ok(must_hold.then_some(Entry { at, what }))
    }

    /// Takes what a block's IT draws.
    ///
    /// # Errors
    ///
    /// If the reading is not taken.
    pub fn read_block(&mut self, now: Timestamp, id: &BlockId, drawn: Reading) -> Result<(), Ignored> {
        let block = self.blocks.get_mut(id).ok_or(Ignored::Unknown)?;
        let before = block.readings.is_answered();
        block.read(now, drawn)?;
        let after = block.readings.is_answered();
        self.answered(before, after);
        Ok(())
    }

    /// Takes what the site's meter says.
    ///
    /// # Errors
    ///
    /// If the reading is not taken.
    pub fn read_meter(&mut self, now: Timestamp, reading: Reading) -> Result<(), Ignored> {
        in_order(now, self.meter.newest.map(|(newest, _)| newest), reading)?;
        self.meter.newest = Some((reading, self.measured(now)));
        let max_age = self.rules.max_age;
        // Who has not been read for so long is silent.
        if self.meter.open.is_some_and(|open| now.duration_since(open.reading.taken_at) > max_age) {
            self.close_comparison();
        }
        if self.meter.open.is_none() {
            let mut missing = 0;
            for readings in all_readings(&mut self.devices, &mut self.blocks) {
                readings.compare(reading.taken_at, max_age);
                missing += usize::from(!readings.is_answered());
            }
            self.meter.open = Some(Open { reading, missing });
            if missing == 0 {
                self.close_comparison();
            }
        }
        Ok(())
    }

    /// Somebody was read who was or was not before: if it was the last one, the meter's reading can be compared.
    fn answered(&mut self, before: bool, after: bool) {
        if let Some(open) = self.meter.open.as_mut().filter(|_| after && !before) {
            open.missing = open.missing.saturating_sub(1);
            if open.missing == 0 {
                self.close_comparison();
            }
        }
    }

    fn close_comparison(&mut self) {
        let mut ai = Some(Watts::ZERO);
        for block in self.blocks.values().filter(|block| block.rules.is_some()) {
            ai = ai.zip(block.readings.ceiling()).map(|(sum, most)| sum + most);
        }
        let told: Watts = all_readings(&mut self.devices, &mut self.blocks).map(Readings::floor).sum();
        // One that never tells anything is taken to draw what it may.
        let mute = self.devices.values().filter(|device| !device.rules.is_read).map(Device::bound).sum();
        self.meter.close(self.rules.base_load + told + mute, ai);
    }

    /// A block says that it released a lease: `at` by our clock, when its word came.
    pub fn acknowledge_release(&mut self, id: &BlockId, lease: LeaseId, at: Timestamp) {
        if let Some(lease) = self.lease_mut(id, lease) {
            lease.released.get_or_insert(at);
        }
    }

    /// What was measured now, base load included.
    fn measured(&self, now: Timestamp) -> Measured {
        let mut sum = Measured { told: self.rules.base_load, silent: Watts::ZERO };
        for device in self.devices.values() {
            match device.measured(now, &self.rules) {
                Some(watts) => sum.told = sum.told + watts,
                None => sum.silent = sum.silent + device.bound(),
            }
        }
        for block in self.blocks.values() {
            match block.drawn(now, &self.rules) {
                Some(watts) => sum.told = sum.told + watts,
                None => sum.silent = sum.silent + block.counts(now, &self.rules),
            }
        }
        sum
    }

    // ---- less: never refused, but to be proved ----

    /// Whether a device that was told to sleep at `slept_at` does: by readings after that, and after every wake that may still be on its way.
    ///
    /// # Errors
    ///
    /// If that is not proved, or not yet.
    pub fn freed(&self, id: &DeviceId, slept_at: Timestamp) -> Result<Entry, NotYet> {
        let device = self.devices.get(id).ok_or_else(|| NotYet::UnknownDevice(id.clone()))?;
        let proof = device.sleeps(slept_at, self.rules.command_lifetime)?;
        Ok(Entry { at: proof.taken_at, what: Booking::Freed { device: id.clone(), watts: proof.watts } })
    }

    /// Asks a lease back; `None` if there is none, or it was asked back before.
    pub fn revoke(&self, now: Timestamp, id: &BlockId, lease: LeaseId) -> Option<Entry> {
        let booked = self.blocks.get(id)?.leases.get(&lease)?;
        let what = Booking::Revoke { block: id.clone(), lease };
        booked.revoked.is_none().then_some(Entry { at: now, what })
    }

    /// Whether a lease is back: released by word, and by later readings of no more than what the block keeps.
    ///
    /// # Errors
    ///
    /// If that is not proved, or not yet.
    pub fn returned(&self, id: &BlockId, lease: LeaseId) -> Result<Entry, NotYet> {
        let block = self.blocks.get(id).ok_or(NotYet::UnknownLease(lease))?;
        let proof = block.is_back(lease)?;
        Ok(Entry { at: proof.taken_at, what: Booking::Returned { block: id.clone(), lease, watts: proof.watts } })
    }

    /// What must go at once, because what is measured is over the cap, or would be if AI compute drew what it was given: so it is after
    /// ASICs woke unasked in a gap between two jobs. Without a fresh meter the sum of what was measured counts;
    /// so it does where the meter says so little that it is not believed.
    pub fn shed(&self, now: Timestamp) -> Option<Shed> {
        let measured = self.draws(now);
        let cap = self.rules.cap;
        // Beside AI compute by a comparison, which no lag deceives; what AI compute was given may be drawn at any time.
        let given: Watts = self.blocks.values().map(Block::allowed).sum();
        let with_all = self.meter.without_ai().map_or(measured, |rest| rest + given).max(measured);
        let watts = with_all.saturating_sub(cap.saturating_sub(self.rules.reserve));
        (with_all > cap).then_some(Shed { measured, undrawn: with_all.saturating_sub(measured), cap, watts })
    }

    /// What the site draws: what its meter says, or the sum of what was measured where that is not fresh or not believed.
    pub fn draws(&self, now: Timestamp) -> Watts {
        let told = self.sum_of_readings(now);
        match self.meter_says(now) {
            Some(watts)
                if self.rules.meter.is_some_and(|meter| !is_apart(told, watts, watts, meter.deviation.get())) =>
            {
                watts
            }
            Some(watts) => watts.max(told),
            None => told,
        }
    }

    /// What the site's meter says, if that is fresh.
    pub fn meter_says(&self, now: Timestamp) -> Option<Watts> {
        self.fresh_meter(now).ok().map(|(reading, _)| reading.watts)
    }

    /// The sum of what was measured and is fresh, base load included.
    pub fn sum_of_readings(&self, now: Timestamp) -> Watts {
        self.measured(now).told
    }

    // ---- more: gated ----

    /// Which of these devices may be woken, in this order: as many as fit. A wake that is repeated is asked for again.
    pub fn wake(&self, now: Timestamp, ids: &[DeviceId]) -> Wakes {
        let mut wakes = Wakes { entries: Vec::new(), refused: None };
        let mut balance = match self.may_increase(now) {
            Ok(balance) => balance,
            Err(refused) => return Wakes { refused: Some(refused), ..wakes },
        };
        let settled = self.settled();
        for id in ids {
            let Some(device) = self.devices.get(id) else {
                wakes.refused = Some(Refusal::UnknownDevice(id.clone()));
                break;
            };
            let watts = device.bound();
            let wanted = watts.saturating_sub(device.counts(now, &self.rules, settled));
            if !balance.fits(wanted) {
                wakes.refused = Some(Refusal::NoRoom { wanted, balance });
                break;
            }
            balance.asic = balance.asic + wanted;
            let what = Booking::Hold { device: id.clone(), watts, highest: device.highest };
            wakes.entries.push(Entry { at: now, what });
        }
        wakes
    }

    /// Whether a block may have so many watts more, at the site meter.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn grant(&self, now: Timestamp, id: &BlockId, watts: Watts, expires: Timestamp) -> Result<Entry, Refusal> {
        check_term(now, expires)?;
        let block = self.blocks.get(id).ok_or_else(|| Refusal::UnknownBlock(id.clone()))?;
        let rules = block.rules.ok_or_else(|| Refusal::UnknownBlock(id.clone()))?;
        let with_it = block.granted_without(None) + watts;
        if with_it > rules.capacity {
            return Err(Refusal::Capacity { block: id.clone(), wanted: with_it, capacity: rules.capacity });
        }
        if block.leases.len() >= MAX_LEASES {
            return Err(Refusal::TooManyLeases { block: id.clone(), leases: block.leases.len() });
        }
        let balance = self.may_increase(now)?;
        // What it counts already, as its idle draw does, is no increase.
        let wanted = with_it.saturating_sub(block.counts(now, &self.rules));
        if !balance.fits(wanted) {
            return Err(Refusal::NoRoom { wanted, balance });
        }
        let lease = LeaseId::new(self.epoch, self.given.saturating_add(1));
        Ok(Entry { at: now, what: Booking::Lease { block: id.clone(), lease, watts, expires } })
    }

    /// Prolongs a lease: the same watts are no grant and need no entry, as expiry frees nothing.
    ///
    /// # Errors
    ///
    /// If it is asked back, or not ours to give.
    pub fn renew(&mut self, now: Timestamp, id: &BlockId, lease: LeaseId, expires: Timestamp) -> Result<(), Refusal> {
        check_term(now, expires)?;
        self.is_in_office()?;
        let live = self.lease_mut(id, lease).filter(|lease| lease.revoked.is_none()).ok_or(Refusal::NotLive(lease))?;
        live.expires = live.expires.max(expires);
        Ok(())
    }

    /// Whether power may be given out at all, and what counts then.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn may_increase(&self, now: Timestamp) -> Result<Balance, Refusal> {
        self.is_in_office()?;
        if let Some(rules) = self.rules.meter {
            let (reading, measured) = self.fresh_meter(now)?;
            let most = measured.told + measured.silent;
            let allowed = rules.deviation;
            for (high, low, measured) in [(reading.watts, most, most), (measured.told, reading.watts, measured.told)] {
                if is_apart(high, low, reading.watts, allowed.get()) {
                    return Err(Refusal::Deviation { meter: reading.watts, measured, allowed });
                }
            }
            if self.settled().is_none() {
                return Err(Refusal::MeterNew);
            }
        }
        for (id, block) in &self.blocks {
            if let Some(drawn) = block.overdraws(now, &self.rules) {
                return Err(Refusal::Overdrawn { block: id.clone(), drawn, allowed: block.allowed() });
            }
        }
        Ok(self.balance(now))
    }

    fn is_in_office(&self) -> Result<(), Refusal> {
        self.seen.map_or(Ok(()), |seen| Err(Refusal::Superseded { ours: self.epoch, seen }))
    }

    fn fresh_meter(&self, now: Timestamp) -> Result<(Reading, Measured), Refusal> {
        let max_age = self.rules.meter.map_or(SignedDuration::ZERO, |meter| meter.max_age);
        let Some((reading, measured)) = self.meter.newest else {
            return Err(Refusal::MeterLost { age: None, max_age });
        };
        let age = now.duration_since(reading.taken_at);
        if age > max_age { Err(Refusal::MeterLost { age: Some(age), max_age }) } else { Ok((reading, measured)) }
    }

    fn settled(&self) -> Option<Timestamp> {
        self.meter.settled()
    }

    // ---- what is booked ----

    /// What counts against the cap now.
    pub fn balance(&self, now: Timestamp) -> Balance {
        let settled = self.settled();
        Balance {
            asic: self.devices.values().map(|device| device.counts(now, &self.rules, settled)).sum(),
            ai: self.blocks.values().map(|block| block.counts(now, &self.rules)).sum(),
            base: self.rules.base_load,
            unexplained: self.meter.unexplained(),
            reserve: self.rules.reserve,
            cap: self.rules.cap,
        }
    }

    /// What the meter sees and nobody tells.
    pub fn unexplained(&self) -> Watts {
        self.meter.unexplained()
    }

    /// A wake is sent now that was booked before: it may take effect for as long as from now on.
    pub fn sends_wake(&mut self, now: Timestamp, id: &DeviceId) {
        if let Some(device) = self.devices.get_mut(id) {
            device.booked = Booked::Held { since: Some(now) };
        }
    }

    /// What a device counts against the cap now; nothing if it is not known.
    pub fn counts(&self, now: Timestamp, id: &DeviceId) -> Watts {
        let settled = self.settled();
        self.devices.get(id).map_or(Watts::ZERO, |device| device.counts(now, &self.rules, settled))
    }

    /// The most that a device may draw, at the site meter.
    pub fn bound(&self, id: &DeviceId) -> Watts {
        self.devices.get(id).map_or(Watts::ZERO, Device::bound)
    }

    /// What a block draws by a fresh reading, at the site meter.
    pub fn block_draws(&self, now: Timestamp, id: &BlockId) -> Option<Watts> {
        self.blocks.get(id)?.drawn(now, &self.rules)
    }

    /// What a block counts against the cap now; nothing if it is not known.
    pub fn block_counts(&self, now: Timestamp, id: &BlockId) -> Watts {
        self.blocks.get(id).map_or(Watts::ZERO, |block| block.counts(now, &self.rules))
    }

    /// What a block counts against the cap beyond its idle draw: what comes back when it gives back all.
    pub fn block_sheds(&self, now: Timestamp, id: &BlockId) -> Watts {
        let idle = |block: &Block| block.rules.map_or(Watts::ZERO, |rules| rules.idle);
        self.blocks.get(id).map_or(Watts::ZERO, |block| block.counts(now, &self.rules).saturating_sub(idle(block)))
    }

    /// What a block draws, if that is more than it may, and what it may.
    pub fn overdraws(&self, now: Timestamp, id: &BlockId) -> Option<(Watts, Watts)> {
        let block = self.blocks.get(id)?;
        Some((block.overdraws(now, &self.rules)?, block.allowed()))
    }

    /// The highest epoch that was seen of another controller, if it is over ours.
    pub fn superseded(&self) -> Option<Epoch> {
        self.seen
    }

    /// Whether a device is booked as asleep.
    pub fn is_freed(&self, id: &DeviceId) -> bool {
        self.devices.get(id).is_some_and(|device| matches!(device.booked, Booked::Freed { .. }))
    }

    /// Leases that are not returned.
    pub fn leases(&self) -> impl Iterator<Item = (&BlockId, LeaseId, &Lease)> {
        self.blocks.iter().flat_map(|(id, block)| block.leases.iter().map(move |(lease, booked)| (id, *lease, booked)))
    }

    /// Those of a block, the first given first.
    pub fn leases_of(&self, id: &BlockId) -> impl Iterator<Item = (LeaseId, &Lease)> {
        self.blocks.get(id).into_iter().flat_map(|block| block.leases.iter().map(|(id, lease)| (*id, lease)))
    }

    fn lease_mut(&mut self, id: &BlockId, lease: LeaseId) -> Option<&mut Lease> {
        self.blocks.get_mut(id)?.leases.get_mut(&lease)
    }
}

/// Of those that are expected to be read.
fn all_readings<'a>(
    devices: &'a mut HashMap<DeviceId, Device>,
    blocks: &'a mut BTreeMap<BlockId, Block>,
) -> impl Iterator<Item = &'a mut Readings> {
    let devices = devices.values_mut().filter(|device| device.rules.is_read).map(|device| &mut device.readings);
    let blocks = blocks.values_mut().filter(|block| block.rules.is_some()).map(|block| &mut block.readings);
    devices.chain(blocks)
}

fn check_term(now: Timestamp, expires: Timestamp) -> Result<(), Refusal> {
    let term = expires.duration_since(now);
    if (MIN_TERM..=MAX_TERM).contains(&term) { Ok(()) } else { Err(Refusal::Term(term)) }
}

/// Whether `high` is over `low` by more than a share of the meter's reading.
fn is_apart(high: Watts, low: Watts, meter: Watts, share: f64) -> bool {
    high.saturating_sub(low).get() > share * meter.get()
}
