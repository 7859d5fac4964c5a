//! The real admin API before a power side that is a double: it shows one site, answers by rote, and writes down what it was asked.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::http::{Method, Request, StatusCode, header};
use hashgate::{
    api::{Api, Health, Subject},
    census::{Placing, Subscription, Table, Workers},
    config::{Config, Env, Mode, Places},
    metrics::Books,
    power::{
        ASK_QUEUE, Ask, Power, PowerSide,
        control::{
            Control, ControlError, Forget, Forgotten, ForgottenDevice, KeptDevice, Named, Orphans, OverCap, PastEvent,
            Plan, PowerSnapshot, PowerTotals,
        },
        device::Goal,
        device::StageKind,
        group::{Order, Phase},
        ledger::{Balance, Epoch, LeaseId},
        receipt::{Cost, DeviceBill, Move, Outcome, RECEIPT_VERSION, Receipt, SecondBill, ShareBill, WattBill},
        site::{BlockView, DeviceView, EventKind, GroupView, LeaseView, Level, SiteEvent, SiteView, Whereabouts},
    },
    profit::{Watts, task},
    reload::{Reload, Status},
    router::{Errand, Errands},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use crate::document;

/// How long anything may take; reached only when a test fails.
pub const LIMIT: Duration = Duration::from_secs(30);

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

pub const CONTROL: &str = "control-0123456789abcdef";
pub const READ: &str = "read-0123456789abcdef";
pub const SIGNAL: &str = "signal-0123456789abcdef";

const TABLES: &str = "[proxy]\nworkers = 1\nstate_file = \"\"\n[[listener]]\nlisten = \"127.0.0.1:0\"\n\
    [[pool]]\nname = \"pool\"\nurl = \"sim://\"\nuser = \"u\"\n\
    [[signal]]\nname = \"pays\"\nunit = \"verdict\"\nkind = \"push\"\n\
    [[group]]\nname = \"hall-a\"\nsignal = \"pays\"\npower = \"1 MW\"\n\
    [[group]]\nname = \"shed\"\nsignal = \"pays\"\n";

/// What was asked, as an operator would say it.
pub type Asked = Arc<Mutex<Vec<String>>>;

pub struct Site {
    pub address: SocketAddr,
    pub api: Arc<Api>,
    pub asked: Asked,
    pub health: Health,
    pub books: Arc<Books>,
    stop: CancellationToken,
    /// The router's end, which does nothing.
    _to_do: mpsc::Receiver<Errand>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Nowhere;

impl Env for Nowhere {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

impl Site {
    pub async fn start() -> Self {
        Self::of(true, Table::new(Placing::default()), ANY).await
    }

    /// One with these workers.
    pub async fn with(table: Table) -> Self {
        Self::of(true, table, ANY).await
    }

    /// One in the place of another that has ended.
    pub async fn again_at(address: SocketAddr) -> Self {
        Self::of(true, Table::new(Placing::default()), address).await
    }

    /// One whose config has nothing that could be moved.
    pub async fn without_power() -> Self {
        Self::of(false, Table::new(Placing::default()), ANY).await
    }

    async fn of(has_power: bool, table: Table, listen: SocketAddr) -> Self {
        let tokens = format!("[admin]\ntoken = \"{CONTROL}\"\nread_token = \"{READ}\"\nsignal_token = \"{SIGNAL}\"\n");
        let (config, _) = Config::parse(&format!("{TABLES}{tokens}"), &Nowhere).unwrap_or_else(|e| panic!("{e}"));
        let admin = config.admin.clone().expect("it is there");
        let (stop, started) = (CancellationToken::new(), Timestamp::now());
        let config = Arc::new(config);
        let (reload, _, _) = Reload::new(Status::at_start(Places::first(config.clone()), Vec::new()));
        let (signals, _) = task::start(config, None, stop.clone());
        let asked = Asked::default();
        let power = has_power.then(|| power(asked.clone()));
        let (errands, to_do) = Errands::new(1);
        let health = Health {
            begun: CancellationToken::new(),
            ending: CancellationToken::new(),
            worker_ended: CancellationToken::new(),
            power_ended: CancellationToken::new(),
            errands,
        };
        let books = Arc::new(Books::new(1, 1, 1));
        let workers = Workers::new(table);
        let subject = Subject {
            started,
            signals,
            power: PowerSide::of(power),
            books: books.clone(),
            workers: workers.clone(),
            census: Subscription::nobody().asker(),
            store: None,
            health: health.clone(),
            reload,
        };
        let api = Api::new(&admin, subject);
        let begun = Instant::now();
        let socket = loop {
            match TcpListener::bind(listen).await {
                Ok(socket) => break socket,
                // Who had it has not closed it yet.
                Err(error) => assert!(begun.elapsed() < LIMIT, "{listen}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let address = socket.local_addr().expect("it is bound");
        tokio::spawn(api.clone().serve(socket, stop.clone()));
        Self { address, api, asked, health, books, stop, _to_do: to_do }
    }

    pub async fn ask(&self, method: Method, path: &str, token: Option<&str>, body: &str) -> (StatusCode, Value) {
        ask(self.address, method, path, token, body).await
    }

    /// What was asked since it was asked for last.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    pub fn refused(&self, reason: &str) -> u64 {
        self.api.refused().find(|(known, _)| *known == reason).expect("a known reason").1
    }
}

/// Asks an API; its answer is held against the document.
pub async fn ask(
    address: SocketAddr,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> (StatusCode, Value) {
    let mut request = Request::builder().method(method.clone()).uri(format!("http://{address}{path}"));
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let answer = serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{status} {body:?}"));
    document::conforms(&method, path, status, &answer);
    (status, answer)
}

fn power(asked: Asked) -> Power {
    let (to_task, mut asks) = mpsc::channel(ASK_QUEUE);
    let (snapshots, snapshot) = watch::channel(Arc::new(shown(Mode::Advise)));
    tokio::spawn(async move {
        while let Some(ask) = asks.recv().await {
            let said = |what: String| asked.lock().unwrap().push(what);
            match ask {
                Ask::Control { group, control, dry_run, answer } => {
                    said(format!("{group}: {control:?}, dry_run {dry_run}"));
                    let _ = answer.send(control_of(&group, &control));
                }
                Ask::Forget { group, what, dry_run, answer } => {
                    said(format!("{group}: forget {what:?}, dry_run {dry_run}"));
                    let _ = answer.send(forgotten(&group, &what));
                }
                Ask::Mode { mode, answer } => {
                    said(format!("mode {mode:?}"));
                    let before = snapshots.borrow().mode;
                    snapshots.send_replace(Arc::new(shown(mode)));
                    let _ = answer.send(Ok(before));
                }
                Ask::Devices { group, answer } => {
                    let devices = if group == "hall-a" { Ok(devices()) } else { Err(unknown(&group)) };
                    let _ = answer.send(devices);
                }
                Ask::Receipts { limit, answer } => {
                    let _ = answer.send(vec![receipt(); limit.min(3)]);
                }
            }
        }
    });
    Power::new(to_task, snapshot)
}

fn unknown(group: &str) -> ControlError {
    ControlError::UnknownGroup { name: group.to_owned(), known: "\"hall-a\", \"shed\"".to_owned() }
}

/// One machine is gone; the first is there, and no other is known.
fn forgotten(group: &str, what: &Forget) -> Result<Forgotten, ControlError> {
    if group != "hall-a" {
        return Err(unknown(group));
    }
    let kept = match what {
        Forget::Device(name) if name == "rig-0" => {
            return Err(ControlError::NotForgotten(
                "machine \"rig-0\" is kept: it is connected: it is there".to_owned(),
            ));
        }
        Forget::Device(name) if name != "rig-2" => {
            return Err(ControlError::UnknownDevice { group: group.to_owned(), name: name.clone() });
        }
        Forget::Device(_) | Forget::Gone(_) => Vec::new(),
        Forget::OlderThan(_) => vec![KeptDevice { name: "rig-1".into(), why: "it was put to sleep".into() }],
    };
    Ok(Forgotten {
        group: group.into(),
        devices: vec![ForgottenDevice { name: "rig-2".into(), seen: None, counts_watts: 3850.0 }],
        kept,
        frees_kw: 3.85,
        words: vec!["3.9 kW at the site's meter count no more".to_owned()],
    })
}

/// What would follow, and each refusal by the name of a group.
fn control_of(group: &str, control: &Control) -> Result<Plan, ControlError> {
    match group {
        "hall-a" => {}
        "shed" => return Err(ControlError::NotManaged(group.to_owned())),
        "dry" => return Err(ControlError::DryRun),
        "full" => return Err(ControlError::NotWritten("the disk is full".to_owned())),
        "ended" => return Err(ControlError::Ended),
        _ => return Err(unknown(group)),
    }
    if matches!(control, Control::Unlock) {
        return Err(ControlError::NothingToEnd("group \"hall-a\" is not locked out".to_owned()));
    }
    Ok(Plan {
        group: group.into(),
        phase: Phase::Mining,
        leads_to: Some(Phase::DrainPending),
        devices: 2,
        left_out: 1,
        draws_kw: 7.0,
        will_draw_kw: 0.5,
        asks_back_kw: 120.0,
        takes_s: 95.0,
        words: vec!["first a canary of one machine".to_owned()],
    })
}

fn watts(watts: f64) -> Watts {
    Watts::new(watts).expect("a test's watts")
}

fn at() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().expect("a test's time")
}

fn shown(mode: Mode) -> PowerSnapshot {
    let group = GroupView {
        phase: Phase::Mining,
        since: at(),
        order: Order { goal: Goal::Mine, urgent: false, why: "margin 3.1 $/MWh".into() },
        devices: 3,
        sleeping: [0; StageKind::COUNT],
        waking: [0; StageKind::COUNT],
        drawn: watts(7000.0),
        measured: 2,
        idle: 1,
        waits_for: Some("the ledger".into()),
    };
    let lease = LeaseView { lease: LeaseId((7 << 32) | 1), watts: watts(40_000.0), expires: at(), revoked: Some(at()) };
    let block = BlockView {
        wanted: watts(50_000.0),
        granted: watts(40_000.0),
        revoked: watts(40_000.0),
        drawn: None,
        state: Some("running".into()),
        leases: vec![lease],
        refused: Some("no room under the cap".into()),
    };
    let event = SiteEvent {
        level: Level::Warn,
        kind: EventKind::Phase,
        group: Some(0),
        words: "group \"hall-a\": a machine called \u{1b}[2Jrig drifted".into(),
    };
    let cap = watts(100_000.0);
    PowerSnapshot {
        named: Arc::new(Named { groups: vec!["hall-a".into(), "shed".into()], blocks: Vec::new(), cap: Some(cap) }),
        mode,
        site: SiteView {
            at: at(),
            epoch: Epoch(7),
            balance: Balance {
                asic: watts(10_000.0),
                ai: watts(40_000.0),
                base: watts(1_000.0),
                unexplained: Watts::ZERO,
                reserve: watts(2_000.0),
                cap,
            },
            meter: Some(watts(51_000.0)),
            measured: watts(50_500.0),
            groups: vec![Some(group), None],
            blocks: vec![Some(block)],
        },
        orders: vec![Some(Control::Drain { why: "visitors".into(), until: None }), None],
        receipts: vec![receipt()],
        events: vec![PastEvent { at: at(), about: Some("hall-a".into()), event }; 80],
        over_cap: OverCap { readings: 2, most: Some(watts(1_500.0)) },
        totals: PowerTotals::default(),
        orphans: Orphans::default(),
        certificates: Vec::new(),
        sleepers: Arc::default(),
    }
}

fn devices() -> Vec<DeviceView> {
    let device = |number: usize| DeviceView {
        name: format!("rig-{number}").into(),
        goal: Goal::Mine,
        stage: StageKind::Confirmed,
        watts: (number != 1).then(|| watts(3500.0)),
        measured_at: (number != 1).then(at),
        counts: watts(3850.0),
        mode: None,
        whereabouts: Whereabouts {
            address: Some([10, 0, 0, number as u8].into()),
            is_connected: number == 0,
            is_found: true,
            seen: (number != 2).then(at),
        },
    };
    (0..3).map(device).collect()
}

fn receipt() -> Receipt {
    Receipt {
        v: RECEIPT_VERSION,
        event: 4,
        group: "hall-a".into(),
        kind: Move::Drain,
        why: "prices".into(),
        started: at(),
        ended: at(),
        outcome: Outcome::Done,
        shares: ShareBill { accepted: 9, timed_out: 1, ..ShareBill::default() },
        watts: WattBill { before_w: 7_000.0, after_w: 500.0, peak_w: 7_100.0 },
        devices: DeviceBill { asked: 2, confirmed: 2, ..DeviceBill::default() },
        seconds: SecondBill { total_s: 95.0, ..SecondBill::default() },
        cost: Cost { energy_wh: 120.0, money: None },
    }
}
