//! The power side begins anew inside the running proxy: groups, signals, machines and terms change while machines sleep and power is lent.

use std::sync::Arc;

use hashgate::{
    power::{
        control::{Control, PowerSnapshot},
        device::StageKind,
        group::Phase,
        site::LeaseOrder,
    },
    profit::signal::{Observation, When},
    reload::{Outcome, Refused},
};

use crate::{
    farm::{FIRMWARE, LIMIT, MACHINES, World, eventually, parsed},
    site::words,
};

/// What was said of a change that the power side begins anew for.
const ANEW: &str = "the power side begins anew on it; machines and leases stay as they are, miners notice nothing";

/// All but the first machine, which are nobody's in the config of the start.
const HALL_B: &str = "[[group]]\nname = \"hall-b\"\nsignal = \"verdict-b\"\npower = \"24500 W\"\nnameplate = \"3500 W\"\nworkers = \"farm.*\"\n\
    quiet = \"1s\"\nprobe = \"5s\"\nsleep_survives_power_cycle = \"yes\"\nsleep_time = \"5s\"\nwake_time = \"20s\"\n\
    [group.actuator]\nkind = \"custom:firmware\"\n\
    [[signal]]\nname = \"verdict-b\"\nunit = \"verdict\"\nkind = \"push\"\nmax_age = \"1h\"\n";

/// A farm whose config is edited while it mines.
struct Edited {
    world: World,
    text: String,
}

impl Edited {
    /// With one group of all machines.
    async fn start() -> Self {
        Self::with(|text| text).await
    }

    /// With a config that is another than that of other tests.
    async fn with(edit: impl FnOnce(String) -> String) -> Self {
        let (world, text) = World::start_edited("active", FIRMWARE, edit).await;
        Self { world, text }
    }

    async fn try_reload(&mut self, edit: impl FnOnce(String) -> String) -> Result<Outcome, Refused> {
        let text = edit(self.text.clone());
        assert_ne!(text, self.text, "it is another");
        let result = self.world.proxy().reload().config(parsed(&text), false).await;
        if result.is_ok() {
            self.text = text;
        }
        result
    }

    async fn reload(&mut self, edit: impl FnOnce(String) -> String) -> Outcome {
        let outcome = self.try_reload(edit).await.expect("it is followed");
        assert_eq!(outcome.pending().count(), 0, "{outcome:?}");
        outcome
    }

    /// Another text in the place of one that is there.
    async fn writes(&mut self, old: &str, new: &str) -> Outcome {
        self.reload(|text| replaced(&text, old, new)).await
    }

    async fn says(&self, signal: &str, value: f64) {
        let feed = self.world.proxy().signals().expect("there are some").feed(signal).expect("it is pushed");
        feed.observe(vec![Observation { value, when: When::Now }]).await.expect("it is taken");
    }

    async fn is_in(&self, group: &str, phase: Phase) -> Arc<PowerSnapshot> {
        let is_there = |snapshot: &PowerSnapshot| snapshot.group(group).is_some_and(|group| group.phase == phase);
        self.world.shows(&format!("{group} {}", phase.label()), is_there).await
    }

    /// So many machines of a group are known and measured.
    async fn knows(&self, group: &str, devices: usize) -> Arc<PowerSnapshot> {
        let knows = |snapshot: &PowerSnapshot| {
            snapshot.group(group).is_some_and(|group| (group.devices, group.measured) == (devices, devices))
        };
        self.world.shows(&format!("{devices} of {group}"), knows).await
    }

    /// The next one shows itself.
    async fn begins_anew(&self, before: u32) -> Arc<PowerSnapshot> {
        self.world.shows("the next epoch", |snapshot| snapshot.site.epoch.0 == before + 1).await
    }

    fn epoch(&self) -> u32 {
        self.world.power().snapshot().site.epoch.0
    }

    /// Nobody left, and no share was lost.
    async fn ends_well(self) {
        let before = self.world.proxy().totals().accepted;
        eventually("shares flow", || self.world.proxy().totals().accepted > before + 20).await;
        self.world.no_share_is_lost().await;
        let (stats, totals) = (self.world.swarm.totals(), self.world.proxy().totals());
        assert_eq!((stats.lost, stats.unanswered(), stats.rejected_total()), (0, 0, 0), "{:?}", stats.rejected);
        assert_eq!(totals.connections, MACHINES as u64);
        assert_eq!((totals.opened, totals.left), (MACHINES as u64, 0), "nobody has come again");
        assert_eq!(self.world.proxy.expect("it runs").shut_down(LIMIT).await, 0);
    }
}

