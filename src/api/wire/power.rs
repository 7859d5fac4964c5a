//! The power side: the site, its groups, AI blocks and machines; the mode, and orders.
//!
//! Limits: [`MAX_EVENTS`] events and [`MAX_WHY`] bytes of a reason.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    config::Mode,
    power::{
        control::{Control, PowerSnapshot},
        device::{Goal, StageKind},
        group::Phase,
        receipt::Receipt,
        site::{BlockView, DeviceView, EventKind, GroupView, LeaseView, Level},
    },
    profit::{AiDecision, Watts, task::DecisionView},
};

/// The last events that are shown.
pub const MAX_EVENTS: usize = 50;

/// Bytes of the reason that an operator gives: a sentence or two, which stand in every line about the group.
pub const MAX_WHY: usize = 256;

/// How far decisions go, by its word in the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum ModeWord {
    /// Everything is shown, nothing is commanded.
    #[value(alias = "dry-run")]
    DryRun,
    /// What an operator orders is carried out; prices move nothing.
    Advise,
    /// Prices decide, and what they decide is carried out.
    Active,
}

impl ModeWord {
    /// The word.
    pub fn label(self) -> &'static str {
        Mode::from(self).label()
    }
}

impl From<Mode> for ModeWord {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::DryRun => Self::DryRun,
            Mode::Advise => Self::Advise,
            Mode::Active => Self::Active,
        }
    }
}

impl From<ModeWord> for Mode {
    fn from(word: ModeWord) -> Self {
        match word {
            ModeWord::DryRun => Self::DryRun,
            ModeWord::Advise => Self::Advise,
            ModeWord::Active => Self::Active,
        }
    }
}

/// The body of `PUT /api/v1/mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeBody {
    /// From now on.
    pub mode: ModeWord,
}

/// Its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModeSet {
    /// From now on.
    pub mode: ModeWord,
    /// Until now.
    pub before: ModeWord,
}

/// The body of `POST /api/v1/groups/{name}/drain`, and of the other orders. None is as an empty one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderBody {
    /// Told to people, wherever the group is shown. A hold and a lockout must have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How long a drain or a wake holds: `2h`, `1h 30m`.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<String>,
    /// The same as a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Only say what it would do.
    #[serde(default)]
    pub dry_run: bool,
}

/// An operator's word for what can't be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmWord {
    /// It is gone for good.
    Gone,
}

/// The body of `POST /api/v1/groups/{name}/devices/{device}/forget`, and of `POST /api/v1/groups/{name}/devices/forget`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForgetBody {
    /// All machines of the group that were not seen for so long: `7d`. Of all, and of one alone not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than: Option<String>,
    /// Of one alone: `gone`, if it was put to sleep, the config does not have it any more, and it is gone for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<ConfirmWord>,
    /// Only say which.
    #[serde(default)]
    pub dry_run: bool,
}

/// `GET /api/v1/power`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PowerPage {
    /// When that was.
    pub at: Timestamp,
    /// How far decisions go.
    pub mode: ModeWord,
    /// This proxy's term of office.
    pub epoch: u32,
    /// The site.
    pub site: SiteRow,
    /// Groups that can be moved, in the config's order.
    pub groups: Vec<GroupRow>,
    /// Groups that can't: they have no actuator.
    pub unmanaged_groups: Vec<String>,
    /// AI blocks that are told of leases, in the config's order.
    pub blocks: Vec<BlockRow>,
    /// AI blocks that nobody tells: they get nothing.
    pub unmanaged_blocks: Vec<String>,
    /// Machines that sleep and power that is lent which the config can't move any more, in sentences. Not from older proxies.
    #[serde(default)]
    pub orphans: Vec<String>,
    /// What was logged last, the newest first.
    pub events: Vec<EventRow>,
}

/// The site at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SiteRow {
    /// What it may draw; `null`: nothing is capped.
    pub cap_kw: Option<f64>,
    /// What counts against the cap, bounds and reserve included.
    pub counts_kw: f64,
    /// What is left under the cap; `null` without one.
    pub room_kw: Option<f64>,
    /// Of what counts: the ASICs.
    pub asic_kw: f64,
    /// Of what counts: AI compute.
    pub ai_kw: f64,
    /// Of what counts: what is always there.
    pub base_kw: f64,
    /// Of what counts: what the meter sees and nobody tells.
    pub unexplained_kw: f64,
    /// Of what counts: what stays free.
    pub reserve_kw: f64,
    /// The sum of what was measured.
    pub measured_kw: f64,
    /// What the site's meter says; `null` if that is not fresh, or there is none.
    pub meter_kw: Option<f64>,
    /// Readings over the cap since the start.
    pub over_cap_readings: u64,
    /// The most by which one was.
    pub over_cap_most_kw: Option<f64>,
}

