//! What stands between the proxy and the world that it moves: it passes every call on, writes it down, and kills the proxy at the wanted one.
//!
//! It is a stranger on the way: machines, the meter and AI compute are asked by it over sockets, and answer as they would without it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::{net::TcpListener, process::Child};

/// What a machine says at most that sleeps.
const ASLEEP_W: f64 = 60.0;

/// What AI compute draws less than without a job.
const IDLE_W: f64 = 1000.0;

/// What a call was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A machine was measured.
    Read,
    /// A machine was told to sleep.
    Sleep,
    /// A machine was told to wake.
    Wake,
    /// The site's meter was read.
    Meter,
    /// AI compute was given a lease that it did not have.
    Grant,
    /// AI compute was given more time.
    Renewal,
    /// AI compute was asked to give back.
    Revoke,
    /// AI compute was asked how it is.
    Status,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    pub kind: Kind,
    /// The machine, or the lease.
    pub who: String,
    /// Which life of the proxy.
    pub life: u32,
    /// It was passed on.
    pub is_heard: bool,
    /// Its answer was.
    pub is_answered: bool,
}

/// Where the proxy is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trap {
    /// At this call of its kind about somebody whose name begins so; nobody hears of it.
    Before(Kind, &'static str, usize),
    /// At this call; it is heard, and its answer is lost.
    After(Kind, &'static str, usize),
    /// When all machines of a group were measured asleep, and the last answer is lost.
    AllAsleep(&'static str),
    /// At the status that says that AI compute draws.
    AiDraws,
    /// At the first status after AI compute has been asked to give back and draws nothing any more.
    AiDrawsNoMore,
}

/// What becomes of calls of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// They go through.
    #[default]
    Open,
    /// They are answered with 500.
    Broken,
    /// They are never answered.
    Hanging,
}

/// The gate.
#[derive(Clone)]
pub struct Gate {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    site: SocketAddr,
    ai: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    state: Mutex<Gates>,
}

#[derive(Default)]
struct Gates {
    calls: Vec<Call>,
    life: u32,
    process: Option<Child>,
    trap: Option<Trap>,
    /// Calls that the trap counted.
    counted: usize,
    ways: HashMap<Kind, Way>,
    watts: HashMap<String, f64>,
    is_dead: bool,
    asked_back: bool,
}

impl Gate {
    pub async fn start(site: SocketAddr, ai: SocketAddr) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = socket.local_addr().expect("it is bound");
        let client = Client::builder(TokioExecutor::new()).build_http();
        let shared = Arc::new(Shared { site, ai, client, state: Mutex::default() });
        let router = Router::new().fallback(pass).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(socket, router).await });
        Self { addr, shared }
    }

    fn state(&self) -> MutexGuard<'_, Gates> {
        self.shared.state.lock().expect("nobody panicked with it")
    }

    /// The proxy's next life.
    pub fn runs(&self, process: Child) {
        let mut state = self.state();
        state.life += 1;
        state.process = Some(process);
    }

    pub fn process(&self) -> Option<Child> {
        self.state().process.take()
    }

    /// Kills the proxy as nothing else does.
    pub fn kill(&self) {
        self.state().kill();
    }

    /// It was killed, and its successor is not known to all yet.
    pub fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    pub fn lives(&self) {
        self.state().is_dead = false;
    }

    /// Whether it has ended by itself.
    pub fn ended(&self) -> Option<std::process::ExitStatus> {
        self.state().process.as_mut().and_then(|process| process.try_wait().expect("it is ours"))
    }

    pub fn set(&self, trap: Trap) {
        let mut state = self.state();
        (state.trap, state.counted) = (Some(trap), 0);
        state.watts.clear();
    }

    /// Whether the trap has sprung.
    pub fn has_sprung(&self) -> bool {
        self.state().trap.is_none()
    }

    pub fn unset(&self) {
        self.state().trap = None;
    }

    pub fn way(&self, kinds: &[Kind], way: Way) {
        let mut state = self.state();
        state.ways.extend(kinds.iter().map(|kind| (*kind, way)));
    }

    pub fn life(&self) -> u32 {
        self.state().life
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }
}

impl Gates {
    fn kill(&mut self) {
        self.is_dead = true;
        if let Some(process) = &mut self.process {
            process.start_kill().expect("it is ours");
        }
    }

    /// A process is there that can die. The calls of one that is dead already end after it: they are nothing to die of.
    fn can_die(&self) -> bool {
        self.process.is_some() && !self.is_dead
    }

    /// Whether the proxy dies at this call before anybody has heard of it.
    fn dies_before(&mut self, kind: Kind, who: &str) -> bool {
        let (Some(Trap::Before(wanted, prefix, nth)), true) = (self.trap, self.can_die()) else { return false };
        if wanted != kind || !who.starts_with(prefix) {
            return false;
        }
        self.counted += 1;
        self.springs(self.counted == nth)
    }

