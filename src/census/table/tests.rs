use super::*;
use crate::census::{Query, Sort};

/// A clock for a table.
struct Scene {
    table: Table,
    start: Instant,
    seconds: u64,
}

impl Scene {
    fn new() -> Self {
        Self { table: Table::new(Placing::default()), start: Instant::now(), seconds: 0 }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.seconds)
    }

    fn census(&mut self, seconds: u64, miners: Vec<MinerReport>) {
        self.seconds += seconds;
        let at = Timestamp::from_second(1_800_000_000 + self.seconds as i64).unwrap();
        self.table.take(self.now(), at, &Census { miners, ..Census::default() });
    }

    fn report(&self, key: u64, user: &str, found: u64, stale: u32) -> MinerReport {
        let mut rejects = [0; Reject::COUNT];
        rejects[Reject::Stale.index()] = stale;
        MinerReport {
            user: Some(user.into()),
            agent: Some("bmminer/2".into()),
            shares: Judgements { found, work: 1000.0 * found as f64, rejects },
            last_share: Some(self.now()),
            ..MinerReport::new(ConnectionId { worker: 0, key }, [10, 0, 0, 1].into(), self.start)
        }
    }

    fn names(&self, query: &Query) -> Vec<String> {
        let page = self.table.page(self.now(), query);
        page.workers.iter().map(|worker| worker.name.to_string()).collect()
    }
}

/// What a thousandth of a worker's shares at difficulty 1000 each second is.
fn hashes(per_second: f64) -> f64 {
    per_second * 1000.0 * HASHES_PER_DIFFICULTY
}

#[test]
fn hashrates_follow_what_is_found_from_the_first_minute_and_forget_it() {
    let mut scene = Scene::new();
    scene.census(0, vec![scene.report(1, "a", 0, 0)]);
    for _ in 0..24 {
        scene.census(5, vec![scene.report(1, "a", 5, 0)]);
    }
    let rates =
        |scene: &Scene| scene.table.worker(scene.now(), "a").unwrap().hashrates.map(|rate| rate.hs() / hashes(1.0));
    // Two minutes of one share a second: the hour is set right for who came two minutes ago.
    for rate in rates(&scene) {
        assert!((0.9..1.1).contains(&rate), "{rate}");
    }
    for _ in 0..24 {
        scene.census(5, vec![scene.report(1, "a", 0, 0)]);
    }
    let [minute, ten, hour] = rates(&scene);
    assert!(minute < 0.2 && (0.3..0.7).contains(&ten) && (0.4..0.6).contains(&hour), "{minute} {ten} {hour}");
}

#[test]
fn a_worker_is_its_name_whatever_connections_it_has() {
    let mut scene = Scene::new();
    let other = |scene: &Scene| {
        let shares = Judgements { found: 2, work: 2000.0, ..Judgements::default() };
        MinerReport { others: [("b".into(), shares)].into(), ..scene.report(2, "a", 5, 1) }
    };
    scene.census(5, vec![scene.report(1, "a", 5, 0), other(&scene)]);
    let view = |scene: &Scene, name: &str| scene.table.worker(scene.now(), name).unwrap();
    let (a, b) = (view(&scene, "a"), view(&scene, "b"));
    assert_eq!((a.connections, a.totals.shares.found, a.totals.shares.of(Reject::Stale)), (2, 8, 1));
    assert_eq!((b.connections, b.totals.shares.found, b.agent.as_deref()), (1, 2, Some("bmminer/2")));
    let (changes, more) = scene.table.changes();
    assert_eq!((changes.len(), more), (2, 0));
    assert_eq!(changes[0].words, "connected from 10.0.0.1 with bmminer/2");
    let minutes: HashMap<_, _> =
        scene.table.minutes().into_iter().map(|of| (of.worker.to_string(), of.minute)).collect();
    assert_eq!((minutes["a"].shares.found, minutes["a"].connections, minutes["b"].shares.found), (8, 2, 2));
    // Pools' words on a connection are its first worker's, also after it is gone.
    scene.census(5, vec![scene.report(1, "a", 0, 0), MinerReport { is_gone: true, ..scene.report(2, "a", 1, 0) }]);
    let settled = vec![(ConnectionId { worker: 0, key: 2 }, Settled { accepted: 3, ..Settled::default() })];
    let (tick, at) = (scene.now(), Timestamp::from_second(1_800_000_005).unwrap());
    scene.table.take(tick, at, &Census { miners: vec![scene.report(1, "a", 0, 0)], settled, ..Census::default() });
    assert_eq!((view(&scene, "a").connections, view(&scene, "b").connections), (1, 0));
    assert_eq!((view(&scene, "a").totals.settled.accepted, view(&scene, "a").totals.shares.found), (3, 9));
    assert_eq!(scene.table.changes().0.iter().map(|change| change.is_online).collect::<Vec<_>>(), [false]);
}

