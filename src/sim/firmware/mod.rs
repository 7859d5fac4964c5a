//! Simulated firmware of ASICs: four makes that speak their documented wire formats over real sockets, one machine behind each, and can lie.
//!
//! It knows no proxy and no site: whoever tells it to sleep speaks like any management software. What it takes and what it answers is
//! written from the makers' documentation and from recordings, not from the drivers that it tests.
//!
//! | make | file | speaks |
//! |---|---|---|
//! | [`Make::Luxos`] | `luxos.rs` | JSON over TCP; one session, which ends when it is not used |
//! | [`Make::Braiins`] | `braiins.rs` | REST with a token |
//! | [`Make::Antminer`] | `antminer.rs` | CGI with Digest authentication; the whole config in and out |
//! | [`Make::Axeos`] | `axeos.rs` | REST |
//!
//! What goes wrong on demand: `fault.rs`. The machine: `machine.rs`. HTTP by hand, so that it can be broken off anywhere: `wire.rs`.
//!
//! Limits: [`MAX_CONNECTIONS`] at once, one more waits; [`wire::MAX_REQUEST`] bytes of a request; [`PATIENCE`] for it.

mod antminer;
mod axeos;
mod braiins;
mod fault;
mod luxos;
mod machine;
mod wire;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

pub use fault::Fault;
pub use machine::Machine;

/// Connections at once.
const MAX_CONNECTIONS: usize = 64;
/// Time for a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections that wait to be taken.
const BACKLOG: u32 = 64;
/// After a failed accept: no file may be left for now.
const PAUSE: Duration = Duration::from_millis(50);

/// Whose firmware it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    /// LuxOS.
    Luxos,
    /// Braiins OS 25.07.
    Braiins,
    /// Bitmain's own.
    Antminer,
    /// AxeOS 2.14.
    Axeos,
}

impl Make {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Luxos, Self::Braiins, Self::Antminer, Self::Axeos];

    /// Its name in arguments.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Luxos => "luxos",
            Self::Braiins => "braiins",
            Self::Antminer => "antminer",
            Self::Axeos => "axeos",
        }
    }

    /// Whether it asks who speaks.
    #[must_use]
    pub const fn has_login(self) -> bool {
        matches!(self, Self::Braiins | Self::Antminer)
    }
}

impl fmt::Display for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Make {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|make| make.label() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::label).join(", ");
            format!("no firmware is called \"{text}\"; known are {known}")
        })
    }
}

/// What a firmware is made of.
#[derive(Debug, Clone)]
pub struct FirmwareSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whose it is.
    pub make: Make,
    /// What is wrong with it.
    pub fault: Option<Fault>,
    /// Who may log in.
    pub user: String,
    /// And with what.
    pub password: String,
    /// How late [`Fault::IsLate`] is. Real firmware was seen to take 21 s.
    pub late: Duration,
    /// After which a session, or a token, that is not used ends.
    pub session: Duration,
    /// What LuxOS calls its version.
    pub version: String,
    /// Antminer alone: it refuses a config with keys that it did not give, as some S21+ do.
    pub is_strict: bool,
    /// What is behind it.
    pub machine: Machine,
}

impl FirmwareSettings {
    /// One that works, on a free port of this host.
    #[must_use]
    pub fn new(make: Make) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            make,
            fault: None,
            user: "root".to_owned(),
            password: "simulated".to_owned(),
            late: Duration::from_secs(21),
            session: Duration::from_secs(60),
            version: "2025.4.8.220305-57b389c7".to_owned(),
            is_strict: false,
            machine: Machine::default(),
        }
    }

    /// With something wrong.
    #[must_use]
    pub fn with_fault(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }
}

/// A running firmware. Dropping it ends it, and whoever is connected.
///
/// ```
/// use hashgate::sim::firmware::{FirmwareSettings, Make, SimFirmware};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let axe = SimFirmware::start(FirmwareSettings::new(Make::Axeos)).await?;
/// println!("POST http://{}/api/system/pause", axe.addr());
/// assert!(!axe.machine().is_asleep());
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct SimFirmware {
    shared: Arc<Shared>,
    addr: SocketAddr,
    task: JoinHandle<()>,
}

/// What its connections have in common.
#[derive(Debug)]
struct Shared {
    settings: FirmwareSettings,
    state: Mutex<State>,
}

