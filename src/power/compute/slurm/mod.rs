//! AI compute behind Slurm: a lease resumes as many nodes as its watts carry, a node whose power is not leased is drained.
//!
//! Speaks to Slurm with `scontrol` alone: `show node` says how the nodes are, `update` drains, resumes and switches them. What of Slurm's words
//! means what is `node.rs`, which node gets power is `fit.rs`; knows no ASIC and no ledger.
//!
//! | it is | then |
//! |---|---|
//! | granted a lease | nodes are resumed in the config's order while all that may be drawn fits all leases; `taken`, even if that is none yet |
//! | told again | nothing, as nothing differs |
//! | asked to give back | nodes are drained until the rest fits the other leases; `releasing` while any of them works, `released` when none does |
//! | asked for its status | the sum of what each node counts; once it was told anything in this life, what differs is put right |
//! | left without a renewal | a lease that has expired carries no node: running jobs finish, none is started |
//!
//! Drained by us is a node whose reason begins with [`REASON`]: that outlives a restart, as Slurm keeps it. A node that a person has drained or
//! taken down is never touched and counts by its state. In the first moments of a life ([`SETTLE`]) nothing is drained unless it is urgent: the leases
//! of an earlier one are told one by one.
//!
//! What nodes draw is what their states say, at the config's watts; with a meter, what that says of all of them together, and nothing else: while it
//! says nothing, there is no status, and the block counts as drawing all it can. That a lease is released is Slurm's word in either case.
//!
//! Nothing is switched off by power saving before it is drained and empty. Slurm ends the drain of a node that it powers down, and would wake it for
//! the next job (seen with 22.05): so it is drained again. Jobs are ended only where the config has `force_after`, so long after
//! a deadline. Slurm keeps no epoch: a grant of a lower one than this process has seen is refused, and beyond that only the ledger's lock fences.
//!
//! Limits: [`MAX_OUTPUT`], [`MAX_LEASES`], one time for all that one word takes. What Slurm did not do is seen in what it says afterwards, and told
//! again with the next word.

mod fit;
mod node;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

pub use self::node::REASON;
use self::{
    fit::{Limits, Order},
    node::Seen,
};
use super::Compute;
use crate::{
    command::{self, CommandError},
    config::{self, SlurmNode},
    power::{
        Target,
        actuator::{Call, Drawn, DriverError},
        ledger::{Epoch, LeaseId, Reading},
        meter::Ask,
        site::{LeaseAnswer, LeaseMessage, LeaseOrder, Status},
    },
    profit::{Ratio, Watts},
};

/// Bytes that are read of one answer: a line of 1.5 KB for each of the 10 000 nodes of a large cluster, of which the block's may be a few.
pub const MAX_OUTPUT: usize = 16 * 1024 * 1024;

/// Leases, and revocations, that are remembered; the ledger gives one block half as many.
const MAX_LEASES: usize = 128;

/// How long after the first word of a life nothing is drained, unless that is urgent.
pub const SETTLE: Duration = Duration::from_secs(30);

/// Nodes of one `scontrol update`: the system takes 128 KiB as one argument.
const MAX_NAMED: usize = 1_000;

/// Bytes of what went wrong that a status shows.
const MAX_TROUBLE: usize = 40;

/// One block's nodes.
pub struct Slurm {
    nodes: Vec<SlurmNode>,
    scontrol: Vec<String>,
    timeout: Duration,
    power_saving: bool,
    force_after: Option<SignedDuration>,
    settle: Duration,
    pue: f64,
    meter: Option<Arc<dyn Ask>>,
    told: Mutex<Told>,
}

/// What was said in this life. One word at a time is carried out.
#[derive(Default)]
struct Told {
    /// The highest that was seen.
    epoch: u32,
    /// When anything was said first.
    since: Option<Instant>,
    /// What may be drawn, of IT, and until when.
    leases: BTreeMap<LeaseId, (Watts, Timestamp)>,
    /// What is asked back, of IT, and until when that should be back.
    back: BTreeMap<LeaseId, (Watts, Timestamp)>,
    /// What Slurm refused last.
    trouble: Option<String>,
}

impl Told {
    /// What may be drawn, of IT.
    fn budget(&self, now: Timestamp) -> Watts {
        self.leases.values().filter(|(_, expires)| *expires > now).map(|(watts, _)| *watts).sum()
    }

