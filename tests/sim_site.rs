//! A simulated site over real sockets: what its API says, what its machines do with their connections, and that no share is lost when
//! they sleep and wake.

use std::net::SocketAddr;
use std::time::Duration;

use hashgate::sim::miner::profile::{ANTMINER_S21, CGMINER, WHATSMINER};
use hashgate::sim::miner::{AsleepSocket, MinerHandle, MinerSettings, Pace, Profile};
use hashgate::sim::pool::{PoolSettings, SimPool};
use hashgate::sim::prices::PriceFeed;
use hashgate::sim::site::{AiDraw, Answer, Command, Lie, SimGroup, SimSite, SimSiteSettings};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// A share in 43 hashes.
const DIFFICULTY: f64 = 1e-8;

async fn pool() -> SimPool {
    SimPool::start(PoolSettings { difficulty: DIFFICULTY, ..PoolSettings::default() }).await.expect("a pool")
}

async fn site(change: impl FnOnce(&mut SimSiteSettings)) -> SimSite {
    let groups = vec![SimGroup { hashrate: 200.0, ..SimGroup::new("old", 4, 30.0, 3000.0) }];
    let mut settings = SimSiteSettings { groups, time_scale: 100.0, ..SimSiteSettings::default() };
    change(&mut settings);
    SimSite::start(settings).await.expect("a site")
}

/// One request on a connection of its own; status and answer.
async fn ask(server: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(server).await.expect("it listens");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: site\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).expect("JSON"))
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited {PATIENCE:?} until {what}");
}

