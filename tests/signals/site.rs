//! A config with signals, and the live task of it.

use std::{io, path::Path, sync::Arc, time::Duration};

use hashgate::{
    config::{Config, Env, SourceKind},
    profit::{
        Reading,
        signal::SignalView,
        task::{self, Signals, Snapshot},
    },
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long anything may take that should happen at once; reached only when a test fails. Two busy cores are slow.
pub const LIMIT: Duration = Duration::from_secs(30);

/// What a config needs besides.
pub const FRAME: &str = "[proxy]\nworkers = 1\nstate_file = \"\"\n[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nname = \"pool\"\nurl = \"sim://\"\nuser = \"u\"\n";

/// The value of every variable.
pub const SECRET: &str = "0123456789abcdef-secret";

/// A world where every variable is set.
pub struct Variables;

impl Env for Variables {
    fn var(&self, _: &str) -> Option<String> {
        Some(SECRET.to_owned())
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// A config of these tables, whose sources are asked as fast as a test wants and an operator must not.
pub fn config(tables: &str) -> Config {
    let (mut config, _) =
        Config::parse(&format!("{FRAME}{tables}"), &Variables).unwrap_or_else(|errors| panic!("{errors}"));
    for source in config.signals.iter_mut().flat_map(|signal| &mut signal.sources) {
        let soon = Duration::from_millis(20);
        match &mut source.kind {
            SourceKind::HttpJson(http) => http.poll = soon,
            SourceKind::File(file) => file.poll = soon,
            SourceKind::Exec(exec) => exec.poll = soon,
            _ => {}
        }
    }
    config
}

/// The live task of a config, without a proxy around it.
pub struct Live {
    pub signals: Signals,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Live {
    pub fn start(tables: &str) -> Self {
        Self::of(config(tables))
    }

    pub fn of(config: Config) -> Self {
        let stop = CancellationToken::new();
        let (signals, running) = task::start(Arc::new(config), None, stop.clone());
        Self { signals, stop, running }
    }

    /// Waits until the first signal is as wanted.
    pub async fn wait(&self, what: &str, wanted: impl Fn(&SignalView) -> bool) -> SignalView {
        view(&self.signals, what, wanted).await
    }

    /// Waits until the first signal has a fresh value.
    pub async fn value(&self) -> f64 {
        let view = self.wait("a value", |view| view.reading.fresh().is_some()).await;
        view.reading.fresh().expect("waited for")
    }

    /// Waits until an observation of the first signal was refused for this reason, so many times.
    pub async fn refused(&self, reason: &str, times: u64) -> SignalView {
        self.wait(&format!("{reason} {times} times"), |view| {
            view.refused.get(reason).is_some_and(|count| *count >= times)
        })
        .await
    }

    pub async fn stop(self) {
        self.stop.cancel();
        timeout(LIMIT, self.running).await.expect("it ends").expect("it does not panic");
    }
}

/// Waits until the first signal is as wanted.
pub async fn view(signals: &Signals, what: &str, wanted: impl Fn(&SignalView) -> bool) -> SignalView {
    let found = snapshot(signals, what, |snapshot| wanted(&snapshot.signals[0])).await;
    found.signals[0].clone()
}

/// Waits until what is known is as wanted.
pub async fn snapshot(signals: &Signals, what: &str, wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    match timeout(LIMIT, signals.wait_for(|snapshot| wanted(snapshot))).await {
        Ok(Some(snapshot)) => snapshot,
        _ => panic!("waited in vain for {what}: {:#?}", signals.snapshot()),
    }
}

/// Whether a view shows a fresh value.
pub fn is_fresh(view: &SignalView) -> bool {
    matches!(view.reading, Reading::Fresh { .. })
}
