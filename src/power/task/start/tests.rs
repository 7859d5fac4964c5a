use std::path::Path;

use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::{
    config::{Config, ProcessEnv},
    power::{
        ledger::{BlockId, BlockRules, Rules},
        site::BlockTerms,
    },
    profit::Ratio,
};

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn watts(watts: f64) -> Watts {
    Watts::new(watts).unwrap()
}

fn started(path: &Path, of_config: Mode) -> (Mode, Journal) {
    let (mut journal, book) = Journal::start(path, time(0)).unwrap();
    (mode(of_config, &book, &mut journal).unwrap(), journal)
}

#[test]
fn a_mode_set_by_hand_holds_until_the_config_says_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (mode, mut journal) = started(&path, Mode::DryRun);
    assert_eq!(mode, Mode::DryRun);
    journal.set(&[(MODE, Mode::Active.label()), (MODE_OF_CONFIG, Mode::DryRun.label())]).unwrap();
    drop(journal);
    assert_eq!(started(&path, Mode::DryRun).0, Mode::Active);
    assert_eq!(started(&path, Mode::Advise).0, Mode::Advise);
    assert_eq!(started(&path, Mode::DryRun).0, Mode::DryRun, "what was said before the config changed is over");
}

fn terms() -> SiteTerms {
    let rules = BlockRules { capacity: watts(5e4), idle: watts(1e3), overhead: Ratio::ONE, tolerance: Ratio::ZERO };
    let block = BlockTerms {
        id: BlockId::from("gpus"),
        rules,
        step: Watts::ZERO,
        sheds_within: None,
        starts_within: Duration::from_secs(600),
        returns_within: Duration::from_secs(600),
        notice: Duration::ZERO,
    };
    let max_age = jiff::SignedDuration::from_secs(30);
    SiteTerms {
        rules: Rules {
            cap: watts(1e5),
            base_load: Watts::ZERO,
            reserve: Watts::ZERO,
            drift: Watts::ZERO,
            max_age,
            command_lifetime: max_age,
            proofs: 1,
            meter: None,
        },
        groups: vec![None, None],
        blocks: vec![Some(block)],
        lease_term: jiff::SignedDuration::from_secs(60),
    }
}

fn record(goal: Goal) -> Record {
    let order = Order { goal, urgent: false, why: "prices".into() };
    Record { number: 1, event: 1, phase: Phase::Asleep, order, since: time(-100), overruled: None, devices: Vec::new() }
}

#[test]
fn the_engine_is_told_first_what_sleeps_and_what_is_lent() {
    let lease = |lease, watts| Booking::Lease { block: "gpus".into(), lease: LeaseId(lease), watts, expires: time(60) };
    let entries = [
        lease(0, watts(5e4)),
        lease(1, watts(1e3)),
        lease(2, watts(2e3)),
        lease(3, watts(4e3)),
        lease(2, watts(2e3)),
        Booking::Revoke { block: "gpus".into(), lease: LeaseId(1) },
        lease(9, watts(8e3)),
        Booking::Returned { block: "gpus".into(), lease: LeaseId(9), watts: Watts::ZERO },
    ];
    let entries: Vec<Entry> =
        entries.into_iter().enumerate().map(|(at, what)| Entry { at: time(at as i64), what }).collect();
    let orders = Orders::new(Mode::Active, vec![None, Some(Control::Lockout { why: "hands".into() })], 1);
    let records = [Some(record(Goal::Sleep)), Some(record(Goal::Mine))];
    let facts = facts_of_start(&records, &entries, &terms(), &orders);
    assert_eq!(facts.ai, [Some((watts(6e3), time(2)))], "not what is asked back, is back, or was not ours to give");
    assert_eq!(facts.groups[0].doing, Some((Action::Ai, time(-100))));
    assert_eq!((facts.groups[1].doing, facts.groups[1].lockout), (None, true));
    let facts = facts_of_start(&records, &[], &terms(), &orders);
    assert_eq!((facts.groups[0].doing, &facts.ai[..]), (Some((Action::Curtail, time(-100))), &[None][..]));
}

