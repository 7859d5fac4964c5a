use super::*;
use crate::{
    config::{Config, ProcessEnv},
    router::{Judgements, Settled},
};

fn devices() -> Devices {
    let text = "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"sim://\"\nuser = \"u\"\n[profit]\nsignal = \"v\"\n\
        [[group]]\nname = \"a\"\nnameplate = \"3500 W\"\nworkers = \"farm.*\"\n[group.actuator]\nkind = \"simulated\"\n\
        url = \"http://127.0.0.1:9400\"\n\
        [[signal]]\nname = \"v\"\nkind = \"push\"\nunit = \"verdict\"\nmax_age = \"1h\"\n";
    let (config, _) = Config::parse(text, &ProcessEnv { folder: ".".into() }).unwrap();
    let power = config.power.unwrap();
    Devices::new(&[("a".into(), power.groups[0].as_ref())])
}

fn id(connection: u64) -> ConnectionId {
    ConnectionId { worker: 0, key: connection }
}

fn report(connection: u64, forwarded: u64) -> MinerReport {
    MinerReport {
        user: Some("farm.1".into()),
        firmware: "x",
        shares: Judgements { found: 2 * forwarded, ..Judgements::default() },
        forwarded,
        ..MinerReport::new(id(connection), "10.0.0.1".parse().unwrap(), std::time::Instant::now())
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

const KEY: DeviceKey = DeviceKey { group: 0, device: 0 };

#[test]
fn shares_of_all_connections_of_a_device_add_up_from_when_it_is_known() {
    let (mut devices, mut miners) = (devices(), Miners::default());
    let told = miners.take(
        at(0),
        &Census { miners: vec![report(1, 5), report(2, 1)], ..Census::default() },
        &mut devices,
        |_| false,
    );
    assert_eq!((told.found.len(), told.shares.len()), (1, 0), "two connections, one new device");
    assert_eq!(devices.add(0, &told.found[0].1), Some(KEY));
    // What was sent on before it was known is not missed when it is settled.
    let settled = |accepted, rejected| vec![(id(1), Settled { accepted, rejected, lost: 0 })];
    let census = Census { miners: vec![report(1, 3), report(2, 4)], settled: settled(6, 1), ..Census::default() };
    let told = miners.take(at(1), &census, &mut devices, |_| false);
    let shares = Shares { found: 14, submitted: 7, accepted: 1, rejected: 1, timed_out: 0 };
    assert_eq!(told.shares, HashMap::from([(KEY, shares)]));
    // The last word on a connection that is gone.
    let gone = MinerReport { is_gone: true, ..report(1, 1) };
    let told = miners.take(at(2), &Census { miners: vec![gone], ..Census::default() }, &mut devices, |_| false);
    assert_eq!(told.shares[&KEY].submitted, 1);
    let told = miners.take(
        at(3),
        &Census { miners: Vec::new(), settled: settled(3, 0), ..Census::default() },
        &mut devices,
        |_| false,
    );
    assert_eq!(told.shares[&KEY].accepted, 3);
    let late = at(4 + AFTER_GONE.as_secs() as i64);
    miners.take(late, &Census::default(), &mut devices, |_| false);
    assert_eq!(miners.connections.len(), 1, "what is gone for long is forgotten");
}

#[test]
fn connections_are_let_sleep_once_and_woken_once() {
    let (mut devices, mut miners) = (devices(), Miners::default());
    let census = Census { miners: vec![report(1, 0), report(2, 0)], ..Census::default() };
    let told = miners.take(at(0), &census, &mut devices, |_| false);
    devices.add(0, &told.found[0].1);
    miners.take(at(1), &census, &mut devices, |_| false);
    assert_eq!(miners.turn(true, |key| key == KEY).len(), 2);
    assert_eq!(miners.turn(true, |key| key == KEY), []);
    assert_eq!(miners.turn(false, |_| true).len(), 2);
    assert_eq!(miners.turn(false, |_| true), []);
}

#[test]
fn efficiency_is_measured_over_the_window_and_only_while_it_mines() {
    let (mut devices, mut miners) = (devices(), Miners::default());
    let told = miners.take(at(0), &Census { miners: vec![report(1, 0)], ..Census::default() }, &mut devices, |_| false);
    devices.add(0, &told.found[0].1);
    let watts = Watts::new(3_000.0).unwrap();
    let window = WINDOW.as_secs() as i64;
    // 100 TH/s, in difficulty 1 shares.
    let work = 100e12 / HASHES_PER_DIFFICULTY;
    let mut mine = |miners: &mut Miners, from: i64, to: i64| {
        for second in from..=to {
            miners.measured(at(second), KEY, watts, true);
            let census = Census {
                miners: vec![MinerReport { shares: Judgements { work, ..Judgements::default() }, ..report(1, 0) }],
                ..Census::default()
            };
            miners.take(at(second), &census, &mut devices, |_| false);
        }
    };
    mine(&mut miners, 1, window);
    assert_eq!(miners.efficiencies(at(window)), [], "not long enough");
    mine(&mut miners, window + 1, window + 1);
    let [(key, efficiency)] = miners.efficiencies(at(window + 1))[..] else { panic!("it is measured") };
    assert_eq!(key, KEY);
    assert!((efficiency.get() - 30.0).abs() < 0.1, "{efficiency}");
    assert!((miners.efficiency(0).unwrap().get() - 30.0).abs() < 0.1);
    // Asleep, it begins anew, and what was measured last stays.
    miners.measured(at(window + 2), KEY, Watts::new(20.0).unwrap(), false);
    mine(&mut miners, window + 3, 2 * window);
    assert_eq!(miners.efficiencies(at(2 * window)), []);
    assert!(miners.efficiency(0).is_some());
}

#[test]
fn miners_are_counted_as_soon_as_something_moves() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut census = Due::at_once(start);
    census.begins(at(0));
    census.looks(at(900), false);
    assert_eq!(census.at, at(10_000), "nothing moves");
    census.looks(at(1_000), true);
    assert_eq!(census.at, at(1_000), "what is found from here on is the drain's");
    census.begins(at(1_000));
    census.looks(at(1_250), true);
    assert_eq!(census.at, at(2_000), "and each second while it lasts");
    census.looks(at(1_500), false);
    census.begins(at(2_000));
    assert_eq!(census.at, at(12_000));
}

#[test]
fn a_machine_is_woken_where_it_was_put_to_sleep_whoever_else_mines_with_its_name() {
    let (mut devices, mut miners) = (devices(), Miners::default());
    let from =
        |connection, peer: &str, is_gone| MinerReport { peer: peer.parse().unwrap(), is_gone, ..report(connection, 1) };
    let census = |miners| Census { miners, ..Census::default() };
    let told = miners.take(at(0), &census(vec![from(1, "10.0.0.1", false)]), &mut devices, |_| false);
    devices.add(0, &told.found[0].1);
    let both = [from(1, "10.0.0.1", false), from(2, "10.0.0.2", false)];
    let told = miners.take(at(1), &census(both.to_vec()), &mut devices, |_| false);
    assert_eq!((told.shares[&KEY].submitted, told.moved.len()), (1, 0), "the other's shares are not its");
    assert_eq!(devices.target(KEY).unwrap().address, Some("10.0.0.1".parse().unwrap()));
    assert_eq!(miners.rivals.len(), 1);
    // Once it is gone, the name is the other's: a machine that was given another address.
    miners.take(at(2), &census(vec![from(1, "10.0.0.1", true)]), &mut devices, |_| false);
    let told = miners.take(at(3), &census(vec![from(2, "10.0.0.2", false)]), &mut devices, |_| false);
    assert_eq!((told.shares[&KEY].submitted, told.moved.len()), (1, 1));
    assert_eq!(devices.target(KEY).unwrap().address, Some("10.0.0.2".parse().unwrap()));
}

fn from(connection: u64, peer: &str, is_gone: bool) -> MinerReport {
    MinerReport { peer: peer.parse().unwrap(), is_gone, ..report(connection, 1) }
}

fn census(miners: Vec<MinerReport>) -> Census {
    Census { miners, ..Census::default() }
}

#[test]
fn who_still_answers_where_it_was_put_to_sleep_has_not_moved() {
    let (mut devices, mut miners) = (devices(), Miners::default());
    let told = miners.take(at(0), &census(vec![from(1, "10.0.0.1", false)]), &mut devices, |_| true);
    devices.add(0, &told.found[0].1);
    miners.take(at(1), &census(vec![from(1, "10.0.0.1", false)]), &mut devices, |_| true);
    // It lets go of its connection, and somebody else comes with its name.
    miners.take(at(2), &census(vec![from(1, "10.0.0.1", true)]), &mut devices, |_| true);
    assert!(miners.connected().is_empty());
    assert_eq!(devices.seen(KEY), Some(at(2)));
    let told = miners.take(at(3), &census(vec![from(2, "10.0.0.2", false)]), &mut devices, |_| true);
    assert_eq!((told.moved.len(), miners.connected().len()), (0, 0), "it answers at its address");
    let told = miners.take(at(4), &census(vec![from(2, "10.0.0.2", false)]), &mut devices, |_| false);
    assert_eq!((told.moved.len(), miners.connected().len()), (1, 1), "it does not any more: it is this one");
    // Where somebody else mines now, nobody answers for it.
    miners.take(at(5), &census(vec![from(2, "10.0.0.2", true)]), &mut devices, |_| true);
    let other = MinerReport { user: Some("other".into()), ..from(3, "10.0.0.2", false) };
    let told = miners.take(at(6), &census(vec![other, from(4, "10.0.0.3", false)]), &mut devices, |_| true);
    assert_eq!(told.moved.len(), 1);
    assert_eq!(devices.target(KEY).unwrap().address, Some("10.0.0.3".parse().unwrap()));
}

#[test]
fn a_namesake_is_a_machine_of_its_own_when_both_were_there_for_long() {
    let text = "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"sim://\"\nuser = \"u\"\n[profit]\nsignal = \"v\"\n\
        [[group]]\nname = \"a\"\nnameplate = \"3500 W\"\nworkers = \"farm.*\"\n[group.actuator]\nkind = \"luxos\"\n\
        [[signal]]\nname = \"v\"\nkind = \"push\"\nunit = \"verdict\"\nmax_age = \"1h\"\n";
    let (config, _) = Config::parse(text, &ProcessEnv { folder: ".".into() }).unwrap();
    let mut devices = Devices::new(&[("a".into(), config.power.unwrap().groups[0].as_ref())]);
    let mut miners = Miners::default();
    let both = || census(vec![from(1, "10.0.0.1", false), from(2, "10.0.0.2", false)]);
    let told = miners.take(at(0), &census(vec![from(1, "10.0.0.1", false)]), &mut devices, |_| false);
    devices.add(0, &told.found[0].1);
    let long = RIVAL_FOR.as_secs() as i64;
    // A machine that moved leaves a connection behind that passes for a live one for a while.
    for second in [1, long] {
        let told = miners.take(at(second), &both(), &mut devices, |_| false);
        assert_eq!((told.found.len(), miners.connected().len()), (0, 1));
    }
    let told = miners.take(at(1 + long), &both(), &mut devices, |_| false);
    assert_eq!(&*told.found[0].1.name, "farm.1@10.0.0.2");
    devices.add(0, &told.found[0].1);
    let told = miners.take(at(2 + long), &both(), &mut devices, |_| false);
    assert_eq!((told.shares.len(), miners.connected().len()), (2, 2), "each has its own shares");
}

#[test]
fn whom_a_power_side_before_let_sleep_can_be_woken_by_the_next() {
    let (mut devices, mut miners) = (devices(), Miners::default());
    let census = Census { miners: vec![report(1, 1), report(2, 1)], ..Census::default() };
    let told = miners.take(at(0), &census, &mut devices, |_| false);
    devices.add(0, &told.found[0].1);
    miners.take(at(1), &census, &mut devices, |_| false);
    assert_eq!(miners.asleep(), HashSet::new());
    let mut turned = miners.turn(true, |key| key == KEY);
    turned.sort_by_key(|id| id.key);
    assert_eq!(turned, [id(1), id(2)]);

    // The next knows it before it has counted them, and a third of the same device that is awake.
    let mut next = Miners::after(miners.asleep());
    assert_eq!(next.asleep(), HashSet::from([id(1), id(2)]));
    assert_eq!(next.turn(false, |_| true), [], "whose they are is not known yet");
    let gone = MinerReport { is_gone: true, ..report(2, 0) };
    let census = Census { miners: vec![report(1, 1), gone, report(3, 1)], ..Census::default() };
    next.take(at(2), &census, &mut devices, |_| false);
    assert_eq!(next.asleep(), HashSet::from([id(1)]));
    assert_eq!(next.turn(false, |_| true), [id(1)]);
    assert_eq!(next.asleep(), HashSet::new());
}