#[tokio::test]
async fn the_api_says_what_the_readme_says() {
    let site = site(|settings| {
        settings.base_load = 5e3;
        settings.cap = Some(20e3);
        settings.ai = Some(AiDraw::new(|| 1000.0));
    })
    .await;
    let addr = site.addr();
    let (status, asic) = ask(addr, "GET", "/asics/old.0001", "").await;
    assert_eq!((status, &asic["mode"], &asic["state"]), (200, &json!("normal"), &json!("mining")));
    assert!(asic["watts"].as_f64().is_some_and(|watts| watts > 2500.0), "{asic}");
    let (status, meter) = ask(addr, "GET", "/meter", "").await;
    assert_eq!(status, 200);
    assert!(meter["watts"].as_f64().is_some_and(|watts| (12e3..25e3).contains(&watts)), "{meter}");
    assert!(meter["at"].as_str().is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()), "{meter}");

    assert_eq!(ask(addr, "POST", "/asics/old.0001/sleep", "").await, (200, json!({"ok": true})));
    until("it sleeps", || site.report().counts.asleep == 1).await;
    let (_, asic) = ask(addr, "GET", "/asics/old.0001", "").await;
    assert_eq!(asic["state"], "asleep");
    assert!(asic["watts"].as_f64().is_some_and(|watts| watts < 50.0), "{asic}");
    assert_eq!(ask(addr, "POST", "/asics/old.0001/wake", r#"{"mode":"low"}"#).await.0, 200);
    until("it mines", || site.report().counts.mining == 4).await;
    assert_eq!(ask(addr, "GET", "/asics/old.0001", "").await.1["mode"], "low");

    let (status, report) = ask(addr, "GET", "/report", "").await;
    assert_eq!(
        (status, &report["mining"], &report["asleep"], &report["cap"]),
        (200, &json!(4), &json!(0), &json!(20e3))
    );
    for key in
        ["watts", "peak_watts", "over_cap_seconds", "longest_over_cap_seconds", "seconds", "shares", "groups", "draw"]
    {
        assert!(!report[key].is_null(), "no {key} in {report}");
    }
    assert!((report["draw"]["ai"].as_f64().expect("a number") - 1230.0).abs() < 1e-6, "{report}");
}

#[tokio::test]
async fn faults_are_made_and_nonsense_is_refused() {
    let site = site(|_| {}).await;
    let addr = site.addr();
    let lie = |lie: Value| json!({"asic": "old.0002", "lie": lie}).to_string();
    assert_eq!(ask(addr, "POST", "/faults", &lie(json!("unreachable"))).await.0, 200);
    assert_eq!(ask(addr, "GET", "/asics/old.0002", "").await.0, 503);
    assert_eq!(ask(addr, "POST", "/asics/old.0002/sleep", "").await.0, 503);
    assert_eq!(ask(addr, "POST", "/faults", &lie(json!("objects"))).await.0, 200);
    let (status, said) = ask(addr, "POST", "/asics/old.0002/sleep", "").await;
    assert_eq!((status, &said["error"]), (409, &json!("already in sleep mode")));
    until("it sleeps all the same", || site.report().counts.asleep == 1).await;
    assert_eq!(ask(addr, "POST", "/faults", &lie(Value::Null)).await.0, 200);
    assert_eq!(site.report().liars, 0);

    assert_eq!(ask(addr, "POST", "/faults", r#"{"blip":true,"group":"old"}"#).await.0, 200);
    let (status, _) = ask(addr, "GET", "/asics/old.0002", "").await;
    assert_eq!(status, 503, "it boots and says nothing");
    until("it mines", || site.report().counts.mining == 4).await;

    for (method, path, body, status) in [
        ("GET", "/asics/new.0001", "", 404),
        ("POST", "/asics/old.0005/sleep", "", 404),
        ("GET", "/", "", 404),
        ("POST", "/asics/old.0001/wake", r#"{"mode":"turbo"}"#, 400),
        ("POST", "/asics/old.0001/wake", "[", 400),
        ("POST", "/faults", r#"{"asic":"old.0001","lie":"white"}"#, 400),
        ("POST", "/faults", r#"{"asic":"old.0009","lie":"late"}"#, 404),
        ("POST", "/faults", r#"{"blip":true,"group":"none"}"#, 404),
        ("POST", "/faults", "", 400),
    ] {
        let (said, answer) = ask(addr, method, path, body).await;
        assert_eq!(said, status, "{method} {path} {body}: {answer}");
        assert!(answer["error"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn who_is_late_answers_when_it_acts() {
    let site = site(|_| {}).await;
    let addr = site.addr();
    ask(addr, "POST", "/faults", r#"{"asic":"old.0003","lie":"late"}"#).await;
    let began = tokio::time::Instant::now();
    assert_eq!(ask(addr, "POST", "/asics/old.0003/sleep", "").await.0, 200);
    assert!(began.elapsed() >= Duration::from_millis(210), "{:?}", began.elapsed());
    until("it sleeps", || site.report().counts.asleep == 1).await;
}

/// A machine at work, by itself.
async fn machine(server: SocketAddr, profile: &'static Profile) -> MinerHandle {
    let settings = MinerSettings::new(server, "farm.0001", profile, Pace::SharesPerSecond(200.0));
    let miner = MinerHandle::start(MinerSettings { asleep_socket: profile.asleep_socket, resubmit: false, ..settings });
    until("it works", || miner.with_stats(|stats| stats.accepted) > 10).await;
    miner
}

#[tokio::test]
async fn asleep_a_machine_keeps_ignores_or_closes_its_socket_and_loses_no_share() {
    for (profile, socket) in
        [(&CGMINER, AsleepSocket::Kept), (&WHATSMINER, AsleepSocket::Unread), (&ANTMINER_S21, AsleepSocket::Closed)]
    {
        assert_eq!(profile.asleep_socket, socket);
        let pool = pool().await;
        let miner = machine(pool.addr(), profile).await;
        miner.sleep();
        let open = usize::from(socket != AsleepSocket::Closed);
        until("its shares are answered", || miner.is_settled()).await;
        until("its socket is as it should be", || pool.stats().connections.len() == open).await;
        let before = miner.stats();
        pool.new_block();
        sleep(Duration::from_millis(300)).await;
        let after = miner.stats();
        assert_eq!(after.sent, before.sent, "{}: it hashes asleep", profile.name);
        let heard = after.jobs > before.jobs;
        assert_eq!(heard, socket == AsleepSocket::Kept, "{}: {after:?}", profile.name);
        miner.wake();
        until("it works again", || miner.with_stats(|stats| stats.accepted) > before.accepted + 5).await;
        let stats = miner.stop(PATIENCE).await;
        let connects = if socket == AsleepSocket::Closed { 2 } else { 1 };
        assert_eq!((stats.connects, stats.lost, stats.unanswered()), (connects, 0, 0), "{}", profile.name);
        assert_eq!(stats.violation_count(), 0, "{}: {:?}", profile.name, stats.violations);
        // What it sent before it read of the new block is late, and no more than that.
        assert_eq!(stats.accepted + stats.stale, stats.sent, "{}: {stats:?}", profile.name);
        pool.shutdown().await;
    }
}

#[tokio::test]
async fn whose_power_goes_is_away_until_it_boots() {
    let pool = pool().await;
    let miner = machine(pool.addr(), &CGMINER).await;
    miner.power_off();
    until("its socket is gone", || pool.stats().connections.is_empty()).await;
    sleep(Duration::from_millis(600)).await;
    assert_eq!(pool.stats().connections_ever, 1, "it came back without power");
    until("it is settled", || miner.with_stats(|stats| stats.unanswered()) == 0).await;
    let off = miner.stats();
    assert_eq!((off.lost, off.disconnects), (0, 1));
    miner.sleep();
    until("it is booted", || miner.is_mining()).await;
    assert_eq!(miner.stats().sent, off.sent);
    miner.wake();
    until("it works", || miner.with_stats(|stats| stats.accepted) > off.accepted).await;
    let stats = miner.stop(PATIENCE).await;
    assert_eq!(stats.lost, 0);
    assert_eq!(stats.accepted + stats.cut_off, stats.sent, "{stats:?}");
    pool.shutdown().await;
}

#[tokio::test]
async fn a_thousand_machines_sleep_and_wake_and_no_share_is_lost() {
    const COUNT: usize = 1000;
    let pool = pool().await;
    let site = site(|settings| {
        settings.groups = vec![
            SimGroup { hashrate: 20.0, ..SimGroup::new("old", COUNT / 2, 30.0, 3000.0) },
            SimGroup { hashrate: 40.0, ..SimGroup::new("new", COUNT / 2, 15.0, 3000.0) },
        ];
        settings.connects_per_second = 5000.0;
    })
    .await;
    site.connect(pool.addr());
    until("all have a job", || site.with_job() == COUNT).await;
    until("shares come", || pool.stats().accepted > 500).await;
    for number in 1..=COUNT / 2 {
        assert_eq!(site.command(&format!("old.{number:04}"), Command::Sleep), Some(Answer::Ok));
    }
    until("half of them sleep", || site.report().counts.asleep == COUNT / 2).await;
    let is_settled = |name: String| site.machine(&name).is_some_and(MinerHandle::is_settled);
    until("their shares are answered", || (1..=COUNT / 2).all(|number| is_settled(format!("old.{number:04}")))).await;
    let old = |pool: &SimPool| {
        let workers = pool.stats().workers;
        workers.iter().filter(|(name, _)| name.starts_with("old.")).map(|(_, worker)| worker.accepted).sum::<u64>()
    };
    let (before, all) = (old(&pool), pool.stats().accepted);
    until("the others mine on", || pool.stats().accepted > all + 500).await;
    assert_eq!(old(&pool), before, "a sleeper sends shares");
    for number in 1..=COUNT / 2 {
        assert_eq!(site.command(&format!("old.{number:04}"), Command::Wake(None)), Some(Answer::Ok));
    }
    until("all mine", || site.report().counts.mining == COUNT && site.with_job() == COUNT).await;
    until("the woken find shares", || old(&pool) > before + 100).await;
    let report = site.stop(PATIENCE).await;
    let shares = report.shares;
    assert_eq!((shares.lost, shares.unanswered, shares.cut_off, shares.violations), (0, 0, 0, 0), "{report}");
    assert_eq!(shares.accepted + shares.rejected, shares.sent, "{report}");
    assert_eq!((pool.stats().accepted, shares.rejected), (shares.accepted, 0), "{report}");
    pool.shutdown().await;
}

#[tokio::test]
async fn a_site_that_makes_no_sense_is_refused() {
    let error = SimSite::start(SimSiteSettings::default()).await.expect_err("no machine");
    assert!(error.to_string().contains("0 ASICs"), "{error}");
    assert!("white".parse::<Lie>().is_err_and(|why| why.contains("stays-awake")));
}

#[tokio::test]
async fn prices_are_played_and_set_by_hand() {
    let feed = PriceFeed::start("127.0.0.1:0".parse().expect("an address")).await.expect("a feed");
    feed.play("power", vec![(Duration::ZERO, 30.0), (Duration::from_secs(3600), 90.0)]).expect("a good script");
    let (status, price) = ask(feed.addr(), "GET", "/power", "").await;
    assert_eq!((status, &price["value"]), (200, &json!(30.0)));
    assert!(price["observed_at"].as_str().is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()), "{price}");
    assert_eq!(ask(feed.addr(), "PUT", "/power", r#"{"value":55}"#).await.1["value"], 55.0);
    assert_eq!(feed.value("power"), Some(55.0));
    for (method, path, body, status) in
        [("GET", "/gas", "", 404), ("PUT", "/gas", r#"{"value":1}"#, 404), ("PUT", "/power", "{}", 400)]
    {
        assert_eq!(ask(feed.addr(), method, path, body).await.0, status, "{method} {path}");
    }
}