/// Devices of a config with these groups, each with these devices.
fn devices(groups: &[(&str, &[&str])]) -> (Vec<Arc<str>>, Devices) {
    let mut text =
        "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"sim://\"\nuser = \"u\"\n[profit]\nsignal = \"v\"\n\
        [[signal]]\nname = \"v\"\nkind = \"push\"\nunit = \"verdict\"\nmax_age = \"1h\"\n"
            .to_owned();
    for (name, devices) in groups {
        text += &format!("[[group]]\nname = {name:?}\nnameplate = \"3500 W\"\n");
        text += "[group.actuator]\nkind = \"simulated\"\nurl = \"http://127.0.0.1:9400\"\n";
        devices.iter().for_each(|name| text += &format!("[[group.device]]\nname = {name:?}\nworker = {name:?}\n"));
    }
    let config = Config::parse(&text, &ProcessEnv { folder: ".".into() }).unwrap_or_else(|errors| panic!("{errors}")).0;
    let (profit, power) = (config.profit.unwrap(), config.power.unwrap());
    let names: Vec<Arc<str>> = profit.groups.iter().map(|group| group.name.clone()).collect();
    let known: Vec<_> = names.iter().cloned().zip(power.groups.iter().map(Option::as_ref)).collect();
    (names, Devices::new(&known))
}

fn of(phase: Phase, devices: &[&str]) -> Record {
    let device = |name: &&str| DeviceRecord {
        name: (*name).into(),
        goal: Goal::Sleep,
        is_proven_asleep: true,
        rouses_until: None,
        dozes_until: None,
        mode: None,
    };
    Record { phase, devices: devices.iter().map(device).collect(), ..record(Goal::Sleep) }
}

/// What is known after a start with another config, and then after one with a third.
fn starts<const N: usize>(
    records: &[(&str, Record)],
    configs: [&[(&str, &[&str])]; N],
) -> [HashMap<String, Record>; N] {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let written: Vec<(&str, &Record)> = records.iter().map(|(name, record)| (*name, record)).collect();
    Journal::start(&path, time(0)).unwrap().0.adopt(&written, &[]).unwrap();
    configs.map(|config| {
        let (names, devices) = devices(config);
        let (mut journal, mut book) = Journal::open(&path, time(1)).unwrap();
        Adoption::new(&book, &names, &devices).write(&mut journal, &mut book).unwrap();
        drop(journal);
        let (_journal, read) = Journal::open(&path, time(2)).unwrap();
        assert_eq!(read.records, book.records, "it is on the disk");
        read.records
    })
}

fn named(record: &Record) -> Vec<&str> {
    record.devices.iter().map(|device| &*device.name).collect()
}

#[test]
fn a_group_with_another_name_goes_on_from_where_it_was_left() {
    for phase in [Phase::Asleep, Phase::Lockout] {
        let [after] = starts(&[("hall", of(phase, &["m1", "m2"]))], [&[("barn", &["m0", "m1", "m2"])]]);
        assert_eq!((after.len(), after["barn"].phase, named(&after["barn"])), (1, phase, vec!["m1", "m2"]));
        assert_eq!(after["barn"].order.goal, Goal::Sleep);
    }
}

#[test]
fn a_machine_that_sleeps_is_woken_by_the_group_that_it_was_moved_to() {
    let asleep = || ("hall", of(Phase::Asleep, &["m1", "m2"]));
    let mining = Record { order: record(Goal::Mine).order, ..of(Phase::Mining, &[]) };
    let config: &[(&str, &[&str])] = &[("hall", &["m1"]), ("barn", &["m2", "m3"])];
    for records in [vec![asleep()], vec![asleep(), ("barn", mining)]] {
        let [after] = starts(&records, [config]);
        assert_eq!((after["hall"].phase, named(&after["hall"])), (Phase::Asleep, vec!["m1"]));
        assert_eq!((after["barn"].phase, named(&after["barn"])), (Phase::WakePending, vec!["m2"]));
        assert_eq!(after["barn"].order.goal, Goal::Mine);
    }
    // One that sleeps, too, keeps it asleep.
    let [after] = starts(&[asleep(), ("barn", of(Phase::Asleep, &["m3"]))], [config]);
    assert_eq!((after["barn"].phase, named(&after["barn"])), (Phase::Asleep, vec!["m3", "m2"]));
}

