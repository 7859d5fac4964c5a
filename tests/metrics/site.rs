//! A proxy that has everything: pools with and without TLS, routes, signals, a simulated farm whose machines it moves, AI compute, a store, an API.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use hashgate::{
    app::Proxy,
    config::{Config, Env},
    metrics::FAMILIES,
    profit::signal::{Observation, When},
    sim::{
        ai_site::{AiSite, AiSiteSettings},
        pool::{Fault, PoolSettings, SimPool},
        prices::PriceFeed,
        site::{AiDraw, SimGroup, SimSite, SimSiteSettings},
    },
};
use tokio::time::{Instant, sleep};

use crate::{certificates::Server, scrape::Page};

/// How long anything may take; reached only when a test fails. Two busy cores are slow.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A share is found in some ten milliseconds.
const DIFFICULTY: f64 = 2e-8;

const SECRET: &str = "a-secret-of-the-ai-side";

/// Machines of each group.
const MACHINES: usize = 3;

pub struct NoEnv;

impl Env for NoEnv {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Waits for a page that satisfies.
pub async fn until(proxy: &Proxy, what: &str, wanted: impl Fn(&Page) -> bool) -> Page {
    let (address, begun) = (proxy.metrics_address().expect("it has [metrics]"), Instant::now());
    loop {
        let page = Page::of(address).await;
        if wanted(&page) {
            return page;
        }
        assert!(begun.elapsed() < LIMIT, "not in time: {what}\n{}", page.text);
        sleep(Duration::from_millis(100)).await;
    }
}

/// Names of families that a page does not have.
pub fn missing(page: &Page) -> Vec<&'static str> {
    FAMILIES.iter().map(|family| family.name).filter(|name| !page.kinds.contains_key(*name)).collect()
}

pub struct Whole {
    pub proxy: Proxy,
    pools: [SimPool; 2],
    farm: SimSite,
    ai: Arc<AiSite>,
    _prices: PriceFeed,
    _secure: Server,
    _folder: tempfile::TempDir,
}

impl Whole {
    /// One that has done something of everything.
    pub async fn start() -> Self {
        let pool = |name: &str| PoolSettings { name: name.into(), difficulty: DIFFICULTY, ..PoolSettings::default() };
        let pools = [SimPool::start(pool("first")).await.unwrap(), SimPool::start(pool("second")).await.unwrap()];
        let secure = Server::start(2031).await;
        let prices = PriceFeed::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        for (name, value) in [("power", 30.0), ("hashprice", 50.0)] {
            prices.set(name, value).unwrap();
        }
        let ai = AiSiteSettings { secret: SECRET.into(), capacity: 5_000.0, idle: 500.0, ..AiSiteSettings::default() };
        let ai = Arc::new(AiSite::start(ai).await.unwrap());
        let drawn = ai.clone();
        let group =
            |name: &str, joules| SimGroup { hashrate: 20_000.0, ..SimGroup::new(name, MACHINES, joules, 3_300.0) };
        let farm = SimSite::start(SimSiteSettings {
            groups: vec![group("old", 29.5), group("new", 17.5)],
            base_load: 100.0,
            ai: Some(AiDraw::new(move || drawn.watts())),
            time_scale: 20.0,
            ..SimSiteSettings::default()
        });
        let farm = farm.await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = text(&pools, &secure, &prices, farm.addr(), &ai, folder.path());
        let (config, _) = Config::parse(&text, &NoEnv).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let proxy = Proxy::start(config.clone()).await.unwrap();
        farm.connect(proxy.addresses()[0]);
        let whole = Self { proxy, pools, farm, ai, _prices: prices, _secure: secure, _folder: folder };
        whole.lives(&config).await;
        whole
    }

