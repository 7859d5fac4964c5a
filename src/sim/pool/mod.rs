//! A simulated Stratum V1 pool: it speaks TCP like a stranger and checks every share with code of its own.
//!
//! It is the independent referee of tests, benchmarks and the demo. It knows nothing of the proxy: only `sha2`, big integers and the
//! protocol, so that an error in the proxy's share check can't hide in its judge. It makes jobs but no blocks: transactions are
//! random branches, and a share that meets the network target is counted and nothing else.
//!
//! ```text
//!  SimPool ── orders ──▶ listener ──▶ one task per connection ──▶ session ──▶ check ──▶ ledger
//!     └────── events (jobs, difficulty, faults) ──▲
//! ```
//! | file                     | what                                             |
//! |--------------------------|--------------------------------------------------|
//! | `settings`               | what kind of pool to be                          |
//! | `target`                 | difficulty and target, exact                     |
//! | `job`                    | templates, coinbase, notify lines                |
//! | `check`, `reject`        | the verdict on a share                           |
//! | `session`                | one client's conversation                        |
//! | `issued`, `parked`       | what a session was given, and what is kept of it |
//! | `fault`                  | what can go wrong on demand                      |
//! | `stats`                  | what was counted                                 |
//! | `reply`                  | how answers are worded                           |
//! | `shared`                 | what all connections have in common              |
//! | `connection`, `listener` | the tasks around the sockets                     |
//!
//! Limits: everything that grows is bounded where it is declared. A job's shares are judged by the difficulty in force when the job
//! was sent to that connection, in both directions; there is no leniency after a change.
//! A session that is resumed is sent the newest job again even if it has it. Silent clients are never timed out.

mod check;
mod connection;
mod fault;
mod issued;
mod job;
mod listener;
mod parked;
mod reject;
mod reply;
mod session;
mod settings;
mod shared;
mod stats;
mod target;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use self::listener::{Door, Orders};
use self::reply::{notification, quoted};
use self::shared::{Event, Shared};

pub use self::check::{Accepted, IssuedJob, ShareFields, VersionRules};
pub use self::fault::Fault;
pub use self::job::{Job, JobParts};
pub use self::reject::Reject;
pub use self::settings::{
    FirstJob, MAX_BRANCHES, MAX_COINBASE_LEN, MAX_EXTRANONCE1_LEN, MAX_EXTRANONCE2_SIZE,
    MAX_NAME_LEN, PoolError, PoolSettings, ReplyForm, Strictness, Users, VersionDialect,
};
pub use self::stats::{
    AcceptedShare, ConnectionStats, MAX_WORKERS, OTHER_WORKERS, PoolStats, WorkerStats,
};
pub use self::target::{MAX_DIFFICULTY, MIN_DIFFICULTY, ShareDifficulty, Target};

/// How often [`SimPool::wait_for`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A running simulated pool.
///
/// ```
/// use hashgate::sim::pool::{Fault, PoolSettings, SimPool};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let pool = SimPool::start(PoolSettings { difficulty: 1e-9, ..PoolSettings::default() }).await?;
/// println!("mining at stratum+tcp://{}", pool.addr());
/// pool.new_block();
/// pool.fault(Fault::DropConnections);
/// assert_eq!(pool.stats().accepted, 0);
/// pool.shutdown().await;
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
/// Dropping it ends it in the background, [`SimPool::shutdown`] waits for the end.
#[derive(Debug)]
pub struct SimPool {
    addr: SocketAddr,
    pool: Arc<Shared>,
    orders: watch::Sender<Orders>,
    listening: JoinHandle<()>,
    templates: JoinHandle<()>,
}