/// What changes.
#[derive(Debug)]
struct State {
    machine: Machine,
    luxos: luxos::Sessions,
    braiins: braiins::Tokens,
    antminer: antminer::Nonces,
    /// Requests since it began.
    requests: usize,
    /// Nobody is heard while it boots in between.
    away: usize,
}

impl Drop for SimFirmware {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SimFirmware {
    /// Starts it on the current runtime.
    ///
    /// # Errors
    /// When its address can't be bound.
    pub async fn start(settings: FirmwareSettings) -> io::Result<Self> {
        let socket = if settings.listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(settings.listen)?;
        let addr = socket.local_addr()?;
        let state = State {
            machine: settings.machine.clone(),
            luxos: luxos::Sessions::default(),
            braiins: braiins::Tokens::default(),
            antminer: antminer::Nonces::default(),
            requests: 0,
            away: 0,
        };
        let is_away = settings.fault == Some(Fault::IsAway);
        let shared = Arc::new(Shared { settings, state: Mutex::new(state) });
        let task = if is_away {
            // The port is its own, and nobody listens there: whoever connects is refused.
            tokio::spawn(async move {
                let _bound = socket;
                std::future::pending::<()>().await;
            })
        } else {
            tokio::spawn(serve(socket.listen(BACKLOG)?, Arc::clone(&shared)))
        };
        Ok(Self { shared, addr, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The machine behind it, as it truly is.
    #[must_use]
    pub fn machine(&self) -> Machine {
        self.shared.state().machine.clone()
    }

    /// Antminer's config as it was written last; `None` if it never was.
    #[must_use]
    pub fn written(&self) -> Option<serde_json::Value> {
        self.shared.state().antminer.written.clone()
    }

    /// Requests that it has taken.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shared.state().requests
    }

    /// Whether somebody has a session that did not end: LuxOS alone.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.shared.state().luxos.is_held(self.shared.settings.session)
    }

    /// Forgets all tokens and nonces, as after a restart: whoever has one must log in anew.
    pub fn forget_logins(&self) {
        let mut state = self.shared.state();
        state.braiins = braiins::Tokens::default();
        state.antminer.forget();
    }

    /// Somebody else sets Braiins OS's power target, or Antminer's mode.
    pub fn set_by_hand(&self, target: u64, mode: u64) {
        let mut state = self.shared.state();
        (state.machine.target, state.machine.mode) = (target, mode);
    }
}

impl Shared {
    /// Stays usable when another thread panicked while it held it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, fault: Fault) -> bool {
        self.settings.fault == Some(fault)
    }

    /// Whether it does what it says.
    fn obeys(&self) -> bool {
        !self.has(Fault::StaysAsItIs) && !self.has(Fault::IsThereAlready)
    }

    /// An order is taken; its answer may have to wait.
    async fn order(&self, name: &'static str, sleeps: bool) -> Ending {
        self.state().machine.order(name, sleeps, self.obeys());
        if self.has(Fault::IsLate) {
            sleep(self.settings.late).await;
        }
        if !sleeps && self.has(Fault::ResetsWhenWoken) {
            self.state().machine.reboot();
            return Ending::Reset;
        }
        if self.has(Fault::HalfAnswers) { Ending::Half } else { Ending::Whole }
    }

    /// The first call of an order was answered: the next ones find nobody.
    fn step(&self) {
        if self.has(Fault::RebootsInBetween) {
            let mut state = self.state();
            state.machine.reboot();
            state.away = 2;
        }
    }

    /// Whether this connection finds nobody.
    fn is_away_now(&self) -> bool {
        let mut state = self.state();
        let is_away = state.away > 0;
        state.away = state.away.saturating_sub(1);
        is_away
    }
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Whole,
    /// In the middle of its document.
    Half,
    /// With a reset.
    Reset,
}

async fn serve(socket: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept(), if connections.len() < MAX_CONNECTIONS => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // Who says nothing is not waited for; what goes wrong on the way is the client's to see.
            let _ = timeout(PATIENCE, connection(stream, &shared)).await;
        });
    }
}

async fn connection(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    if shared.has(Fault::IsSilent) {
        sleep(PATIENCE).await;
        return Ok(());
    }
    if shared.is_away_now() {
        return wire::reset(stream);
    }
    match shared.settings.make {
        Make::Luxos => luxos::talk(stream, shared).await,
        Make::Braiins => wire::talk(stream, shared, braiins::answer).await,
        Make::Antminer => wire::talk(stream, shared, antminer::answer).await,
        Make::Axeos => wire::talk(stream, shared, axeos::answer).await,
    }
}
