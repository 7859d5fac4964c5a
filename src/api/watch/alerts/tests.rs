use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::{
    config::{Config, Places, ProcessEnv},
    metrics::PoolBook,
    power::{
        control::{Named, Orphans, OverCap, PowerTotals},
        device::Goal,
        group::Order,
        ledger::{Balance, Epoch},
        site::SiteView,
    },
    profit::{Currency, signal::SignalView},
};

const TEXT: &str = "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nname = \"eu\"\nurl = \"sim://\"\nuser = \"u\"\n\
    [[pool]]\nname = \"us\"\nurl = \"sim://\"\nuser = \"u\"\n[[route]]\nname = \"all\"\npools = [\"eu\", \"us\"]\n\
    [[group]]\nname = \"hall\"\nsignal = \"pays\"\n[[signal]]\nname = \"pays\"\nunit = \"verdict\"\nkind = \"push\"\n";

struct World {
    places: Places,
    totals: Totals,
    signals: Snapshot,
    power: PowerSnapshot,
    stale_ratio: Option<f64>,
    pool_rejects: Vec<Option<f64>>,
    workers: Summary,
    store: StoreStatus,
}

impl World {
    /// In which nothing is wrong.
    fn new() -> Self {
        let (config, _) = Config::parse(TEXT, &ProcessEnv { folder: ".".into() }).unwrap();
        let mut totals = Totals { miners: vec![7], ..Totals::default() };
        totals.router.pools = vec![PoolBook { connections: 1, ..PoolBook::default() }; 2];
        let config = Arc::new(config);
        let signals = Snapshot {
            at: Timestamp::UNIX_EPOCH,
            config: config.clone(),
            currency: Currency::USD,
            signals: Vec::new(),
            decision: None,
        };
        Self {
            places: Places::first(config),
            totals,
            signals,
            power: quiet(),
            stale_ratio: Some(0.001),
            pool_rejects: vec![None, Some(0.001)],
            workers: Summary::default(),
            store: StoreStatus::default(),
        }
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.all().iter().map(|wrong| wrong.kind).collect()
    }

    fn all(&self) -> Vec<Wrong> {
        alerts(&Seen {
            places: &self.places,
            totals: &self.totals,
            signals: &self.signals,
            power: Some(&self.power),
            power_ended: false,
            stale_ratio: self.stale_ratio,
            pool_rejects: &self.pool_rejects,
            workers: &self.workers,
            store: Some(&self.store),
        })
    }
}

fn quiet() -> PowerSnapshot {
    let nothing = Watts::ZERO;
    let group = GroupView {
        phase: Phase::Mining,
        since: Timestamp::UNIX_EPOCH,
        order: Order { goal: Goal::Mine, urgent: false, why: "it pays".into() },
        devices: 3,
        sleeping: [0; StageKind::COUNT],
        waking: [0; StageKind::COUNT],
        drawn: nothing,
        measured: 3,
        waits_for: None,
        idle: 0,
    };
    let (asic, ai, base) = (nothing, nothing, nothing);
    PowerSnapshot {
        named: Arc::new(Named { groups: vec!["hall".into()], ..Named::default() }),
        mode: crate::config::Mode::Active,
        site: SiteView {
            at: Timestamp::UNIX_EPOCH,
            epoch: Epoch(1),
            balance: Balance { asic, ai, base, unexplained: nothing, reserve: nothing, cap: nothing },
            meter: None,
            measured: nothing,
            groups: vec![Some(group)],
            blocks: Vec::new(),
        },
        orders: vec![None],
        receipts: Vec::new(),
        events: Vec::new(),
        over_cap: OverCap::default(),
        totals: PowerTotals::default(),
        orphans: Orphans::default(),
        certificates: Vec::new(),
        sleepers: Arc::default(),
    }
}

fn signal(reading: Reading<f64>) -> SignalView {
    SignalView {
        name: "pays".into(),
        quantity: crate::profit::Quantity::Verdict,
        class: crate::config::Class::Verdict,
        reading,
        accepted: 0,
        refused: std::collections::BTreeMap::new(),
        sources: Vec::new(),
    }
}

