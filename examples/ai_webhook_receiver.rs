//! The AI team's side of a lease of power, as a small HTTP service: it checks signatures, takes leases idempotently, and tells its status.
//! A start, not a product: what is to be filled in says so. (The same in Python: `deploy/ai_webhook_receiver.py`.)
//!
//! ```text
//! cargo run --example ai_webhook_receiver                                                    tries itself, with the proxy's own driver
//! AI_WEBHOOK_SECRET=… cargo run --example ai_webhook_receiver -- 10.0.0.5:9500    url = "http://…/lease", status = "http://…/status"
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    error::Error,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hashgate::{
    config::{Secret, ServerTrust},
    power::{
        compute::{
            Compute, Webhook,
            message::{Answer, Kind, Message, WrittenStatus},
            signature,
        },
        ledger::{Epoch, LeaseId},
        site::{LeaseAnswer, LeaseMessage, LeaseOrder},
    },
    profit::{Ratio, Watts},
};
use jiff::{SignedDuration, Timestamp};

/// Leases that were asked back and are remembered: there are a few a day.
const MAX_CLOSED: usize = 10_000;

/// What must be on disk in earnest: after a restart, an older controller and old leases must still be refused.
#[derive(Default)]
struct Leases {
    highest: u32,
    open: BTreeMap<String, Message>,
    closed: VecDeque<String>,
}

type Json = serde_json::Result<String>;
/// The secret, and what it opens.
struct Receiver(String, Mutex<Leases>);

impl Leases {
    fn take(&mut self, message: Message) -> LeaseAnswer {
        let id = message.id.clone();
        if message.kind == Kind::Revoke {
            self.highest = self.highest.max(message.epoch); // Anybody's word counts, whatever the epoch.
            let asked = self.open.keys().filter(|open| **open == id || message.is_about_everything());
            for open in asked.cloned().collect::<Vec<_>>() {
                // Fill in: stop these jobs by the deadline, and answer "releasing" while they run.
                println!("stop lease {open} until {}", message.deadline.as_deref().unwrap_or("now"));
                self.open.remove(&open);
                self.closed.push_back(open);
            }
            if !self.closed.contains(&id) {
                self.closed.push_back(id);
            }
            self.closed.drain(..self.closed.len().saturating_sub(MAX_CLOSED));
            return LeaseAnswer::Released;
        }
        let (is_new, expires) = (!self.open.contains_key(&id), message.expires.as_deref().map(str::parse::<Timestamp>));
        let is_over = !matches!(expires, Some(Ok(at)) if at > Timestamp::now());
        // "refused" says that nothing is drawn under it: a renewal that comes late is none, and no harm.
        if message.epoch < self.highest || self.closed.contains(&id) || (is_over && is_new) {
            return LeaseAnswer::Refused;
        }
        self.highest = message.epoch;
        if is_new {
            // Fill in: start jobs for so much more. Once the lease has expired, start no new ones.
            println!("start {:.1} kW for lease {id}", message.it_watts / 1e3);
        }
        // The same id again is a renewal: it expires later.
        self.open.insert(id, message);
        LeaseAnswer::Taken
    }

    fn status(&self) -> WrittenStatus {
        // Fill in: what PDUs or BMCs measure, not what may be drawn.
        let drawn_watts = self.open.values().map(|lease| lease.it_watts).sum();
        let state = if self.open.is_empty() { "idle" } else { "running" }.to_owned();
        WrittenStatus { epoch: self.highest, drawn_watts, state, observed_at: Timestamp::now() }
    }
}

impl Receiver {
    fn answer(&self, headers: &HeaderMap, body: &[u8], work: impl Fn(&mut Leases) -> Json) -> Response {
        let signed = headers.get(signature::HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let now = Timestamp::now().as_second();
        if let Err(error) = signature::verify(self.0.as_bytes(), signed, body, now, signature::WINDOW) {
            return (StatusCode::UNAUTHORIZED, error.to_string()).into_response();
        }
        match work(&mut self.1.lock().expect("nobody panics with it")) {
            Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
            Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
        }
    }
}

async fn lease(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> Response {
    receiver.answer(&headers, &body, |leases| {
        serde_json::to_string(&Answer { state: leases.take(serde_json::from_slice(&body)?) })
    })
}

async fn status(State(receiver): State<Arc<Receiver>>, headers: HeaderMap) -> Response {
    receiver.answer(&headers, b"", |leases| serde_json::to_string(&leases.status()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let secret = if address.is_some() { std::env::var("AI_WEBHOOK_SECRET")? } else { "tried out".to_owned() };
    let listener = tokio::net::TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    let receiver = Arc::new(Receiver(secret.clone(), Mutex::default()));
    let router = Router::new().route("/lease", post(lease)).route("/status", get(status)).with_state(receiver);
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    if address.is_some() {
        return Ok(server.await??);
    }
    tried_out(&url, secret.parse()?).await
}

/// Speaks to it as the proxy does.
async fn tried_out(url: &str, secret: Secret) -> Result<(), Box<dyn Error>> {
    let (lease, status) = (format!("{url}/lease").parse()?, format!("{url}/status").parse()?);
    let hook = Webhook::new(lease, status, secret, &ServerTrust::System, Duration::from_secs(10), Ratio::ONE)?;
    let (watts, expires) = (Watts::MEGAWATT, Timestamp::now().checked_add(SignedDuration::from_secs(120))?);
    let what = LeaseOrder::Grant { watts, expires };
    let grant = LeaseMessage { lease: LeaseId(7 << 32 | 1), epoch: Epoch(7), what };
    let revoke = LeaseMessage { what: LeaseOrder::Revoke { watts, deadline: expires }, ..grant };
    use LeaseAnswer::{Refused, Released, Taken};
    for (message, wanted) in [(grant, Taken), (revoke, Released), (grant, Refused)] {
        assert_eq!(hook.tell(message).await?, wanted);
        let status = hook.status().await?;
        println!("{wanted:?}; now it is {} and draws {}", status.state, status.drawn.watts.in_words());
    }
    Ok(())
}