/// A group at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupRow {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// What it is to do.
    pub goal: Goal,
    /// At once.
    pub urgent: bool,
    /// Why, as it was when that was ordered.
    pub why: String,
    /// What is decided now, in words, whether it is carried out or not; `null` before anything is. From older proxies too.
    #[serde(default)]
    pub decision: Option<String>,
    /// What an operator ordered and has not ended.
    pub operator: Option<Control>,
    /// What it waits for.
    pub waits_for: Option<String>,
    /// Its machines.
    pub devices: usize,
    /// Those with a fresh measurement.
    pub measured: usize,
    /// Those that sleep although nobody here put them to sleep: an order to wake wakes them. Not from older proxies.
    #[serde(default)]
    pub idle: usize,
    /// Of those that are to sleep.
    pub sleeping: Stages,
    /// Of those that were woken and do not mine yet.
    pub waking: Stages,
    /// What all of them draw at their own supplies; bounds where nothing was measured.
    pub draws_kw: f64,
}

/// How many machines are how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Stages {
    /// To be told.
    pub pending: usize,
    /// Told, not proven.
    pub dispatched: usize,
    /// Proven.
    pub confirmed: usize,
    /// Proven once and not so any more.
    pub drifted: usize,
    /// Not seen.
    pub unavailable: usize,
    /// Told often enough.
    pub failed: usize,
}

/// An AI block at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BlockRow {
    /// Its name.
    pub name: String,
    /// What it should have.
    pub wanted_kw: f64,
    /// What it has, asked back or not.
    pub granted_kw: f64,
    /// What of that is asked back.
    pub revoked_kw: f64,
    /// What it draws; `null` if that is not fresh.
    pub drawn_kw: Option<f64>,
    /// In its own words.
    pub state: Option<String>,
    /// Why it has no more.
    pub refused: Option<String>,
    /// What is decided now, in words, whether it is carried out or not; `null` before anything is. From older proxies too.
    #[serde(default)]
    pub decision: Option<String>,
    /// Its leases.
    pub leases: Vec<LeaseRow>,
}

/// A lease at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LeaseRow {
    /// As in the log and in messages to AI compute: epoch and number, `7-1`.
    pub id: String,
    /// How much.
    pub kw: f64,
    /// When it ends if it is not renewed.
    pub expires: Timestamp,
    /// Since when it is asked back.
    pub revoked: Option<Timestamp>,
}

/// Something that was logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventRow {
    /// When.
    pub at: Timestamp,
    /// How loudly.
    pub level: Level,
    /// What kind.
    pub kind: EventKind,
    /// About which group.
    pub group: Option<String>,
    /// The sentence.
    pub words: String,
}

/// `GET /api/v1/groups/{name}/devices`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DevicePage {
    /// The group.
    pub group: String,
    /// All of its machines.
    pub total: usize,
    /// How many come before these.
    pub offset: usize,
    /// In the order in which they became known.
    pub devices: Vec<DeviceRow>,
}

/// A machine at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceRow {
    /// Its name.
    pub name: String,
    /// What it is to do.
    pub goal: Goal,
    /// How far it is.
    pub stage: StageKind,
    /// What it drew last, in watts at its own supply.
    pub watts: Option<f64>,
    /// When that was.
    pub measured_at: Option<Timestamp>,
    /// What the ledger counts for it, in watts at the site meter.
    pub counts_watts: f64,
    /// The mode it will be woken in.
    pub mode: Option<String>,
    /// Where it was seen last, or where the config says that it is. This and what follows are not from older proxies.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// It has a connection.
    #[serde(default)]
    pub connected: bool,
    /// It was found by its connection, and the config does not name it: it may be forgotten.
    #[serde(default)]
    pub found: bool,
    /// When it was connected or measured last.
    #[serde(default)]
    pub seen: Option<Timestamp>,
}

/// `GET /api/v1/receipts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptsPage {
    /// The newest first.
    pub receipts: Vec<Receipt>,
}