    /// What no job is ended for, if any is: all that was given and is not so late; `None` if nothing is late.
    fn spared(&self, now: Timestamp, force_after: SignedDuration) -> Option<Watts> {
        let is_late = |deadline: Timestamp| deadline.checked_add(force_after).is_ok_and(|late| late <= now);
        let (late, early): (Vec<_>, Vec<_>) = self.back.values().partition(|(_, deadline)| is_late(*deadline));
        let given = self.leases.values().chain(early).map(|(watts, _)| *watts).sum();
        (!late.is_empty()).then_some(given)
    }
}

impl Slurm {
    /// `pue`: watts at the site meter for each of the nodes'.
    pub fn new(slurm: &config::Slurm, pue: Ratio) -> Self {
        Self {
            nodes: slurm.nodes.clone(),
            scontrol: slurm.scontrol.clone(),
            timeout: slurm.timeout,
            power_saving: slurm.power_saving,
            force_after: slurm.force_after.map(|after| SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX)),
            settle: SETTLE,
            pue: pue.get().max(1.0),
            meter: None,
            told: Mutex::default(),
        }
    }

    /// With another time than [`SETTLE`].
    #[must_use]
    pub fn settling_for(self, settle: Duration) -> Self {
        Self { settle, ..self }
    }

    /// With a meter of all nodes' IT watts.
    #[must_use]
    pub fn measured_by(self, meter: Arc<dyn Ask>) -> Self {
        Self { meter: Some(meter), ..self }
    }

    async fn heard(&self, message: LeaseMessage) -> Result<LeaseAnswer, DriverError> {
        let mut told = self.told.lock().await;
        let now = Timestamp::now();
        told.since.get_or_insert_with(Instant::now);
        let is_old = message.epoch.0 < told.epoch;
        told.epoch = told.epoch.max(message.epoch.0);
        match message.what {
            LeaseOrder::Grant { .. } if is_old || told.back.contains_key(&message.lease) => Ok(LeaseAnswer::Refused),
            LeaseOrder::Grant { watts, expires } => {
                if told.leases.len() >= MAX_LEASES && !told.leases.contains_key(&message.lease) {
                    return Ok(LeaseAnswer::Refused);
                }
                told.leases.insert(message.lease, (self.of_it(watts), expires));
                self.keep(&mut told, false).await?.is_done.map(|()| LeaseAnswer::Taken)
            }
            LeaseOrder::Revoke { watts, deadline } => {
                if message.lease == LeaseId::EVERYTHING {
                    told.leases.clear();
                }
                told.leases.remove(&message.lease);
                if told.back.len() >= MAX_LEASES && !told.back.contains_key(&message.lease) {
                    // The ones that were asked back first: the ledger has long forgotten them.
                    told.back.pop_first();
                }
                let back = told.back.entry(message.lease).or_insert((self.of_it(watts), deadline));
                back.1 = back.1.min(deadline);
                let kept = self.keep(&mut told, deadline <= now).await?;
                // What is drained and empty is given back, whatever else Slurm refused.
                if kept.is_quiet {
                    told.back.remove(&message.lease);
                    return Ok(LeaseAnswer::Released);
                }
                kept.is_done.map(|()| LeaseAnswer::Releasing)
            }
        }
    }

    async fn asked(&self, asked: Timestamp) -> Result<Status, DriverError> {
        let mut told = self.told.lock().await;
        // A site that lends nothing, or only watches, has said nothing: then Slurm is only read.
        let seen =
            if told.since.is_none() { self.look(self.until()).await? } else { self.keep(&mut told, false).await?.seen };
        let draws = self.nodes.iter().zip(&seen).map(|(node, seen)| seen.counts(node)).sum();
        let (epoch, state) = (Epoch(told.epoch), fit::in_words(&seen, told.trouble.as_deref()));
        drop(told);
        let Some(meter) = &self.meter else {
            return Ok(Status { epoch, drawn: Reading { watts: draws, taken_at: asked }, state: state.into() });
        };
        // Not later than it is measured.
        let taken_at = Timestamp::now();
        let all = Target { name: "all nodes".into(), address: None, worker: None };
        let Drawn { watts, .. } = meter.ask(&all).await?;
        Ok(Status { epoch, drawn: Reading { watts, taken_at }, state: state.into() })
    }

    /// Puts right what differs from what the leases allow.
    async fn keep(&self, told: &mut Told, is_urgent: bool) -> Result<Kept, DriverError> {
        let (until, now) = (self.until(), Timestamp::now());
        let is_settled = is_urgent || told.since.is_some_and(|since| since.elapsed() >= self.settle);
        let limits = Limits {
            budget: told.budget(now),
            power_saving: self.power_saving,
            may_drain: is_settled,
            spared: self.force_after.and_then(|after| told.spared(now, after)),
        };
        let mut seen = self.look(until).await?;
        let orders = fit::orders(&self.nodes, &seen, &limits);
        let (mut is_done, has_orders) = (Ok(()), !orders.is_empty());
        for (order, nodes) in by_order(orders) {
            // One that is refused keeps no other back.
            for named in nodes.chunks(MAX_NAMED) {
                let names: Vec<&str> = named.iter().map(|index| &*self.nodes[*index].name).collect();
                let [state, reason] = order.words();
                let mut words =
                    vec!["update".to_owned(), format!("nodename={}", names.join(",")), format!("state={state}")];
                words.extend((!reason.is_empty()).then(|| format!("reason={reason}")));
                if let Err(error) = self.run(&words, until).await {
                    is_done = Err(error);
                }
            }
        }
        if has_orders {
            seen = self.look(until).await?;
        }
        told.trouble =
            is_done.as_ref().err().map(|error: &DriverError| error.to_string().chars().take(MAX_TROUBLE).collect());
        // What was refused may be as it should be all the same: somebody else was faster.
        if fit::orders(&self.nodes, &seen, &limits).iter().all(|(order, _)| !order.is_needed()) {
            is_done = Ok(());
        }
        let is_quiet = fit::is_quiet(&self.nodes, &seen, limits.budget);
        Ok(Kept { seen, is_quiet, is_done })
    }

    /// How the nodes are, by their index.
    async fn look(&self, until: Instant) -> Result<Vec<Seen>, DriverError> {
        let said = self.run(&["show", "node", "-o"].map(str::to_owned), until).await?;
        node::read(&self.nodes, &String::from_utf8_lossy(&said))
    }

    fn of_it(&self, watts: Watts) -> Watts {
        Watts::clamped(watts.get() / self.pue)
    }

    fn until(&self) -> Instant {
        Instant::now() + self.timeout
    }

    async fn run(&self, words: &[String], until: Instant) -> Result<Vec<u8>, DriverError> {
        let command: Vec<String> = self.scontrol.iter().chain(words).cloned().collect();
        let within = until.saturating_duration_since(Instant::now());
        command::run(&command, MAX_OUTPUT, within).await.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: CommandError) -> DriverError {
        match error {
            CommandError::Killed { .. } => DriverError::Timeout(self.timeout),
            CommandError::Nothing | CommandError::NotStarted { .. } => DriverError::Unreachable(error.to_string()),
            CommandError::TooMuch { .. } => DriverError::Garbled(error.to_string()),
            // "slurm_load_node error: Unable to contact slurm controller (connect failure)"
            CommandError::Ended { ref how, .. } if how.contains("Unable to contact") => {
                DriverError::Unreachable(error.to_string())
            }
            CommandError::Ended { .. } => DriverError::Refused(error.to_string()),
        }
    }
}

impl Compute for Slurm {
    fn tell(&self, message: LeaseMessage) -> Call<'_, LeaseAnswer> {
        Box::pin(self.heard(message))
    }

    fn status(&self) -> Call<'_, Status> {
        Box::pin(self.asked(Timestamp::now()))
    }

    fn certificate_ends(&self) -> Option<Timestamp> {
        self.meter.as_ref()?.certificate_ends()
    }
}

/// What came of putting things right.
struct Kept {
    /// By the index of the node, after all of it.
    seen: Vec<Seen>,
    /// Whether none works that has no lease.
    is_quiet: bool,
    /// Whether Slurm did what it was told.
    is_done: Result<(), DriverError>,
}

/// Nodes of each order; what takes power away goes first.
fn by_order(orders: Vec<(Order, usize)>) -> BTreeMap<Order, Vec<usize>> {
    let mut all = BTreeMap::<Order, Vec<usize>>::new();
    for (order, index) in orders {
        all.entry(order).or_default().push(index);
    }
    all
}