    /// Whether the proxy dies before it has this answer.
    fn loses_answer(&mut self, index: usize, answer: &Value) -> bool {
        let Call { kind, who, life, .. } = self.calls[index].clone();
        let is_lost = life == self.life && self.can_die() && self.dies_after(kind, &who, answer);
        self.calls[index].is_answered = !is_lost && !self.is_dead;
        is_lost
    }

    fn dies_after(&mut self, kind: Kind, who: &str, answer: &Value) -> bool {
        let watts = answer["watts"].as_f64().filter(|_| kind == Kind::Read);
        if let Some(watts) = watts {
            self.watts.insert(who.to_owned(), watts);
        }
        match kind {
            Kind::Revoke => self.asked_back = true,
            Kind::Grant => self.asked_back = false,
            _ => {}
        }
        let drawn = answer["drawn_watts"].as_f64().filter(|_| kind == Kind::Status);
        let springs = match self.trap {
            Some(Trap::After(wanted, prefix, nth)) if wanted == kind && who.starts_with(prefix) => {
                self.counted += 1;
                self.counted == nth
            }
            Some(Trap::AllAsleep(prefix)) => {
                let of_it = self.watts.iter().filter(|(name, _)| name.starts_with(prefix));
                watts.is_some() && of_it.filter(|(_, watts)| **watts < ASLEEP_W).count() == crate::world::MACHINES
            }
            Some(Trap::AiDraws) => drawn.is_some_and(|drawn| drawn > IDLE_W),
            Some(Trap::AiDrawsNoMore) => self.asked_back && drawn.is_some_and(|drawn| drawn < IDLE_W),
            _ => false,
        };
        self.springs(springs)
    }

    fn springs(&mut self, springs: bool) -> bool {
        if springs {
            self.trap = None;
            self.kill();
        }
        springs
    }
}

fn classify(method: &Method, path: &str, body: &[u8], known: &[Call]) -> Option<(Kind, String)> {
    if let Some(asic) = path.strip_prefix("/asics/") {
        let (name, what) = asic.split_once('/').unwrap_or((asic, ""));
        let kind = match (method, what) {
            (&Method::GET, "") => Kind::Read,
            (_, "sleep") => Kind::Sleep,
            (_, "wake") => Kind::Wake,
            _ => return None,
        };
        return Some((kind, name.to_owned()));
    }
    match path {
        "/meter" => Some((Kind::Meter, String::new())),
        "/status" => Some((Kind::Status, String::new())),
        "/lease" => {
            let message: Value = serde_json::from_slice(body).ok()?;
            let id = message["id"].as_str()?.to_owned();
            let is_known = known.iter().any(|call| call.kind == Kind::Grant && call.is_heard && call.who == id);
            let kind = match message["type"].as_str()? {
                "lease.revoke" => Kind::Revoke,
                _ if is_known => Kind::Renewal,
                _ => Kind::Grant,
            };
            Some((kind, id))
        }
        _ => None,
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 16).await.unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let (index, kind, way) = {
        let mut state = shared.state.lock().expect("nobody panicked with it");
        let Some((kind, who)) = classify(&parts.method, &path, &body, &state.calls) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let dies = state.dies_before(kind, &who);
        let life = state.life;
        let way = if dies { Way::Hanging } else { state.ways.get(&kind).copied().unwrap_or_default() };
        state.calls.push(Call { kind, who, life, is_heard: way == Way::Open, is_answered: false });
        (state.calls.len() - 1, kind, way)
    };
    match way {
        Way::Open => {}
        Way::Broken => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Way::Hanging => return std::future::pending().await,
    }
    let to =
        if matches!(kind, Kind::Grant | Kind::Renewal | Kind::Revoke | Kind::Status) { shared.ai } else { shared.site };
    let mut request = hyper::Request::builder().method(parts.method).uri(format!("http://{to}{path}"));
    for name in ["content-type", "x-signature"] {
        if let Some(value) = parts.headers.get(name) {
            request = request.header(name, value);
        }
    }
    let asked = shared.client.request(request.body(Full::new(body)).expect("a request")).await;
    let Ok(answer) = asked else { return StatusCode::BAD_GATEWAY.into_response() };
    let status = answer.status();
    let said = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let json: Value = serde_json::from_slice(&said).unwrap_or_default();
    if shared.state.lock().expect("nobody panicked with it").loses_answer(index, &json) {
        return std::future::pending().await;
    }
    (status, [("content-type", "application/json")], Body::from(said)).into_response()
}

/// Waits for a condition. The deadline is for failures only.
pub async fn eventually(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