#[test]
fn the_sick_are_found_and_sleepers_are_not_sick() {
    let mut scene = Scene::new();
    scene.table.placing = Placing::default();
    let asleep = |report: MinerReport| MinerReport { is_asleep: true, ..report };
    let all = |scene: &Scene, found: u64, stale: u32| {
        vec![
            scene.report(1, "well", found, 0),
            scene.report(2, "late", found, stale),
            asleep(scene.report(3, "sleeper", 1, 0)),
            scene.report(4, "goer", found, 0),
        ]
    };
    for _ in 0..10 {
        scene.census(5, all(&scene, 10, 1));
    }
    let sick = Query { is_sick: Some(true), limit: 10, ..Query::default() };
    assert_eq!(scene.names(&sick), ["late"]);
    let stays = vec![scene.report(1, "well", 10, 0), scene.report(2, "late", 10, 1)];
    scene.census(5, stays.clone());
    assert_eq!(scene.names(&sick), ["late"], "it may be back in a minute");
    scene.census(OFFLINE_AFTER.as_secs(), stays);
    assert_eq!(scene.names(&sick), ["goer", "late"], "who is gone first; a sleeper may go");
    let labels: Vec<_> = scene.table.find("goer").unwrap().sickness(scene.now()).labels().collect();
    assert_eq!(labels, ["offline"]);
    // One that should hash more than it does, once its firmware had its time.
    let index = scene.table.by_name["well"];
    scene.table.workers[index].placed.nameplate = Some(Hashrate::from_hs(hashes(2.0)));
    scene.census(5, vec![scene.report(1, "well", 5, 0)]);
    assert!(!scene.table.find("well").unwrap().sickness(scene.now()).has_low_hashrate, "too early");
    for _ in 0..SETTLED_AFTER.as_secs() / 5 {
        scene.census(5, vec![scene.report(1, "well", 5, 0)]);
    }
    assert!(scene.table.find("well").unwrap().sickness(scene.now()).has_low_hashrate);
    let summary = scene.table.summary(scene.now());
    assert_eq!((summary.workers, summary.online, summary.low_hashrate), (4, 1, 1));
}

