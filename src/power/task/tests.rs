use std::path::Path;

use super::*;
use crate::{
    power::{
        group::{Command, Order},
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
    journal.set(&[(MODE, mode_label(Mode::Active)), (MODE_OF_CONFIG, mode_label(Mode::DryRun))]).unwrap();
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
    Record { number: 1, event: 1, phase: Phase::Asleep, order, since: time(-100), devices: Vec::new() }
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

#[test]
fn a_person_is_asked_once_for_all_machines_and_not_again_for_a_while() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut manual = Manual::default();
    let key = |device| DeviceKey { group: 0, device };
    manual.wants(at(0), key(1), Command::Sleep);
    manual.wants(at(1), key(2), Command::Sleep);
    assert_eq!(manual.ask(at(1)), None, "more may come");
    assert_eq!(manual.ask(at(2)), Some((Goal::Sleep, vec![key(1), key(2)])));
    // The same again, as nobody did it.
    manual.wants(at(60), key(1), Command::Sleep);
    assert_eq!(manual.ask(at(599)), None);
    manual.wants(at(599), key(3), Command::Sleep);
    assert_eq!(manual.ask(at(601)), Some((Goal::Sleep, vec![key(1), key(3)])), "nobody was asked for the third");
    manual.wants(at(602), key(1), Command::Sleep);
    assert_eq!(manual.ask(at(1_200)), None);
    assert_eq!(manual.ask(at(1_201)), Some((Goal::Sleep, vec![key(1)])));
    // The other way is news.
    manual.wants(at(1_300), key(1), Command::Wake(None));
    assert_eq!(manual.ask(at(1_302)), Some((Goal::Mine, vec![key(1)])));
    assert_eq!(manual.ask(at(9_000)), None);
}