    /// What does not happen by itself is made to happen.
    async fn lives(&self, config: &Config) {
        let first = ("pool", "first");
        until(&self.proxy, "shares are credited", |page| {
            page.value("hashgate_pool_shares_accepted_total", &[first]) > Some(10.0)
        })
        .await;
        self.pools[0].fault(Fault::RejectAll { code: 29, message: "Go away".into() });
        until(&self.proxy, "a pool disagrees", |page| page.kinds.contains_key("hashgate_disagreements_total")).await;
        self.pools[0].fault(Fault::Resume);
        let feed = self.proxy.signals().unwrap().feed("heard").unwrap();
        let observed = |value| feed.observe(vec![Observation { value, when: When::Now }]);
        observed(40.0).await.unwrap();
        observed(f64::NAN).await.unwrap_err();
        let outcome = self.proxy.reload().config(config.clone(), false).await;
        assert!(outcome.is_ok());
    }

    pub async fn stop(self) {
        self.farm.stop(LIMIT).await;
        self.proxy.shut_down(Duration::from_secs(1)).await;
        for pool in self.pools {
            pool.shutdown().await;
        }
        // Its last clone is the farm's, which has ended.
        drop(self.ai);
    }
}

fn text(
    pools: &[SimPool; 2],
    secure: &Server,
    prices: &PriceFeed,
    farm: SocketAddr,
    ai: &AiSite,
    folder: &Path,
) -> String {
    let (ledger, store) = (folder.join("ledger.db"), folder.join("store.db"));
    let mut text = format!(
        "[proxy]\nworkers = 2\nstate_file = \"\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"control-0123456789abcdef\"\n[store]\npath = {store:?}\n\
         [[listener]]\nname = \"farm\"\nlisten = \"127.0.0.1:0\"\ndifficulty = {DIFFICULTY}\nmin_difficulty = 1e-9\n\
         [[pool]]\nname = \"first\"\nurl = \"stratum+tcp://{}\"\nuser = \"u\"\n\
         [[pool]]\nname = \"second\"\nurl = \"stratum+tcp://{}\"\nuser = \"u\"\n\
         [[pool]]\nname = \"secure\"\nurl = \"stratum+ssl://localhost:{}\"\nuser = \"u\"\ntls_fingerprint = \"sha256:{}\"\n\
         [[route]]\nname = \"old\"\nuser = \"old.*\"\npools = [\"first\", \"second\"]\n\
         [[route]]\nname = \"everyone\"\npools = [\"first\", \"second\", \"secure\"]\n",
        pools[0].addr(),
        pools[1].addr(),
        secure.port,
        secure.fingerprint,
    );
    for (name, unit, url, value) in [
        ("power", "USD/MWh", format!("http://{}/power", prices.addr()), "/value"),
        ("hashprice", "USD/PH/day", format!("http://{}/hashprice", prices.addr()), "/value"),
        ("meter", "kW", format!("http://{farm}/meter"), "/kilowatts"),
    ] {
        text += &format!(
            "[[signal]]\nname = {name:?}\nunit = {unit:?}\nkind = \"http_json\"\nurl = {url:?}\nvalue = {value:?}\npoll = \"1s\"\n"
        );
    }
    text += "[[signal]]\nname = \"heard\"\nunit = \"USD/MWh\"\nkind = \"push\"\n";
    text += &format!(
        "[profit]\nmode = \"active\"\nhashprice = \"hashprice\"\n\
         [site]\npower_price = \"power\"\ncap = \"40 kW\"\nmeter = \"meter\"\n[power]\nledger = {ledger:?}\npoll = \"1s\"\npoll_moving = \"1s\"\n"
    );
    for (name, joules) in [("old", 29.5), ("new", 17.5)] {
        text += &format!(
            "[[group]]\nname = {name:?}\nefficiency = \"{joules} J/TH\"\npower = \"10 kW\"\nworkers = \"{name}.*\"\nnameplate = \"3300 W\"\n\
             [group.actuator]\nkind = \"simulated\"\nurl = \"http://{farm}\"\n"
        );
    }
    text += &format!(
        "[[ai]]\nname = \"gpus\"\npower = \"6 kW\"\nprice = \"16 USD/MWh\"\ndemand = 1\nidle = \"1 kW\"\nsheds_within = \"30s\"\n\
         [ai.control]\nkind = \"webhook\"\nurl = {:?}\nstatus = {:?}\nsecret = {SECRET:?}\n",
        ai.url(),
        ai.status_url()
    );
    text
}
