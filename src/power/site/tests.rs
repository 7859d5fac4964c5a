//! The machine against a small site that knows its own truth, in virtual time: two groups, a block or two, a meter, a disk.

mod crashes;
mod forget;
mod held;
mod large;
mod late;
mod room;
mod scenes;

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::*;
use crate::{
    power::{
        device::{Patience, Sample, Shares, Spec},
        group::{Command, Order, Phase, Terms},
        ledger::{BlockRules, DeviceRules, MeterRules, Reading, Rules},
    },
    profit::{JoulesPerTerahash, Ratio},
};

const NAMEPLATE: f64 = 3_000.0;
/// 1.1 × nameplate.
const BOUND: f64 = 3_300.0;
const MINING: f64 = 3_200.0;
const SLEEPING: f64 = 20.0;
const BASE: f64 = 1_000.0;
const IDLE: f64 = 500.0;
const CAPACITY: f64 = 40_000.0;
/// Seconds between two readings of anything.
const EVERY: i64 = 2;

fn watts(value: f64) -> Watts {
    Watts::new(value).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn order(goal: Goal) -> Order {
    Order { goal, urgent: false, why: "the test says so".into() }
}

fn group(name: &str) -> Option<GroupTerms> {
    let terms = Terms {
        ramp_down: watts(1e6),
        ramp_up: watts(1e6),
        canary: 1,
        floor: Watts::ZERO,
        min_mining: Duration::ZERO,
        min_asleep: Duration::ZERO,
        patience: Patience {
            tries: 2,
            backoff: Duration::from_secs(5),
            fresh: Duration::from_secs(20),
            quiet: Duration::from_secs(10),
        },
        quiet_limit: Duration::from_secs(30),
        probe: Duration::from_secs(10),
        ask_again: Duration::from_secs(5),
        work_wait: Duration::from_secs(5),
        may_fail: Ratio::clamped(0.1),
        fault_retry: Duration::from_secs(600),
    };
    Some(GroupTerms { name: name.into(), terms, survives_power_cycle: true })
}

fn block(name: &str, sheds_within: Option<u64>) -> Option<BlockTerms> {
    let ratio = |value| Ratio::new(value).unwrap();
    Some(BlockTerms {
        id: name.into(),
        rules: BlockRules {
            capacity: watts(CAPACITY),
            idle: watts(IDLE),
            overhead: Ratio::ONE,
            tolerance: ratio(0.02),
        },
        step: Watts::ZERO,
        sheds_within: sheds_within.map(Duration::from_secs),
        starts_within: Duration::from_secs(60),
        returns_within: Duration::from_secs(60),
        notice: Duration::from_secs(30),
    })
}

/// Two groups, a block that sheds fast, and a cap.
fn terms(cap: f64) -> SiteTerms {
    let seconds = SignedDuration::from_secs;
    SiteTerms {
        rules: Rules {
            cap: watts(cap),
            base_load: watts(BASE),
            reserve: watts(500.0),
            drift: watts(30.0),
            max_age: seconds(20),
            command_lifetime: seconds(10),
            proofs: 2,
            meter: Some(MeterRules { max_age: seconds(10), deviation: Ratio::new(0.1).unwrap() }),
        },
        groups: vec![group("hall"), group("barn")],
        blocks: vec![block("gpus", Some(20))],
        lease_term: seconds(60),
    }
}

/// The second group has the worse J/TH.
fn joining(group: usize, device: usize) -> Joining {
    Joining {
        spec: Spec {
            name: format!("g{group}-{device}").into(),
            can_sleep: true,
            efficiency: JoulesPerTerahash::new(15.0 + 10.0 * group as f64),
            most: watts(BOUND),
            sleep_max: watts(50.0),
            sleep_time: Duration::from_secs(10),
            wake_time: Duration::from_secs(60),
        },
        rules: DeviceRules {
            nameplate: watts(NAMEPLATE),
            configured_max: None,
            sleep_max: watts(50.0),
            overhead: Ratio::ONE,
            is_read: true,
        },
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Miner {
    sleeps: bool,
    /// Says OK and stays awake.
    disobeys: bool,
    /// Nobody reads it any more, and nobody is heard by it.
    is_silent: bool,
    /// It is not there.
    is_gone: bool,
    /// Says OK and stays asleep.
    is_dead: bool,
}

/// What AI compute really does.
#[derive(Debug, Clone, Copy)]
struct Compute {
    /// It takes what it is given.
    takes: bool,
    /// It draws what it took.
    works: bool,
    /// It gives back what it is asked for.
    returns: bool,
    /// It draws so much more.
    more: f64,
    is_heard: bool,
}

const GOOD: Compute = Compute { takes: true, works: true, returns: true, more: 0.0, is_heard: true };

/// The site around the machine.
struct Hall {
    site: Site,
    second: i64,
    miners: Vec<Vec<Miner>>,
    compute: Vec<Compute>,
    /// What each block took.
    leases: Vec<BTreeMap<LeaseId, f64>>,
    epoch: u32,
    /// The highest that AI compute has seen.
    seen: u32,
    /// On disk.
    entries: Vec<Entry>,
    records: Vec<Option<Record>>,
    has_meter: bool,
    wanted: Option<(Vec<Goal>, Vec<Option<f64>>)>,
    story: Vec<String>,
    /// Dies before this output is done.
    dies_at: Option<usize>,
    outputs: usize,
    /// The most that was drawn.
    peak: f64,
    /// What is drawn beside machines and AI compute.
    base: f64,
}

impl Hall {
    fn new(terms: SiteTerms, devices: usize) -> Self {
        Self::with(terms, devices, &[], vec![None, None])
    }

    fn with(terms: SiteTerms, devices: usize, entries: &[Entry], records: Vec<Option<Record>>) -> Self {
        let joining = (0..2).map(|group| (0..devices).map(|device| joining(group, device)).collect()).collect();
        let blocks = terms.blocks.len();
        let site = Site::new(terms, Epoch(1), entries, joining, records, at(0));
        let mut hall = Self {
            site,
            second: 0,
            miners: vec![vec![Miner::default(); devices]; 2],
            compute: vec![GOOD; blocks],
            leases: vec![BTreeMap::new(); blocks],
            epoch: 1,
            seen: 1,
            entries: entries.to_vec(),
            records: vec![None, None],
            has_meter: true,
            wanted: None,
            story: Vec::new(),
            dies_at: None,
            outputs: 0,
            peak: 0.0,
            base: BASE,
        };
        hall.does();
        hall
    }

    /// What is wanted from now on.
    fn wants(&mut self, groups: [Goal; 2], blocks: &[Option<f64>]) {
        self.wanted = Some((groups.to_vec(), blocks.to_vec()));
        self.says_what_is_wanted();
    }

    fn says_what_is_wanted(&mut self) {
        if let Some((groups, blocks)) = self.wanted.clone() {
            let groups = groups.into_iter().map(|goal| Some((order(goal), None))).collect();
            let blocks = blocks.into_iter().map(|block| block.map(watts)).collect();
            self.hears(Input::Wanted { groups, blocks });
        }
    }

    fn hears(&mut self, input: Input) {
        self.site.handle(at(self.second), input);
        self.does();
    }

    fn block_draws(&self, block: usize) -> f64 {
        let compute = self.compute[block];
        let taken: f64 = self.leases[block].values().sum();
        compute.more + if compute.works { taken.max(IDLE) } else { IDLE }
    }

    fn draws(&self) -> f64 {
        let there = self.miners.iter().flatten().filter(|miner| !miner.is_gone);
        let asics = there.map(|miner| if miner.sleeps { SLEEPING } else { MINING });
        let ai: f64 = (0..self.compute.len()).map(|block| self.block_draws(block)).sum();
        self.base + asics.sum::<f64>() + ai
    }

    fn passes(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.second += 1;
            let now = at(self.second);
            self.peak = self.peak.max(self.draws());
            if self.second % EVERY == 0 {
                self.is_read(now);
            }
            for _ in 0..100 {
                match self.site.poll_timeout() {
                    Some(due) if due <= now => self.site.handle_timeout(now),
                    _ => break,
                }
                self.does();
            }
        }
    }

    fn is_read(&mut self, now: Timestamp) {
        for group in 0..self.miners.len() {
            for device in 0..self.miners[group].len() {
                let key = DeviceKey { group, device };
                if self.miners[group][device].is_silent {
                    continue;
                }
                let sleeps = self.miners[group][device].sleeps;
                let drawn = watts(if sleeps { SLEEPING } else { MINING });
                self.hears(Input::Sample(key, Sample { at: now, watts: drawn, mode: None }));
                if !sleeps {
                    let shares = Shares { found: 1, submitted: 1, accepted: 1, ..Shares::default() };
                    self.hears(Input::Shares(key, shares));
                }
            }
        }
        self.hears(Input::Counted(now));
        for block in 0..self.compute.len() {
            if self.compute[block].is_heard {
                let drawn = Reading { watts: watts(self.block_draws(block)), taken_at: now };
                self.hears(Input::Status(block, Status { epoch: Epoch(self.seen), drawn, state: "running".into() }));
            }
        }
        if self.has_meter {
            let reading = Reading { watts: watts(self.draws()), taken_at: now };
            self.hears(Input::Meter(reading));
        }
    }

    /// Until something is so; panics with the story when it does not come to that.
    fn until(&mut self, what: &str, limit: i64, is_so: impl Fn(&Self) -> bool) {
        let end = self.second + limit;
        while !is_so(self) {
            assert!(self.second < end, "{what} does not come:\n{}", self.story.join("\n"));
            self.passes(1);
        }
    }

    fn does(&mut self) {
        while let Some(output) = self.site.poll_output() {
            self.outputs += 1;
            if self.dies_at.take_if(|at| *at <= self.outputs).is_some() {
                self.restarts();
                return;
            }
            match output {
                Output::Write { number, writes } => {
                    writes.into_iter().for_each(|write| self.writes(write));
                    self.site.handle(at(self.second), Input::Written(number));
                }
                Output::Command(key, command) => {
                    self.site.handle(at(self.second), Input::Sent(key));
                    self.obeys(key, &command);
                }
                Output::Tell(block, message) => self.is_told(block, message),
                Output::Rouse(group) => self.site.handle(at(self.second), Input::WorkReady(group)),
                Output::Event(event) => self.tells(format!("{:?} {:?}: {}", event.level, event.kind, event.words)),
                Output::Probe(_) | Output::Dormant(_) | Output::Withdraw(_) => {}
            }
        }
    }

    fn writes(&mut self, write: Write) {
        match write {
            Write::Entry(entry) => {
                let what = match &entry.what {
                    Booking::Hold { device, .. } => format!("writes hold {device}"),
                    Booking::Freed { device, .. } => format!("writes freed {device}"),
                    Booking::Lease { watts, .. } => format!("writes lease {}", watts.in_words()),
                    Booking::Revoke { .. } => "writes revoke".to_owned(),
                    Booking::Returned { .. } => "writes returned".to_owned(),
                };
                self.tells(what);
                self.entries.push(entry);
            }
            Write::Record(group, record) => self.records[group] = Some(record),
            Write::Receipt(receipt) => self.tells(format!("writes receipt {:?} {:?}", receipt.kind, receipt.outcome)),
        }
    }

    fn obeys(&mut self, key: DeviceKey, command: &Command) {
        let sleeps = *command == Command::Sleep;
        self.tells(format!("commands g{}-{} {}", key.group, key.device, if sleeps { "sleep" } else { "wake" }));
        let miner = &mut self.miners[key.group][key.device];
        if !(sleeps && miner.disobeys || !sleeps && miner.is_dead || miner.is_silent) {
            miner.sleeps = sleeps;
        }
    }

    fn is_told(&mut self, block: usize, message: LeaseMessage) {
        let lease = message.lease;
        let compute = self.compute[block];
        let answer = match message.what {
            LeaseOrder::Grant { watts, .. } if compute.takes => {
                self.tells(format!("tells grant {}", watts.in_words()));
                self.leases[block].insert(lease, watts.get());
                Some(LeaseAnswer::Taken)
            }
            LeaseOrder::Grant { .. } => None,
            LeaseOrder::Revoke { deadline, .. } => {
                self.tells(format!("tells revoke{}", if deadline <= at(self.second) { " now" } else { "" }));
                if compute.returns {
                    self.leases[block].remove(&lease);
                    Some(LeaseAnswer::Released)
                } else {
                    Some(LeaseAnswer::Releasing)
                }
            }
        };
        if let Some(answer) = answer.filter(|_| compute.is_heard) {
            self.site.handle(at(self.second), Input::Answer(block, lease, answer));
        }
    }

    /// The process dies, and another one begins with what is on disk.
    fn restarts(&mut self) {
        self.tells("crash".to_owned());
        self.epoch += 1;
        self.seen = self.seen.max(self.epoch);
        let devices = self.miners[0].len();
        let joining = (0..2).map(|group| (0..devices).map(|device| joining(group, device)).collect()).collect();
        let (terms, epoch) = (self.site.terms().clone(), Epoch(self.epoch));
        self.site = Site::new(terms, epoch, &self.entries, joining, self.records.clone(), at(self.second));
        self.says_what_is_wanted();
    }

    fn tells(&mut self, what: String) {
        self.story.push(format!("{:>4} {what}", self.second));
    }

    fn heard(&self, words: &str) -> usize {
        self.story.iter().filter(|line| line.contains(words)).count()
    }

    /// Where in the story these words are first, and last.
    fn first(&self, words: &str) -> usize {
        self.story
            .iter()
            .position(|line| line.contains(words))
            .unwrap_or_else(|| panic!("{words:?} is not in:\n{}", self.story.join("\n")))
    }

    fn last(&self, words: &str) -> usize {
        self.story
            .iter()
            .rposition(|line| line.contains(words))
            .unwrap_or_else(|| panic!("{words:?} is not in:\n{}", self.story.join("\n")))
    }

    fn phase(&self, group: usize) -> Phase {
        self.site.members[group].phase().unwrap()
    }

    fn granted(&self) -> f64 {
        let view = self.site.view(at(self.second));
        view.blocks.iter().flatten().map(|block| block.granted.get()).sum()
    }

    fn asleep(&self) -> usize {
        self.miners.iter().flatten().filter(|miner| miner.sleeps).count()
    }
}
