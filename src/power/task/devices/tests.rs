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
    devices.restore(&[
        found("a", "farm.5", Some("farm.5")),
        found("a", "two", Some("x")),
        found("b", "other.2", Some("other.2")),
        found("gone", "g", None),
        found("c", "load", None),
        found("b", "10.0.0.5", None),
    ]);
    let names: Vec<Vec<_>> = (0..3).map(|group| devices.of(group).map(|target| &*target.name).collect()).collect();
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
    devices.restore(&[
        found("farm.6", "192.168.0.6", Some("farm.6")),
        found("10.0.0.6", "10.0.0.6", None),
        found("192.168.0.7", "192.168.0.7", None),
    ]);
    let names: Vec<Vec<_>> = (0..3).map(|group| devices.of(group).map(|target| &*target.name).collect()).collect();
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