impl PowerPage {
    /// Of a snapshot, and what is decided now.
    pub fn new(snapshot: &PowerSnapshot, decision: Option<&DecisionView>) -> Self {
        let kw = Watts::kilowatts;
        let (site, balance, names) = (&snapshot.site, &snapshot.site.balance, &snapshot.named);
        let (mut groups, mut unmanaged_groups) = (Vec::new(), Vec::new());
        for (index, (name, view)) in names.groups.iter().zip(&site.groups).enumerate() {
            match view {
                Some(view) => {
                    let decided = decision.and_then(|view| view.group(name));
                    let decided = decided.map(|decided| decided.reason.to_string());
                    groups.push(GroupRow::new(name, view, decided, snapshot.orders.get(index).cloned().flatten()));
                }
                None => unmanaged_groups.push(name.to_string()),
            }
        }
        let (mut blocks, mut unmanaged_blocks) = (Vec::new(), Vec::new());
        for (named, view) in names.blocks.iter().zip(&site.blocks) {
            match view {
                Some(view) => {
                    let decided = decision.and_then(|view| view.block(&named.name));
                    blocks.push(BlockRow::new(&named.name, view, decided.map(AiDecision::in_words)));
                }
                None => unmanaged_blocks.push(named.name.to_string()),
            }
        }
        let events = snapshot.events.iter().take(MAX_EVENTS).map(|past| EventRow {
            at: past.at,
            level: past.event.level,
            kind: past.event.kind,
            group: past.about.as_ref().map(ToString::to_string),
            words: past.event.words.to_string(),
        });
        Self {
            at: site.at,
            mode: snapshot.mode.into(),
            epoch: site.epoch.0,
            site: SiteRow {
                cap_kw: names.cap.is_some().then(|| kw(balance.cap)),
                counts_kw: kw(balance.total()),
                room_kw: names.cap.is_some().then(|| kw(balance.room())),
                asic_kw: kw(balance.asic),
                ai_kw: kw(balance.ai),
                base_kw: kw(balance.base),
                unexplained_kw: kw(balance.unexplained),
                reserve_kw: kw(balance.reserve),
                measured_kw: kw(site.measured),
                meter_kw: site.meter.map(kw),
                over_cap_readings: snapshot.over_cap.readings,
                over_cap_most_kw: snapshot.over_cap.most.map(kw),
            },
            groups,
            unmanaged_groups,
            blocks,
            unmanaged_blocks,
            orphans: snapshot.orphans.words(),
            events: events.collect(),
        }
    }
}

impl GroupRow {
    /// Of one group, with what is decided now and what an operator ordered.
    pub fn new(name: &str, view: &GroupView, decision: Option<String>, operator: Option<Control>) -> Self {
        Self {
            name: name.to_owned(),
            phase: view.phase,
            since: view.since,
            goal: view.order.goal,
            urgent: view.order.urgent,
            why: view.order.why.to_string(),
            decision,
            operator,
            waits_for: view.waits_for.as_deref().map(str::to_owned),
            devices: view.devices,
            measured: view.measured,
            idle: view.idle,
            sleeping: Stages::new(view.sleeping),
            waking: Stages::new(view.waking),
            draws_kw: view.drawn.kilowatts(),
        }
    }
}

impl Stages {
    /// From counts in the order of [`StageKind`].
    fn new(counts: [usize; StageKind::COUNT]) -> Self {
        let [pending, dispatched, confirmed, drifted, unavailable, failed] = counts;
        Self { pending, dispatched, confirmed, drifted, unavailable, failed }
    }
}

impl BlockRow {
    fn new(name: &str, view: &BlockView, decision: Option<String>) -> Self {
        let lease = |lease: &LeaseView| LeaseRow {
            id: lease.lease.to_string(),
            kw: lease.watts.kilowatts(),
            expires: lease.expires,
            revoked: lease.revoked,
        };
        Self {
            name: name.to_owned(),
            wanted_kw: view.wanted.kilowatts(),
            granted_kw: view.granted.kilowatts(),
            revoked_kw: view.revoked.kilowatts(),
            drawn_kw: view.drawn.map(Watts::kilowatts),
            state: view.state.as_deref().map(str::to_owned),
            refused: view.refused.as_deref().map(str::to_owned),
            decision,
            leases: view.leases.iter().map(lease).collect(),
        }
    }
}

impl From<&DeviceView> for DeviceRow {
    fn from(view: &DeviceView) -> Self {
        Self {
            name: view.name.to_string(),
            goal: view.goal,
            stage: view.stage,
            watts: view.watts.map(to_milliwatts),
            measured_at: view.measured_at,
            counts_watts: to_milliwatts(view.counts),
            mode: view.mode.as_ref().map(|mode| mode.0.to_string()),
            address: view.whereabouts.address,
            connected: view.whereabouts.is_connected,
            found: view.whereabouts.is_found,
            seen: view.whereabouts.seen,
        }
    }
}

/// Without the last digits of a product, which mean nothing.
fn to_milliwatts(watts: Watts) -> f64 {
    (watts.get() * 1e3).round() / 1e3
}
