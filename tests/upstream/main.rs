//! What the task of one pool connection promises, against pools over loopback.
//!
//! | file | the pool |
//! |---|---|
//! | `scripted.rs` | says what the test makes it say, line by line |
//! | `tls.rs` | the same, in TLS |
//! | `simulated.rs` | judges shares with code of its own, and has faults |

mod scripted;
mod simulated;
mod tls;

use std::{io, path::Path, sync::Arc, time::Duration};

use hashgate::{
    config::{Config, Env, Pool},
    upstream::{Event, Facts, Handle, Origin, Outgoing, Settlement, UpstreamIds, spawn},
    work::{
        Extranonce, Job, JobIds, JobWindow, Judge, LiveJob, PoolShare, Split, Submission, SubmittedVersion, Terms,
        WorkSeries,
    },
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(10);

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what}: not in {DEADLINE:?}"))
}

struct NoEnv;

impl Env for NoEnv {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn pool(url: &str, more: &str) -> Arc<Pool> {
    let user = if more.contains("user =") { "" } else { "user = \"acct\"" };
    let pool = format!("[[pool]]\nname = \"eu\"\nurl = \"{url}\"\n{user}\n{more}\n");
    let text = format!("[[listener]]\nname = \"l\"\nlisten = \"127.0.0.1:0\"\n{pool}");
    Arc::new(Config::parse(&text, &NoEnv).expect(&text).0.pools[0].clone())
}

/// The router's side of a task.
struct Router {
    handle: Handle,
    events: mpsc::Receiver<(usize, Event)>,
}

impl Router {
    fn start(url: &str, more: &str) -> Self {
        let (sender, events) = mpsc::channel(64);
        let handle = spawn(7, pool(url, more), Arc::new(UpstreamIds::default()), sender, CancellationToken::new());
        Self { handle, events }
    }

    async fn event(&mut self) -> Event {
        let (key, event) = in_time("an event", self.events.recv()).await.expect("the task lives");
        assert_eq!(key, 7);
        event
    }

    async fn ready(&mut self) -> Arc<Facts> {
        match self.event().await {
            Event::Ready(facts) => facts,
            other => panic!("instead of ready: {other:?}"),
        }
    }

    async fn job(&mut self) -> Arc<Job> {
        match self.event().await {
            Event::Job(job) => job,
            other => panic!("instead of a job: {other:?}"),
        }
    }

    async fn lost(&mut self) -> (bool, String, Duration) {
        match self.event().await {
            Event::Lost { id, reason, retry_in } => (id.is_some(), reason, retry_in),
            other => panic!("instead of lost: {other:?}"),
        }
    }

    async fn settled(&mut self) -> (u32, Settlement) {
        match self.event().await {
            Event::Settled { outgoing, settlement } => (outgoing.origin.ticket, settlement),
            other => panic!("instead of a settlement: {other:?}"),
        }
    }

    fn submit(&self, job: &Arc<Job>, nonce: u32) {
        let share = share(job, nonce, SubmittedVersion::Unrolled);
        let origin = Origin { worker: 0, connection: 0, ticket: nonce, is_counted: false };
        self.handle.shares().try_send(Outgoing { share, user: "farm.07".into(), origin }).expect("room");
    }
}

/// A share for a job, whose pool difficulty every hash must meet.
fn share(job: &Arc<Job>, nonce: u32, version: SubmittedVersion) -> PoolShare {
    let series =
        WorkSeries::new(job.clone(), Arc::new(JobIds::starting_at(0)), Split { salt: 1, lease: 3, extranonce2: 4 });
    let mut window = JobWindow::default();
    window.push(LiveJob::new(series.first().clone(), Terms::of(job.pool_difficulty)));
    let judge = Judge {
        lease: Extranonce::new(&[0, 0, 7]).unwrap(),
        version_mask: job.version_mask,
        difficulty: job.pool_difficulty,
        target: job.pool_target,
    };
    let submission = Submission {
        job: Some(series.first().id),
        extranonce2: Extranonce::new(&[0, 0, 0, 1]).unwrap(),
        ntime: job.notify.ntime,
        nonce,
        version,
    };
    judge.judge(&mut window, &submission).pool_share.expect("every hash meets the target")
}
