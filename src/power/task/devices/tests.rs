use super::*;
use crate::config::{Config, ProcessEnv};

/// A group `a` by worker names with two devices that the config names, a group `b` by networks, a group `c` that nothing can move.
fn config() -> Config {
    let text = "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"sim://\"\nuser = \"u\"\n[profit]\nsignal = \"v\"\n\
        [[group]]\nname = \"a\"\nnameplate = \"3500 W\"\nworkers = \"farm.*\"\n[group.actuator]\nkind = \"simulated\"\n\
        url = \"http://127.0.0.1:9400\"\n\
        [[group.device]]\nname = \"one\"\naddress = \"10.0.0.1\"\n[[group.device]]\nname = \"two\"\nworker = \"other.2\"\n\
        [[group]]\nname = \"b\"\nnameplate = \"3500 W\"\nsubnets = [\"10.0.0.0/8\"]\n[group.actuator]\nkind = \"simulated\"\n\
        url = \"http://127.0.0.1:9400\"\n[[group]]\nname = \"c\"\n\
        [[signal]]\nname = \"v\"\nkind = \"push\"\nunit = \"verdict\"\nmax_age = \"1h\"\n";
    Config::parse(text, &ProcessEnv { folder: ".".into() }).unwrap_or_else(|errors| panic!("{errors}")).0
}

fn devices() -> Devices {
    let config = config();
    let (profit, power) = (config.profit.unwrap(), config.power.unwrap());
    let names = profit.groups.iter().map(|group| group.name.clone());
    Devices::new(&names.zip(power.groups.iter().map(Option::as_ref)).collect::<Vec<_>>())
}

fn at(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn then(day: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + 86_400 * day).unwrap()
}

fn see(devices: &mut Devices, address: &str, user: &str) -> Seen {
    devices.see(at(address), Some(&user.into()), |_, _| false)
}

fn key(group: usize, device: usize) -> DeviceKey {
    DeviceKey { group, device }
}

#[test]
fn a_connection_is_known_by_its_worker_then_by_its_address() {
    let mut devices = devices();
    assert_eq!(see(&mut devices, "10.0.0.1", "who.ever"), Seen::Known(key(0, 0)));
    assert_eq!(see(&mut devices, "::ffff:10.0.0.1", "who.ever"), Seen::Known(key(0, 0)));
    assert_eq!(see(&mut devices, "10.0.0.1", "other.2"), Seen::Known(key(0, 1)), "the worker counts more");
    assert_eq!(devices.target(key(0, 1)).unwrap().address, Some(at("10.0.0.1")), "where it was seen");
    assert_eq!(see(&mut devices, "10.0.0.77", "other.2"), Seen::Known(key(0, 1)));
    assert_eq!(devices.target(key(0, 1)).unwrap().address, Some(at("10.0.0.77")), "it is elsewhere now");
    // What the config says of an address, no connection changes.
    assert_eq!(devices.target(key(0, 0)).unwrap().address, Some(at("10.0.0.1")));
}

#[test]
fn the_first_group_that_fits_finds_a_device_and_names_it_by_what_it_is_known_by() {
    let mut devices = devices();
    assert_eq!(devices.see(at("10.0.0.9"), None, |_, _| false), Seen::Nobody, "it has not said who it is");
    let Seen::New(0, by_worker) = see(&mut devices, "10.0.0.9", "farm.9") else { panic!("it is a's") };
    assert_eq!((&*by_worker.name, &*by_worker.group, by_worker.worker.as_deref()), ("farm.9", "a", Some("farm.9")));
    let Seen::New(1, by_address) = see(&mut devices, "10.0.0.9", "them") else { panic!("it is b's") };
    assert_eq!((&*by_address.name, by_address.worker.as_deref()), ("10.0.0.9", None));
    assert_eq!(see(&mut devices, "192.168.0.1", "them"), Seen::Nobody);
    assert_eq!(devices.add(0, &by_worker), Some(key(0, 2)));
    assert_eq!(devices.add(0, &by_worker), None, "there is one");
    assert_eq!(devices.add(1, &by_address), Some(key(1, 0)));
    assert_eq!(see(&mut devices, "10.0.0.9", "farm.9"), Seen::Known(key(0, 2)));
    let Seen::Moved(moved, found) = see(&mut devices, "10.9.9.9", "farm.9") else { panic!("it moved") };
    assert_eq!((moved, found.address), (key(0, 2), Some(at("10.9.9.9"))));
    assert_eq!(devices.keys().count(), 4);
}