#[test]
fn who_was_put_to_sleep_is_not_missed_though_its_firmware_hangs_up_and_is_if_it_does_not_come_back() {
    let mut scene = Scene::new();
    let all = |scene: &Scene| {
        vec![scene.report(1, "kept", 10, 0), scene.report(2, "hangs up", 10, 0), scene.report(3, "lost", 10, 0)]
    };
    for _ in 0..3 {
        scene.census(5, all(&scene));
    }
    let put_to_sleep = |workers: &[&str], addresses: &[[u8; 4]]| {
        let workers = workers.iter().map(|name| Arc::from(*name)).collect();
        Arc::new(Sleepers { workers, addresses: addresses.iter().map(|address| (*address).into()).collect() })
    };
    // It is gone before its connection hears that it sleeps.
    scene.table.set_sleepers(put_to_sleep(&["hangs up"], &[]));
    for _ in 0..30 {
        scene.census(5, vec![scene.report(1, "kept", 10, 0)]);
    }
    let sick = Query { is_sick: Some(true), limit: 10, ..Query::default() };
    assert_eq!(scene.names(&sick), ["lost"]);
    let view = |scene: &Scene, name: &str| scene.table.worker(scene.now(), name).unwrap();
    assert!(view(&scene, "hangs up").is_asleep && !view(&scene, "lost").is_asleep);
    let summary = scene.table.summary(scene.now());
    assert_eq!((summary.asleep, summary.sick, summary.offline, summary.counted), (1, 1, 1, 1));
    // Those that are known by their address.
    scene.table.set_sleepers(put_to_sleep(&[], &[[10, 0, 0, 1]]));
    assert_eq!(scene.names(&sick), [""; 0], "all are there");
    // It was woken, had its time, and is not back.
    scene.table.set_sleepers(Arc::default());
    assert_eq!(scene.names(&sick), ["hangs up", "lost"]);
    // Who was asleep by its connection's word and is to be up is missed too.
    let asleep = MinerReport { is_asleep: true, ..scene.report(1, "kept", 0, 0) };
    scene.table.set_sleepers(put_to_sleep(&["kept"], &[]));
    scene.census(5, vec![asleep.clone()]);
    for _ in 0..30 {
        scene.census(5, Vec::new());
    }
    assert_eq!(scene.names(&sick), ["hangs up", "lost"]);
    scene.table.set_sleepers(Arc::default());
    assert_eq!(scene.names(&sick), ["hangs up", "kept", "lost"]);
}

#[test]
fn what_a_machine_did_not_do_asleep_is_not_held_against_it() {
    let mut scene = Scene::new();
    let of =
        |scene: &Scene, found: u64, is_asleep: bool| vec![MinerReport { is_asleep, ..scene.report(1, "a", found, 0) }];
    scene.census(5, of(&scene, 5, false));
    let index = scene.table.by_name["a"];
    scene.table.workers[index].placed.nameplate = Some(Hashrate::from_hs(hashes(1.0)));
    let low = |scene: &Scene| scene.table.find("a").unwrap().sickness(scene.now()).has_low_hashrate;
    let minutes = |scene: &mut Scene, minutes: u64, found: u64, is_asleep: bool| {
        for _ in 0..minutes * 12 {
            scene.census(5, of(scene, found, is_asleep));
            assert!(!low(scene), "{} s", scene.seconds);
        }
    };
    minutes(&mut scene, 60, 5, false);
    // Two hours of sleep, and the way up.
    minutes(&mut scene, 120, 0, true);
    minutes(&mut scene, 60, 5, false);
    // Away for long, with all of its hashrate when it is back.
    for _ in 0..12 * 120 {
        scene.census(5, Vec::new());
    }
    minutes(&mut scene, 60, 5, false);
    // The same with half of it is seen as soon as firmware had its time.
    minutes(&mut scene, 120, 0, true);
    for _ in 0..SETTLED_AFTER.as_secs() / 5 + 1 {
        assert!(!low(&scene));
        scene.census(5, of(&scene, 2, false));
    }
    assert!(low(&scene));
    // One that comes and goes is not forgiven: what it did before still counts.
    for _ in 0..12 {
        scene.census(5, Vec::new());
    }
    for _ in 0..SETTLED_AFTER.as_secs() / 5 + 1 {
        scene.census(5, of(&scene, 5, false));
    }
    assert!(low(&scene), "an hour's average");
}