#[test]
fn a_machine_of_a_rack_that_is_locked_out_is_woken_by_no_other_group() {
    let config: &[(&str, &[&str])] = &[("hall", &["m1"]), ("barn", &["m2"])];
    let [after] = starts(&[("hall", of(Phase::Lockout, &["m1", "m2"]))], [config]);
    assert_eq!((after["hall"].phase, named(&after["hall"])), (Phase::Lockout, vec!["m1"]));
    assert!(!after.contains_key("barn"), "{after:?}");
    let all =
        starts(&[("hall", of(Phase::Lockout, &["m1"])), ("barn", of(Phase::Mining, &[]))], [&[("barn", &["m1"])]]);
    assert_eq!((all[0]["barn"].phase, named(&all[0]["barn"])), (Phase::Mining, vec![]));
}

#[test]
fn who_is_left_by_a_config_is_told_with_why() {
    let records = [("hall", of(Phase::Lockout, &["m1", "m2"])), ("barn", of(Phase::Asleep, &["m3", "m4"]))];
    let records = records.map(|(name, record)| (name.to_owned(), record)).into();
    let book = Book { records, ..Book::default() };
    let left = |config: &[(&str, &[&str])]| {
        let (names, devices) = devices(config);
        let left = Adoption::new(&book, &names, &devices).left;
        let names = |left: &[DeviceRecord]| left.iter().map(|device| device.name.to_string()).collect::<Vec<_>>();
        left.iter().map(|(of, left, is_locked)| (of.clone(), names(left), *is_locked)).collect::<Vec<_>>()
    };
    assert_eq!(left(&[("hall", &["m1", "m2"]), ("barn", &["m3", "m4"])]), []);
    assert_eq!(left(&[("hall", &["m1", "m2", "m3", "m4"])]), [], "another group has them");
    let one = |of: &str, machine: &str, is_locked| (of.to_owned(), vec![machine.to_owned()], is_locked);
    assert_eq!(left(&[("hall", &["m1", "m2"]), ("barn", &["m3"])]), [one("barn", "m4", false)]);
    assert_eq!(left(&[("hall", &["m1"]), ("barn", &["m2", "m3", "m4"])]), [one("hall", "m2", true)]);
}

#[test]
fn a_machine_that_the_config_forgot_is_known_again_once_it_is_back() {
    let both: &[(&str, &[&str])] = &[("hall", &["m1", "m2"])];
    let one: &[(&str, &[&str])] = &[("hall", &["m1"])];
    let record = of(Phase::Asleep, &["m1", "m2"]);
    let [first, second, back, again] = starts(&[("hall", record)], [one, one, both, both]);
    for after in [first, second] {
        assert_eq!(named(&after["hall"]), ["m1"]);
        assert_eq!(
            after.iter().filter(|(name, _)| *name != "hall").map(|(_, left)| named(left)).next(),
            Some(vec!["m2"])
        );
    }
    for after in [back, again] {
        assert_eq!((after.len(), after["hall"].phase, named(&after["hall"])), (1, Phase::Asleep, vec!["m1", "m2"]));
    }
}

#[test]
fn what_a_dry_run_held_is_not_held_once_the_config_says_another_mode() {
    let names: Vec<Arc<str>> = ["a", "b", "c"].map(Arc::from).to_vec();
    let mut book = Book {
        records: ["a", "b"].map(|name| (name.to_owned(), of(Phase::ManualHold, &["m1"]))).into(),
        orders: [("b".to_owned(), Control::Hold { why: "a look".into() })].into(),
        ..Book::default()
    };
    let mut held = |then: Mode, by_hand: Option<Mode>, now| {
        book.settings = [(MODE_OF_CONFIG.to_owned(), then.label().to_owned())].into();
        book.settings.extend(by_hand.map(|mode| (MODE.to_owned(), mode.label().to_owned())));
        held_by_a_dry_run(now, &Purpose::Control, &book, &names)
    };
    let released = [Input::Person(0, Person::Release)];
    assert_eq!(held(Mode::DryRun, None, Mode::Active), released, "but for what a person holds");
    assert_eq!(held(Mode::Active, Some(Mode::DryRun), Mode::Advise), released);
    assert_eq!(held(Mode::DryRun, None, Mode::DryRun), []);
    assert_eq!(held(Mode::Active, Some(Mode::DryRun), Mode::Active), [], "it is a dry run still");
    assert_eq!(held(Mode::Active, None, Mode::Advise), [], "devices that somebody else wakes are a person's");
    assert_eq!(held(Mode::DryRun, Some(Mode::Active), Mode::Active), []);
}