#[test]
fn what_was_found_is_there_after_a_restart_unless_the_config_names_it() {
    let mut devices = devices();
    let found = |group: &str, name: &str, worker: Option<&str>| Found {
        group: group.into(),
        name: name.into(),
        address: Some(at("10.0.0.5")),
        worker: worker.map(Arc::from),
    };
    devices.restore(
        &[
            found("a", "farm.5", Some("farm.5")),
            found("a", "two", Some("x")),
            found("b", "other.2", Some("other.2")),
            found("gone", "g", None),
            found("c", "load", None),
            found("b", "10.0.0.5", None),
        ],
        &[],
        then(0),
    );
    let names: Vec<Vec<_>> = (0..3).map(|group| devices.of(group).map(|(target, _)| &*target.name).collect()).collect();
    assert_eq!(names, [vec!["one", "two", "farm.5"], vec!["10.0.0.5"], vec![]]);
    assert_eq!(see(&mut devices, "10.0.0.5", "who"), Seen::Known(key(1, 0)));
}

#[test]
fn what_was_found_by_a_group_of_another_name_is_the_groups_that_would_find_it_now() {
    let mut devices = devices();
    let found = |name: &str, address: &str, worker: Option<&str>| {
        let (address, worker) = (Some(at(address)), worker.map(Arc::from));
        Found { group: "gone".into(), name: name.into(), address, worker }
    };
    devices.restore(
        &[
            found("farm.6", "192.168.0.6", Some("farm.6")),
            found("10.0.0.6", "10.0.0.6", None),
            found("192.168.0.7", "192.168.0.7", None),
        ],
        &[],
        then(0),
    );
    let names: Vec<Vec<_>> = (0..3).map(|group| devices.of(group).map(|(target, _)| &*target.name).collect()).collect();
    assert_eq!(names, [vec!["one", "two", "farm.6"], vec!["10.0.0.6"], vec![]]);
}

#[test]
fn there_are_no_more_devices_than_may_be() {
    let mut devices = devices();
    devices.most = 3;
    let Seen::New(_, found) = see(&mut devices, "10.0.0.9", "farm.9") else { panic!("one more may be") };
    assert!(devices.add(0, &found).is_some());
    assert_eq!(see(&mut devices, "10.0.0.10", "farm.10"), Seen::Nobody);
    assert_eq!(devices.add(1, &Found { name: "10.1.1.1".into(), ..found }), None);
    assert_eq!(devices.len(), 3);
}

/// Finds a machine.
fn find(devices: &mut Devices, address: &str, user: &str) -> DeviceKey {
    let Seen::New(group, found) = see(devices, address, user) else { panic!("{user} at {address} is new") };
    let key = devices.add(group, &found).expect("there is room");
    assert_eq!(see(devices, address, user), Seen::Known(key));
    key
}

#[test]
fn a_machine_that_is_known_by_its_address_is_the_same_at_another_if_it_alone_has_its_user() {
    let mut devices = devices();
    let first = find(&mut devices, "10.0.0.5", "rig5");
    let here =
        |devices: &mut Devices, address: &str, user: &str| devices.see(at(address), Some(&user.into()), |_, _| true);
    assert!(
        matches!(here(&mut devices, "10.0.0.9", "rig5"), Seen::New(..)),
        "the first is where it was: this is another"
    );
    assert_eq!(see(&mut devices, "10.0.0.9", "rig5"), {
        let (name, address): (Arc<str>, _) = ("10.0.0.5".into(), Some(at("10.0.0.9")));
        Seen::Moved(first, Found { group: "b".into(), name, address, worker: None })
    });
    assert_eq!(devices.len(), 3, "not counted twice");
    assert_eq!(see(&mut devices, "10.0.0.9", "rig5"), Seen::Known(first));
    // Its old address is somebody else's now, who has another name.
    let second = find(&mut devices, "10.0.0.5", "rig6");
    assert_eq!(&*devices.target(second).unwrap().name, "10.0.0.5#2");
    // Two with one user: nobody knows who moved.
    let third = find(&mut devices, "10.0.0.7", "rig7");
    let fourth = here(&mut devices, "10.0.0.8", "rig7");
    let Seen::New(_, found) = fourth else { panic!("{fourth:?}") };
    devices.add(1, &found);
    here(&mut devices, "10.0.0.8", "rig7");
    assert!(matches!(see(&mut devices, "10.0.0.11", "rig7"), Seen::New(..)));
    assert_eq!(devices.target(third).unwrap().address, Some(at("10.0.0.7")));
}