#[test]
fn nothing_is_wrong_while_all_is_well_or_not_begun() {
    let mut world = World::new();
    assert_eq!(world.all(), []);
    // A signal that never was is no fault: nobody may send it yet.
    world.signals.signals = vec![signal(Reading::Never)];
    assert_eq!(world.all(), []);
}

#[test]
fn a_route_without_a_pool_is_worse_than_a_pool_that_is_down() {
    let mut world = World::new();
    world.totals.router.pools[0].connections = 0;
    let [down] = &world.all()[..] else { panic!() };
    assert_eq!((down.kind, down.about.as_deref(), down.severity), ("pool_down", Some("eu"), Severity::Warn));
    world.totals.router.pools[1].connections = 0;
    assert_eq!(world.kinds(), ["route_without_pool", "pool_down", "pool_down"]);
    assert!(world.all()[0].words.contains("7 miners"), "{:?}", world.all()[0]);
}

#[test]
fn shares_that_are_stale_or_that_a_pool_will_not_have_are_told_with_their_part() {
    let mut world = World::new();
    (world.stale_ratio, world.pool_rejects[1]) = (Some(0.043), Some(0.5));
    assert_eq!(world.kinds(), ["stale_shares", "pool_rejects"]);
    assert!(world.all()[0].words.starts_with("4.3 %") && world.all()[1].words.contains("50.0 %"));
}

#[test]
fn signals_that_cannot_be_acted_on_are_named() {
    let mut world = World::new();
    for (reading, kind) in [
        (Reading::Stale { value: 1.0, observed_at: Timestamp::UNIX_EPOCH }, "signal_stale"),
        (Reading::Split { low: 0.0, high: 1.0 }, "signal_split"),
    ] {
        world.signals.signals = vec![signal(reading)];
        assert_eq!(world.kinds(), [kind]);
    }
}

#[test]
fn groups_that_do_not_obey_and_machines_that_do_otherwise_are_counted() {
    let mut world = World::new();
    let group = world.power.site.groups[0].as_mut().unwrap();
    group.phase = Phase::Fault;
    group.sleeping[StageKind::Failed as usize] = 2;
    group.waking[StageKind::Drifted as usize] = 1;
    assert_eq!(world.kinds(), ["group_fault", "devices_failed", "devices_drifted"]);
    assert!(world.all()[1].words.contains("2 of 3 machines"), "{:?}", world.all()[1]);
}

#[test]
fn what_ai_compute_draws_over_what_it_was_given_is_told_and_its_idle_draw_is_not() {
    let kw = |kw: f64| Watts::from_kilowatts(kw).unwrap();
    let view = |granted, drawn| BlockView {
        wanted: kw(granted),
        granted: kw(granted),
        revoked: Watts::ZERO,
        drawn: Some(kw(drawn)),
        state: None,
        leases: Vec::new(),
        refused: None,
    };
    for (granted, drawn, idle, is_told) in
        [(100.0, 101.0, 10.0, false), (100.0, 110.0, 10.0, true), (0.0, 10.0, 10.0, false), (0.0, 11.0, 10.0, true)]
    {
        let mut all = Vec::new();
        of_block("gpus", &view(granted, drawn), kw(idle), &mut all);
        assert_eq!(!all.is_empty(), is_told, "{granted} {drawn} {idle}");
    }
}

#[test]
fn a_pool_of_no_route_is_nobodys_loss() {
    let text = TEXT.replace("pools = [\"eu\", \"us\"]", "pools = [\"eu\"]");
    let mut world = World::new();
    let config = Config::parse(&text, &ProcessEnv { folder: ".".into() }).unwrap().0;
    world.places = Places::first(Arc::new(config));
    world.totals.router.pools[1].connections = 0;
    assert_eq!(world.all(), []);
}

#[test]
fn sick_workers_are_counted_by_what_they_have_and_a_store_that_is_behind_is_told() {
    let mut world = World::new();
    world.workers = Summary { sick: 3, offline: 2, high_stale: 1, ..Summary::default() };
    world.store.trouble = Some("the disk is full".to_owned());
    assert_eq!(world.kinds(), ["workers_sick", "store_behind"]);
    assert_eq!(world.all()[0].words, "3 workers are sick: 2 offline, 1 with many stale shares");
}