impl SimPool {
    /// Binds the address and spawns the pool's tasks on the current tokio runtime.
    ///
    /// # Errors
    /// When the address can't be bound; `InvalidInput` with a [`PoolError`] when a setting makes no sense.
    pub async fn start(settings: PoolSettings) -> io::Result<SimPool> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        settings.validate().map_err(invalid)?;
        let difficulty = ShareDifficulty::new(settings.difficulty).map_err(invalid)?;
        let listener = listener::listen(settings.listen)?;
        let addr = listener.local_addr()?;
        let pool = Arc::new(Shared::new(settings, difficulty));
        let (orders, told) = watch::channel(Orders {
            door: Door::Open,
            drops: 0,
        });
        let listening = tokio::spawn(listener::run(listener, addr, Arc::clone(&pool), told));
        let templates = tokio::spawn(make_templates(Arc::clone(&pool)));
        Ok(SimPool {
            addr,
            pool,
            orders,
            listening,
            templates,
        })
    }

    /// Where it listens; the same for as long as it lives.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it has counted until now.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.pool.ledger().snapshot()
    }

    /// The last accepted shares in order, at most as many as [`PoolSettings::record_shares`].
    #[must_use]
    pub fn accepted_shares(&self) -> Vec<AcceptedShare> {
        self.pool.ledger().recorded()
    }

    /// Waits until the counts satisfy `condition`.
    ///
    /// # Errors
    /// The last counts seen, if that takes longer than `limit`.
    pub async fn wait_for(
        &self,
        limit: Duration,
        condition: impl Fn(&PoolStats) -> bool,
    ) -> Result<PoolStats, Box<PoolStats>> {
        let deadline = Instant::now() + limit;
        loop {
            let stats = self.stats();
            if condition(&stats) {
                return Ok(stats);
            }
            if Instant::now() >= deadline {
                return Err(Box::new(stats));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Finds a block: a clean job to everyone, and all earlier jobs are stale.
    pub fn new_block(&self) {
        self.pool.next_job(true);
    }

    /// A new job on the same block to everyone.
    pub fn new_template(&self) {
        self.pool.next_job(false);
    }

    /// Asks everyone for another difficulty, in force from the next job on (call [`SimPool::new_template`] for one now).
    /// Suggestions honoured until now are forgotten.
    ///
    /// # Errors
    /// [`PoolError::Difficulty`] outside 1e-10 to 1e15.
    pub fn set_difficulty(&self, difficulty: f64) -> Result<(), PoolError> {
        self.pool.set_difficulty(ShareDifficulty::new(difficulty)?);
        Ok(())
    }

    /// Makes something go wrong, or ends what stands ([`Fault::Resume`]). Returns at once; the pool's tasks carry it out.
    pub fn fault(&self, fault: Fault) {
        let pool = &self.pool;
        match fault {
            Fault::DropConnections => self.order(None, true),
            Fault::Down(time) => self.order(Some(Door::ShutUntil(Instant::now() + time)), true),
            Fault::StopListening => self.order(Some(Door::Shut), false),
            Fault::StallReads(time) => {
                let until = Instant::now() + time;
                pool.change_standing(|standing| standing.stalled_until = Some(until));
            }
            Fault::SlowReplies(delay) => {
                pool.change_standing(|standing| standing.reply_delay = delay)
            }
            Fault::SilentReplies => pool.change_standing(|standing| standing.silent_replies = true),
            Fault::NoNotify => pool.change_standing(|standing| standing.no_notify = true),
            Fault::RejectAll { code, message } => {
                pool.change_standing(|standing| standing.reject_all = Some((code, message.into())));
            }
            Fault::RefuseLogin => pool.change_standing(|standing| standing.refuse_login = true),
            Fault::Extranonce { extranonce2_size } => {
                pool.announce(Event::Extranonce { extranonce2_size })
            }
            Fault::VersionMask(mask) => pool.announce(Event::VersionMask(mask)),
            Fault::Reconnect {
                host,
                port,
                wait_secs,
            } => {
                let params = host.map_or_else(
                    || "[]".to_owned(),
                    |host| format!("[{},{port},{wait_secs}]", quoted(&host)),
                );
                pool.announce(Event::Line(
                    notification("client.reconnect", &params).into(),
                ));
            }
            Fault::ShowMessage(text) => {
                pool.announce(Event::Line(
                    notification("client.show_message", &format!("[{}]", quoted(&text))).into(),
                ));
            }
            Fault::Garbage => pool.announce(Event::Line("<html>502 Bad Gateway</html>\n".into())),
            Fault::RawLine(line) => pool.announce(Event::Line(format!("{line}\n").into())),
            Fault::Resume => {
                pool.change_standing(|standing| *standing = fault::Standing::default());
                self.order(Some(Door::Open), false);
            }
        }
    }

    fn order(&self, door: Option<Door>, drop_all: bool) {
        self.orders.send_modify(|orders| {
            orders.door = door.unwrap_or(orders.door);
            orders.drops += u64::from(drop_all);
        });
    }

    /// Stops listening, closes every connection and waits until all that is done.
    pub async fn shutdown(mut self) {
        self.order(Some(Door::Closed), true);
        // Can only fail by a panic of the task, which has been reported where it happened.
        let _ = (&mut self.listening).await;
    }
}

impl Drop for SimPool {
    fn drop(&mut self) {
        // The listener's task ends with the sender of its orders.
        self.templates.abort();
    }
}

/// Makes jobs and blocks by the clock, for as long as it is let.
async fn make_templates(pool: Arc<Shared>) {
    let every = |period: Duration| {
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    };
    let mut templates = every(pool.settings.notify_every);
    let mut blocks = pool.settings.clean_every.map(every);
    loop {
        let next_block = async {
            match &mut blocks {
                Some(ticks) => ticks.tick().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = next_block => pool.next_job(true),
            _ = templates.tick() => pool.next_job(false),
        }
    }
}
