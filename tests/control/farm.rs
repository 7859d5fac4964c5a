//! A proxy whose machines sleep, hang up and wake: who was put to sleep is not missed, and what simulated machines should hash is what they can.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode};
use hashgate::{
    app::Proxy,
    config::{Config, Env},
    sim::{
        pool::{PoolSettings, SimPool},
        site::{HASHES_PER_TERAHASH, SimGroup, SimSite, SimSiteSettings},
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    commands::{contains, hashgate},
    site::{CONTROL, LIMIT, READ, ask},
};

/// The first has firmware that hangs up when it goes to sleep (an Antminer S21), as has every fourth or so.
const MACHINES: usize = 6;

/// So easy that every fourth hash is a share.
const EASY: f64 = 1.0 / (1 << 30) as f64;

const EFFICIENCY: f64 = 20.0;
const NAMEPLATE: f64 = 3000.0;

struct Nothing;

impl Env for Nothing {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

struct Farm {
    proxy: Proxy,
    site: SimSite,
    pool: SimPool,
    _folder: TempDir,
}

impl Farm {
    async fn start() -> Self {
        let pool = SimPool::start(PoolSettings { difficulty: EASY, ..PoolSettings::default() }).await.unwrap();
        let groups = vec![SimGroup::new("hall", MACHINES, EFFICIENCY, NAMEPLATE)];
        let settings = SimSiteSettings { groups, time_scale: 40.0, ..SimSiteSettings::default() };
        let site = SimSite::start(settings).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[proxy]\nworkers = 1\nstate_file = \"\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {CONTROL:?}\nread_token = {READ:?}\n\
             [[listener]]\nlisten = \"127.0.0.1:0\"\nshares_per_minute = 60\ndifficulty = {EASY}\nmin_difficulty = {EASY}\n\
             [[pool]]\nname = \"eu\"\nurl = \"stratum+tcp://{}\"\nuser = \"u\"\n\
             [power]\nledger = {:?}\npoll = \"1s\"\npoll_moving = \"300ms\"\nmax_age = \"30s\"\ncommand_lifetime = \"10s\"\n\
             [profit]\nmode = \"active\"\nhashprice = \"50 USD/PH/day\"\nmin_asleep = \"0s\"\n\
             [site]\npower_price = \"40 USD/MWh\"\ncap = \"60 kW\"\n\
             [[group]]\nname = \"hall\"\nefficiency = \"{EFFICIENCY} J/TH\"\npower = \"18 kW\"\nworkers = \"hall.*\"\n\
             nameplate = \"{NAMEPLATE} W\"\nsleep_time = \"20s\"\nwake_time = \"60s\"\nbackoff = \"2s\"\nquiet = \"1s\"\nquiet_limit = \"5s\"\n\
             probe = \"20s\"\n[group.actuator]\nkind = \"simulated\"\nurl = \"http://{}\"\n",
            pool.addr(),
            folder.path().join("ledger.db"),
            site.addr(),
        );
        let (config, _) = Config::parse(&text, &Nothing).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let proxy = Proxy::start(config).await.unwrap();
        Self { proxy, site, pool, _folder: folder }
    }

    async fn page(&self, path: &str) -> Value {
        let (status, page) = ask(self.proxy.admin_address().unwrap(), Method::GET, path, Some(READ), "").await;
        assert_eq!(status, StatusCode::OK, "{path}: {page}");
        page
    }

    async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let page = self.page(path).await;
            if wanted(&page) {
                return page;
            }
            // A drain begins with one machine, and a wake boots them.
            assert!(begun.elapsed() < 3 * LIMIT, "{path}: {page:#}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn order(&self, order: &str) {
        let path = format!("/api/v1/groups/hall/{order}");
        let (status, plan) = ask(self.proxy.admin_address().unwrap(), Method::POST, &path, Some(CONTROL), "").await;
        assert_eq!(status, StatusCode::OK, "{plan}");
    }

    async fn said(&self, arguments: &[&str]) -> String {
        let url = format!("http://{}", self.proxy.admin_address().unwrap());
        let done = hashgate(arguments, &[("HASHGATE_URL", &url), ("HASHGATE_TOKEN", READ)]).await;
        assert_eq!(done.code, Some(0), "{done:?}");
        done.out
    }

    async fn end(self) {
        self.site.stop(Duration::from_secs(1)).await;
        self.proxy.shut_down(Duration::from_secs(1)).await;
        self.pool.shutdown().await;
    }
}

fn rows(page: &Value) -> &Vec<Value> {
    page["workers"].as_array().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_hangs_up_to_sleep_is_asleep_and_nobody_looks_for_it() {
    let farm = Farm::start().await;
    farm.site.connect(farm.proxy.addresses()[0]);
    let has_mined =
        |page: &Value| rows(page).iter().filter(|row| row["accepted"].as_u64() > Some(0)).count() == MACHINES;
    let page = farm.until("/api/v1/workers", has_mined).await;
    // What the config prints on them is what the simulation lets them hash.
    let truly = NAMEPLATE / EFFICIENCY * HASHES_PER_TERAHASH / 1e12;
    for row in rows(&page) {
        let nameplate = row["nameplate_ths"].as_f64().unwrap();
        assert!((nameplate / truly - 1.0).abs() < 1e-9, "{nameplate} is not {truly}: {row}");
    }

    farm.order("drain").await;
    let all_sleep = |page: &Value| rows(page).iter().all(|row| row["is_asleep"] == true);
    let has_hung_up = |page: &Value| rows(page).iter().any(|row| row["connections"] == 0);
    let page = farm.until("/api/v1/workers", |page| all_sleep(page) && has_hung_up(page)).await;
    assert_eq!((rows(&page).len(), &page["counts"]["sick"]), (MACHINES, &json!(0)), "{page:#}");
    let gone = rows(&page).iter().find(|row| row["connections"] == 0).unwrap();
    assert_eq!((&gone["sick"], &gone["words"]), (&json!([]), &json!(null)));
    let is_proven = |page: &Value| page["workers"]["asleep"] == MACHINES && page["power"]["asleep"] == MACHINES;
    farm.until("/api/v1/status", is_proven).await;
    let name = gone["name"].as_str().unwrap();
    contains(&farm.said(&["workers"]).await, &[&format!("{name}  asleep"), "6 asleep, 0 sick"]);
    contains(&farm.said(&["workers", "--sick"]).await, &["nobody is sick"]);
    contains(&farm.said(&["workers", name]).await, &[&format!("{name}: asleep, gone for ")]);
    contains(
        &farm.said(&["status"]).await,
        &["6 known, ", "6 asleep, 0 sick", "6 of 6 machines sleep", " of 60.0 kW taken"],
    );

    farm.order("wake").await;
    let all_mine = |page: &Value| {
        rows(page).iter().all(|row| row["is_asleep"] == false && row["connections"] == 1 && row["sick"] == json!([]))
    };
    farm.until("/api/v1/workers", all_mine).await;
    farm.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_miners_are_in_the_table_at_once() {
    let farm = Farm::start().await;
    // The count of the start is over, and found nobody; another would come five seconds after it.
    farm.until("/api/v1/workers", |page| page["at"].is_string()).await;
    farm.site.connect(farm.proxy.addresses()[0]);
    let begun = Instant::now();
    while farm.proxy.totals().miners.iter().sum::<u64>() < MACHINES as u64 {
        assert!(begun.elapsed() < LIMIT);
        sleep(Duration::from_millis(5)).await;
    }
    let there = jiff::Timestamp::now();
    let page = farm.until("/api/v1/workers", |page| rows(page).len() == MACHINES).await;
    let counted: jiff::Timestamp = page["at"].as_str().unwrap().parse().unwrap();
    let after = counted.duration_since(there).as_secs_f64();
    assert!(after < 2.5, "they were counted {after} s after they had come");
    // And the page of the whole proxy knows it with its next look.
    let page = farm.until("/api/v1/status", |page| page["workers"]["online"] == MACHINES).await;
    let shown: jiff::Timestamp = page["at"].as_str().unwrap().parse().unwrap();
    let after = shown.duration_since(there).as_secs_f64();
    assert!(after < 4.5, "they were shown {after} s after they had come");
    farm.end().await;
}