fn replaced(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old:?} in\n{text}");
    text.replace(old, new)
}

/// The first group has one machine, the others are in none; there is room for all of them beside AI compute.
fn one_machine(text: String) -> String {
    let edits = [
        ("workers = \"farm.*\"", "workers = \"farm.0001\""),
        ("power = \"28 kW\"", "power = \"3500 W\""),
        ("cap = \"34 kW\"", "cap = \"60 kW\""),
    ];
    edits.iter().fold(text, |text, (old, new)| replaced(&text, old, new))
}

fn asleep(snapshot: &PowerSnapshot, group: &str) -> usize {
    snapshot.group(group).expect("it can be moved").sleeping[StageKind::Confirmed as usize]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_added_finds_its_machines_and_drains_by_the_next_verdict() {
    let mut site = Edited::with(one_machine).await;
    site.knows("hall-a", 1).await;
    site.says("verdict", 1.0).await;
    let way = site.world.power();
    let outcome = site.reload(|text| text + HALL_B).await;
    assert!(words(&outcome).contains(&format!("group \"hall-b\" added; {ANEW}")), "{outcome:?}");
    assert!(words(&outcome).iter().any(|words| words.starts_with("signal \"verdict-b\" added; signals and decisions")));
    site.knows("hall-b", MACHINES - 1).await;
    assert!(way.snapshot().group("hall-b").is_some(), "who had the way to it has it still");

    site.says("verdict-b", 0.0).await;
    let snapshot = site.is_in("hall-b", Phase::Asleep).await;
    assert_eq!(asleep(&snapshot, "hall-b"), MACHINES - 1);
    assert_eq!(snapshot.group("hall-a").expect("it is there").phase, Phase::Mining);
    assert_eq!(site.world.firmware.sleeping(), MACHINES - 1);
    site.says("verdict-b", 1.0).await;
    site.is_in("hall-b", Phase::Mining).await;
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_removed_while_it_mines_mines_on_and_comes_back() {
    let mut site = Edited::with(|text| one_machine(text) + HALL_B).await;
    site.knows("hall-b", MACHINES - 1).await;
    let told = site.world.firmware.commands().len();
    let epoch = site.epoch();
    let outcome = site.reload(|text| replaced(&text, HALL_B, "")).await;
    assert!(words(&outcome).contains(&format!("group \"hall-b\" removed; {ANEW}")), "{outcome:?}");
    site.begins_anew(epoch).await;
    let snapshot = site.knows("hall-a", 1).await;
    assert_eq!(snapshot.named.groups, ["hall-a".into()]);
    assert!(snapshot.orphans.is_empty());
    assert_eq!(site.world.proxy().signals().expect("there are some").snapshot().signals.len(), 2);
    site.reload(|text| text + HALL_B).await;
    site.knows("hall-b", MACHINES - 1).await;
    assert_eq!(site.world.firmware.commands().len(), told, "nobody was told anything");
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_would_be_left_asleep_or_lent_keeps_the_old_config() {
    // One of its machines is named by the config, the others are found.
    let named = "[[group.device]]\nname = \"farm.0002\"\nworker = \"farm.0002\"\n";
    let hall_b = replaced(HALL_B, "[group.actuator]", &format!("{named}[group.actuator]"));
    let mut site = Edited::with(|text| one_machine(text) + &hall_b).await;
    site.knows("hall-b", MACHINES - 1).await;
    site.says("verdict", 1.0).await;
    site.says("verdict-b", 0.0).await;
    site.is_in("hall-b", Phase::Asleep).await;
    eventually("AI compute has power", || site.world.gpus.leased() > 0.0).await;
    let (epoch, status) = (site.epoch(), site.world.proxy().reload().status());

    // The group goes, and something else of the same file would be followed.
    let refused = site
        .try_reload(|text| replaced(&replaced(&text, &hall_b, ""), "lease_term = \"60s\"", "lease_term = \"90s\""))
        .await
        .expect_err("machines would sleep on");
    let said = refused.to_string();
    assert!(said.starts_with("7 machines of group \"hall-b\" sleep or are on their way"), "{said}");
    assert!(said.contains("wake them first (`hashgate wake hall-b`)") && said.contains("farm.0002"), "{said}");
    // One machine of it goes.
    let refused = site.try_reload(|text| replaced(&text, named, "")).await.expect_err("it would sleep on");
    assert!(refused.to_string().starts_with("1 machines of group \"hall-b\""), "{refused}");
    // Its actuator goes.
    let unmoved = HALL_B.split("quiet").next().expect("a part").to_owned()
        + "[[signal]]\nname = \"verdict-b\"\nunit = \"verdict\"\nkind = \"push\"\nmax_age = \"1h\"\n";
    let unmoved = unmoved.replace("nameplate = \"3500 W\"\nworkers = \"farm.*\"\n", "");
    let refused = site.try_reload(|text| replaced(&text, &hall_b, &unmoved)).await.expect_err("7 would sleep on");
    assert!(refused.to_string().starts_with("7 machines of group \"hall-b\""), "{refused}");
    // The AI block goes while it is lent power.
    let refused = site.try_reload(|text| replaced(&text, "name = \"gpus\"", "name = \"others\"")).await;
    let said = refused.expect_err("it holds power").to_string();
    assert!(said.starts_with("AI block \"gpus\" holds ") && said.contains("demand = 0"), "{said}");

    let now = site.world.proxy().reload().status();
    assert!(Arc::ptr_eq(&now.places.config, &status.places.config));
    assert_eq!((site.epoch(), site.world.gpus.leased() > 0.0), (epoch, true), "nothing has begun anew");
    assert_eq!(site.world.firmware.sleeping(), MACHINES - 1);

    // What is to be done first is done.
    site.says("verdict-b", 1.0).await;
    site.is_in("hall-b", Phase::Mining).await;
    site.writes("demand = 1.0", "demand = 0.0").await;
    let is_lent = |snapshot: &PowerSnapshot| !snapshot.block("gpus").expect("it is there").leases.is_empty();
    site.world.shows("all is given back", |snapshot| !is_lent(snapshot)).await;
    site.reload(|text| replaced(&replaced(&text, &hall_b, ""), "name = \"gpus\"", "name = \"others\"")).await;
    let snapshot = site.world.shows("the other block", |snapshot| snapshot.block("others").is_some()).await;
    assert!(snapshot.group("hall-b").is_none() && snapshot.orphans.is_empty());
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_sleeps_on_while_its_signal_comes_from_elsewhere_and_wakes_by_that() {
    let mut site = Edited::start().await;
    let folder = site.world.ledger().parent().expect("a folder").to_owned();
    let files = ["first", "second"].map(|name| folder.join(name));
    let pays = |file: &std::path::Path| {
        format!(
            "[[signal]]\nname = \"pays\"\nunit = \"USD/PH/day\"\nkind = \"file\"\npath = {file:?}\npoll = \"1s\"\nmax_age = \"1h\"\n"
        )
    };
    std::fs::write(&files[0], "60").expect("it is written");
    site.knows("hall-a", MACHINES).await;
    // The group is judged by another signal, while it mines.
    let by = "signal = \"pays\"\ndrain_below = 45\nwake_above = 50\n";
    site.reload(|text| replaced(&text, "signal = \"verdict\"\n", by) + &pays(&files[0])).await;
    site.knows("hall-a", MACHINES).await;
    std::fs::write(&files[0], "40").expect("it is written");
    site.is_in("hall-a", Phase::Asleep).await;
    let (told, epoch) = (site.world.firmware.commands().len(), site.epoch());

    // The second file is not there yet.
    let (first, second) = (pays(&files[0]), pays(&files[1]));
    let outcome = site.writes(&first, &second).await;
    assert_eq!(outcome.followed().count(), 1, "{outcome:?}");
    let signals = site.world.proxy().signals().expect("there are some").clone();
    let complains = |signals: &hashgate::profit::task::Snapshot| {
        signals.signals.iter().any(|view| &*view.name == "pays" && view.sources[0].refusal.is_some())
    };
    signals.wait_for(|snapshot| complains(snapshot)).await.expect("the proxy runs");
    let snapshot = site.world.power().snapshot();
    assert_eq!((snapshot.group("hall-a").expect("it is there").phase, site.epoch()), (Phase::Asleep, epoch));
    assert_eq!(site.world.firmware.commands().len(), told, "nobody was told anything");
    std::fs::write(&files[1], "60").expect("it is written");
    site.is_in("hall-a", Phase::Mining).await;
    assert_eq!(site.world.firmware.sleeping(), 0);
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lent_stays_lent_and_is_renewed_by_the_next_on_its_own_terms() {
    let mut site = Edited::start().await;
    site.knows("hall-a", MACHINES).await;
    site.says("verdict", 0.0).await;
    site.is_in("hall-a", Phase::Asleep).await;
    eventually("AI compute has the power", || site.world.gpus.leased() == 20_000.0).await;
    let epoch = site.epoch();
    let before = site.world.gpus.told().len();
    let outcome = site.writes("lease_term = \"60s\"", "lease_term = \"300s\"").await;
    assert_eq!(words(&outcome), [format!("[power] lease_term: 1m → 5m; {ANEW}")]);
    // What is left of the old terms is less than half of a new one.
    let is_renewed = || {
        let told = site.world.gpus.told();
        let new = told[before..].iter().filter(|message| message.epoch.0 > epoch);
        new.filter(|message| matches!(message.what, LeaseOrder::Grant { .. })).count() > 0
    };
    eventually("its leases are renewed", is_renewed).await;
    assert_eq!((site.world.gpus.leased(), site.world.firmware.sleeping()), (20_000.0, MACHINES));
    let told = site.world.gpus.told();
    assert!(told.iter().all(|message| matches!(message.what, LeaseOrder::Grant { .. })), "nothing was asked back");
    site.says("verdict", 1.0).await;
    site.is_in("hall-a", Phase::Mining).await;
    assert_eq!(site.world.gpus.leased(), 0.0);
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_and_a_wake_that_are_under_way_go_on() {
    let mut site = Edited::start().await;
    site.knows("hall-a", MACHINES).await;
    site.says("verdict", 0.0).await;
    eventually("the drain has begun", || site.world.firmware.sleeping() > 0).await;
    site.writes("poll = \"1s\"\npoll_moving", "poll = \"2s\"\npoll_moving").await;
    site.is_in("hall-a", Phase::Asleep).await;
    assert_eq!(site.world.firmware.sleeping(), MACHINES);
    site.says("verdict", 1.0).await;
    eventually("the wake has begun", || site.world.firmware.sleeping() < MACHINES).await;
    site.writes("poll = \"2s\"\npoll_moving", "poll = \"1s\"\npoll_moving").await;
    site.is_in("hall-a", Phase::Mining).await;
    assert_eq!(site.world.firmware.sleeping(), 0);
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_word_and_the_mode_outlive_it() {
    let mut site = Edited::with(|text| one_machine(text) + HALL_B).await;
    site.knows("hall-b", MACHINES - 1).await;
    site.says("verdict-b", 1.0).await;
    let hold = Control::Hold { why: "a fan is loud".into() };
    site.world.power().control("hall-b", hold.clone(), false).await.expect("it is held");
    // The groups change places.
    let (first, rest) = site.text.split_once("[[group]]\n").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("groups");
    let (hall_a, rest) = rest.split_once("[[ai]]").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("an AI block");
    let swapped = format!("{first}[[ai]]{rest}[[group]]\n{hall_a}");
    let epoch = site.epoch();
    site.reload(|_| swapped).await;
    let snapshot = site.begins_anew(epoch).await;
    assert_eq!(snapshot.group("hall-b").expect("it is there").phase, Phase::ManualHold);
    assert_eq!(snapshot.named.groups, ["hall-b".into(), "hall-a".into()]);
    assert_eq!(snapshot.order("hall-b"), Some(&hold));
    assert_eq!(snapshot.order("hall-a"), None);
    // A value that was pushed holds on, and a mode by hand until the config says another.
    let signals = site.world.proxy().signals().expect("there are some").snapshot();
    let held = signals.signals.iter().find(|view| &*view.name == "verdict-b").expect("it is there");
    assert_eq!(held.sources[0].value.map(|(value, _)| value), Some(1.0));
    site.writes("mode = \"active\"", "mode = \"advise\"").await;
    let snapshot = site.world.shows("the mode", |snapshot| snapshot.mode.label() == "advise").await;
    assert_eq!(snapshot.order("hall-b"), Some(&hold));
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_new_beginnings_under_load_cost_no_connection_and_no_share() {
    let mut site = Edited::with(one_machine).await;
    site.knows("hall-a", 1).await;
    site.says("verdict", 1.0).await;
    let mut counted = 0;
    for round in 0..10_u32 {
        let epoch = site.epoch();
        match round % 5 {
            0 => site.reload(|text| text + HALL_B).await,
            1 => {
                // It sleeps through the next ones.
                site.knows("hall-b", MACHINES - 1).await;
                site.says("verdict-b", 0.0).await;
                site.is_in("hall-b", Phase::Asleep).await;
                let (old, new) = if round < 5 {
                    ("max_age = \"10s\"\nproofs", "max_age = \"12s\"\nproofs")
                } else {
                    ("max_age = \"12s\"\nproofs", "max_age = \"10s\"\nproofs")
                };
                site.writes(old, new).await
            }
            2 => {
                let (old, new) = if round < 5 { ("\"60s\"", "\"70s\"") } else { ("\"70s\"", "\"60s\"") };
                site.writes(&format!("lease_term = {old}"), &format!("lease_term = {new}")).await
            }
            3 => {
                let (old, new) = if round < 5 { ("60 kW", "61 kW") } else { ("61 kW", "60 kW") };
                site.writes(&format!("cap = \"{old}\""), &format!("cap = \"{new}\"")).await
            }
            _ => {
                site.says("verdict-b", 1.0).await;
                site.is_in("hall-b", Phase::Mining).await;
                site.reload(|text| replaced(&text, HALL_B, "")).await
            }
        };
        let snapshot = site.begins_anew(epoch).await;
        let sum = snapshot.totals.events + snapshot.totals.receipts + snapshot.totals.refusals;
        assert!(sum >= counted, "what was counted never goes back");
        counted = sum;
        let asleep = if (1..4).contains(&(round % 5)) { MACHINES - 1 } else { 0 };
        assert_eq!(site.world.firmware.sleeping(), asleep, "round {round}");
    }
    assert!(counted > 0);
    assert_eq!(site.world.proxy().reload().status().applied, 10);
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_side_that_cannot_begin_gives_way_to_the_one_before() {
    let mut site = Edited::start().await;
    site.knows("hall-a", MACHINES).await;
    site.says("verdict", 0.0).await;
    site.is_in("hall-a", Phase::Asleep).await;
    site.world.stop().await;
    site.text = site.world.text();
    // From now on, the ledger does not take another mode.
    let ledger = rusqlite::Connection::open(site.world.ledger()).expect("it is there");
    let refuses = "CREATE TRIGGER refuses BEFORE INSERT ON settings WHEN NEW.value = 'advise' BEGIN SELECT RAISE(ABORT, 'the disk is full'); END;";
    ledger.execute_batch(refuses).expect("it is taken");
    drop(ledger);
    let text = site.text.clone();
    site.world.go_on_with(parsed(&text)).await;
    site.knows("hall-a", MACHINES).await;
    let (way, epoch) = (site.world.power(), site.epoch());
    let told = site.world.firmware.commands().len();

    let refused = site.try_reload(|text| replaced(&text, "mode = \"active\"", "mode = \"advise\"") + HALL_B).await;
    let said = refused.expect_err("it can't be written").to_string();
    assert!(said.starts_with("the power side can't begin on it: ") && said.contains("the disk is full"), "{said}");
    let status = site.world.proxy().reload().status();
    assert_eq!((status.refused, status.applied), (1, 0));
    assert_eq!(status.places.config.profit.as_ref().expect("there is one").groups.len(), 1);
    // The one before has begun again, and moves machines.
    site.world.shows("it has begun again", |snapshot| snapshot.site.epoch.0 > epoch).await;
    site.knows("hall-a", MACHINES).await;
    assert_eq!(site.world.firmware.commands().len(), told, "nobody was told anything");
    let snapshot = way.snapshot();
    assert_eq!((snapshot.mode.label(), asleep(&snapshot, "hall-a")), ("active", MACHINES));
    site.says("verdict", 1.0).await;
    site.is_in("hall-a", Phase::Mining).await;
    assert_eq!(site.world.firmware.sleeping(), 0);
    assert!(tokio::time::timeout(std::time::Duration::ZERO, site.world.proxy().lost()).await.is_err(), "all is well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_side_comes_with_the_first_actuator_and_goes_with_the_last() {
    let mut site = Edited::start().await;
    site.knows("hall-a", MACHINES).await;
    let whole = site.text.clone();
    // Without machines and without AI compute; the ledger keeps its place.
    let (before, _) = whole.split_once("nameplate").expect("machines");
    let (_, after) = whole.split_once("[[signal]]").expect("signals");
    let unmoved = format!("{before}[[signal]]{after}");
    let way = site.world.power();
    site.reload(|_| unmoved).await;
    assert!(site.world.proxy().power().is_none());
    assert!(way.receipts(1).await.is_err(), "nobody is there any more");
    site.says("verdict", 0.0).await;
    assert_eq!(site.world.firmware.sleeping(), 0);
    let signals = site.world.proxy().signals().expect("there are some").snapshot();
    assert_eq!(
        signals.decision.as_ref().expect("it is decided").decisions.groups[0].action,
        hashgate::profit::Action::Curtail
    );

    // What was decided while nothing could be moved is carried out now.
    site.reload(|_| whole).await;
    site.is_in("hall-a", Phase::Asleep).await;
    assert_eq!(site.world.firmware.sleeping(), MACHINES);
    site.says("verdict", 1.0).await;
    site.is_in("hall-a", Phase::Mining).await;
    site.ends_well().await;
}