#[test]
fn names_are_bounded_and_nothing_is_lost_of_those_that_have_no_place() {
    let mut scene = Scene::new();
    scene.table.most = 3;
    let report = |scene: &Scene, name: &str, found| scene.report(name.len() as u64, name, found, 0);
    scene.census(5, vec![report(&scene, "a", 1), report(&scene, "bb", 1), report(&scene, "ccc", 0)]);
    // One that never found a share is forgotten with its connection; the room is the next one's.
    scene.census(5, vec![report(&scene, "a", 1), report(&scene, "bb", 1)]);
    assert!(scene.table.find("ccc").is_none());
    scene.census(
        5,
        vec![report(&scene, "a", 1), report(&scene, "bb", 1), report(&scene, "dddd", 1), report(&scene, "eeeee", 7)],
    );
    assert_eq!((scene.table.find("eeeee").is_none(), scene.table.unplaced()), (true, 1));
    assert_eq!(scene.table.others().shares.found, 7);
    // Who is gone gives way.
    scene.census(5, vec![report(&scene, "a", 1), report(&scene, "dddd", 1)]);
    scene.census(5, vec![report(&scene, "a", 1), report(&scene, "dddd", 1), report(&scene, "eeeee", 7)]);
    assert!(scene.table.find("bb").is_none() && scene.table.find("eeeee").is_some());
    assert_eq!(scene.table.others().shares.found, 3, "what it did in this minute, in three censuses, is kept");
}

#[test]
fn pages_are_sorted_filtered_and_bounded() {
    let mut scene = Scene::new();
    let reports: Vec<_> = (0..50_u64).map(|n| scene.report(n, &format!("farm.{n:02}"), n, 0)).collect();
    scene.census(5, reports);
    let by = |sort, is_reversed| Query { sort, is_reversed, offset: 1, limit: 2, ..Query::default() };
    assert_eq!(scene.names(&by(Sort::Name, false)), ["farm.01", "farm.02"]);
    assert_eq!(scene.names(&by(Sort::Name, true)), ["farm.48", "farm.47"]);
    assert_eq!(scene.names(&by(Sort::Shares, false)), ["farm.48", "farm.47"]);
    assert_eq!(scene.names(&by(Sort::Shares, true)), ["farm.01", "farm.02"]);
    let search = Query { search: Some("M.1".to_owned()), limit: 1000, ..Query::default() };
    let page = scene.table.page(scene.now(), &search);
    assert_eq!((page.total, page.workers.len()), (10, 10));
    assert_eq!(scene.table.page(scene.now(), &Query { offset: 99, limit: 5, ..Query::default() }).workers.len(), 0);
    assert_eq!(scene.names(&Query { limit: 0, ..Query::default() }).len(), 0);
    assert_eq!(scene.names(&Query { is_online: Some(false), limit: 9, ..Query::default() }).len(), 0);
}

/// Prints what it takes: `HASHGATE_CROWD=100000 cargo test --release --lib crowd_of_workers -- --nocapture`.
#[test]
fn a_crowd_of_workers_is_paged() {
    let crowd = std::env::var("HASHGATE_CROWD").ok().and_then(|crowd| crowd.parse().ok()).unwrap_or(1_000);
    let mut scene = Scene::new();
    let reports: Vec<_> = (0..crowd).map(|n| scene.report(n, &format!("farm.{n:06}"), n % 7, 0)).collect();
    for turn in 0..3 {
        let began = Instant::now();
        scene.census(5, reports.clone());
        println!("census {turn} of {crowd} workers: {:?} with its copy", began.elapsed());
    }
    for sort in [Sort::Sick, Sort::Name, Sort::Hashrate, Sort::LastShare] {
        let began = Instant::now();
        let page = scene.table.page(scene.now(), &Query { sort, limit: 100, ..Query::default() });
        println!("a page by {sort:?}: {:?}", began.elapsed());
        assert_eq!((page.total, page.workers.len()), (crowd as usize, 100));
    }
    println!("a summary: {:?}", {
        let began = Instant::now();
        assert_eq!(scene.table.summary(scene.now()).online, crowd as usize);
        began.elapsed()
    });
}