#[test]
fn what_is_known_of_users_and_sightings_outlives_a_restart() {
    let mut before = devices();
    let key = find(&mut before, "10.0.0.5", "rig5");
    before.note(key, then(3));
    before.note(key, then(2));
    let moved = see(&mut before, "10.0.0.9", "rig5");
    let Seen::Moved(_, found) = moved else { panic!("{moved:?}") };
    let mut after = devices();
    after.restore(std::slice::from_ref(&found), &before.sightings(), then(9));
    let key = after.find("10.0.0.5").unwrap();
    assert_eq!((after.seen(key), after.is_found(key)), (Some(then(3)), true));
    assert_eq!(see(&mut after, "10.0.0.9", "rig5"), Seen::Known(key));
    assert!(matches!(see(&mut after, "10.0.0.10", "rig5"), Seen::Moved(..)));
    // Of an older ledger, which has none: seen at the start.
    let mut old = devices();
    old.restore(&[found], &[], then(9));
    let key = old.find("10.0.0.5").unwrap();
    assert_eq!(old.seen(key), Some(then(9)));
    assert_eq!((old.is_found(DeviceKey { group: 0, device: 0 }), old.sightings().len()), (false, 1));
}

#[test]
fn a_forgotten_machine_is_nobody_and_is_found_again() {
    let mut devices = devices();
    let (by_worker, by_address) = (find(&mut devices, "10.0.0.9", "farm.9"), find(&mut devices, "10.0.0.5", "rig5"));
    for key in [by_worker, by_address] {
        devices.forget(key);
        assert_eq!((devices.target(key), devices.is_found(key)), (None, false));
    }
    assert_eq!((devices.len(), devices.keys().count(), devices.sightings().len()), (2, 2, 0));
    let again = find(&mut devices, "10.0.0.9", "farm.9");
    assert_eq!(again, DeviceKey { group: 0, device: by_worker.device + 1 }, "no place is given twice");
    let again = find(&mut devices, "10.0.0.6", "rig5");
    assert_eq!(&*devices.target(again).unwrap().name, "10.0.0.6", "who is forgotten did not move");
}

#[test]
fn two_machines_with_one_user_name_are_two_where_they_can_be_told_apart() {
    let text = "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"sim://\"\nuser = \"u\"\n[profit]\nsignal = \"v\"\n\
        [[signal]]\nname = \"v\"\nkind = \"push\"\nunit = \"verdict\"\nmax_age = \"1h\"\n\
        [[group]]\nname = \"a\"\nnameplate = \"3500 W\"\nworkers = \"farm.*\"\n[group.actuator]\n";
    let by = |actuator: &str| {
        let parsed = Config::parse(&format!("{text}{actuator}\n"), &ProcessEnv { folder: ".".into() });
        let power = parsed.unwrap_or_else(|errors| panic!("{errors}")).0.power.unwrap();
        Devices::new(&[("a".into(), power.groups[0].as_ref())])
    };
    let ways = |place: &str| {
        format!(
            "kind = \"exec\"\nsleep = [\"/bin/asic\", \"off\", \"{place}\"]\nwake = [\"/bin/asic\", \"on\", \"{place}\"]"
        )
    };
    for (actuator, is_apart) in [("kind = \"luxos\"".to_owned(), true), (ways("{ip}"), true), (ways("{worker}"), false)]
    {
        let mut devices = by(&actuator);
        let first = find(&mut devices, "10.0.0.1", "farm.1");
        let user: Arc<str> = "farm.1".into();
        let rival = devices.see(at("10.0.0.2"), Some(&user), |_, _| true);
        assert_eq!(rival, Seen::Rival(first));
        let namesake = devices.namesake(first, at("10.0.0.2"));
        assert_eq!(devices.tells_namesakes_apart(first), is_apart);
        if !is_apart {
            assert_eq!(namesake, Seen::Nobody, "{actuator}");
            continue;
        }
        let Seen::New(0, found) = namesake else { panic!("{namesake:?}") };
        assert_eq!((&*found.name, found.worker.as_deref()), ("farm.1@10.0.0.2", Some("farm.1")));
        let second = devices.add(0, &found).unwrap();
        for (address, key) in [("10.0.0.1", first), ("10.0.0.2", second)] {
            assert_eq!(devices.see(at(address), Some(&user), |_, _| true), Seen::Known(key));
        }
        // One of them moves: it is the one that is not where it was.
        let moved = devices.see(at("10.0.0.3"), Some(&user), |key, _| key == first);
        assert!(matches!(moved, Seen::Moved(key, _) if key == second), "{moved:?}");
        // Both are known after a restart.
        let mut after = by(&actuator);
        let one =
            Found { group: "a".into(), name: user.clone(), address: Some(at("10.0.0.1")), worker: Some(user.clone()) };
        after.restore(&[one, found], &[], then(0));
        assert_eq!(after.len(), 2);
    }
}
