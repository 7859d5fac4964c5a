//! `hashgate status`: what the running proxy does and why, and what is wrong, on one screen.
//!
//! Knows which documents are asked for and when; what they look like is in `status/screen.rs`.
//!
//! | | |
//! |---|---|
//! | once | printed, as wide as the terminal |
//! | `--watch` on a terminal | drawn anew on a screen of its own; Ctrl-C gives the terminal back. While the proxy is away, what it said last stands there, and how old that is |
//! | `--watch` elsewhere | one after the other, with an empty line between |
//! | `--json` | the API's documents in one object, by their names: `status`, `groups`, `signals`, `reload`; with `--watch` one on each line |

mod screen;

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use self::screen::{Documents, draw};
use super::{
    Failure,
    admin::{Caller, Reach, typed},
    terminal::{Ending, Look, Screen, tell},
    words,
};

/// The shortest time between two looks: they are four questions each.
const SHORTEST: Duration = Duration::from_millis(200);

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show it again and again, every so many seconds
    #[arg(long, short, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2", value_parser = seconds)]
    watch: Option<Duration>,
    /// End with 3 if anything is wrong, for scripts
    #[arg(long, conflicts_with = "watch")]
    check: bool,
    /// Print JSON: the API's documents in one object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let is_sensible = |every: &Duration| (SHORTEST..=Duration::from_secs(86_400)).contains(every);
    number.filter(is_sensible).ok_or_else(|| "not a number of seconds from 0.2 to a day".to_owned())
}

/// Asks, and shows the answers.
///
/// # Errors
/// [`Failure`], in a sentence with what to do; [`Failure::Unwell`] if something is wrong and that was asked.
pub(super) async fn run(args: StatusArgs) -> Result<(), Failure> {
    let caller = args.reach.caller()?;
    if let Some(every) = args.watch {
        return watch(&caller, every, args.json).await;
    }
    let answers = Answers::ask(&caller).await?;
    if args.json {
        tell(&words::json(&answers.whole()))?;
    } else {
        tell(&draw(&answers.documents()?, caller.here(), None, Look::now().without_end()))?;
    }
    let is_well = answers.status["alerts"].as_array().is_some_and(Vec::is_empty);
    if args.check && !is_well { Err(Failure::Unwell) } else { Ok(()) }
}

/// What the proxy answered.
struct Answers {
    status: Value,
    groups: Value,
    signals: Value,
    reload: Value,
}

impl Answers {
    async fn ask(caller: &Caller) -> Result<Self, Failure> {
        let get = async |path| caller.get(&[path], &[]).await;
        Ok(Self {
            status: get("status").await?,
            groups: get("groups").await?,
            signals: get("signals").await?,
            reload: get("reload").await?,
        })
    }

    fn whole(&self) -> Value {
        let Self { status, groups, signals, reload } = self;
        json!({ "status": status, "groups": groups, "signals": signals, "reload": reload })
    }

    fn documents(&self) -> Result<Documents, Failure> {
        let Self { status, groups, signals, reload } = self;
        Ok(Documents {
            status: typed(status.clone())?,
            groups: typed(groups.clone())?,
            signals: typed(signals.clone())?,
            reload: typed(reload.clone())?,
        })
    }
}

async fn watch(caller: &Caller, every: Duration, json: bool) -> Result<(), Failure> {
    let mut ending = Ending::listen()?;
    // Who can't be reached at all is told so, and no screen is taken.
    let mut answers = Answers::ask(caller).await?;
    let screen = if Look::now().lines.is_some() && !json { Some(Screen::open()?) } else { None };
    let (mut away, mut is_first) = (None::<(Timestamp, String)>, true);
    loop {
        let begun = Instant::now();
        let look = Look::now();
        let note = away.as_ref().map(|(since, why)| {
            format!("not reached for {}, this is what it said then: {why}", words::ago(*since, Timestamp::now()))
        });
        let is_read = match (&screen, json) {
            // What is old is no news for a program.
            (_, true) if away.is_some() => true,
            (_, true) => tell(&words::json_line(&answers.whole()))?,
            (Some(screen), false) => screen.draw(&draw(&answers.documents()?, caller.here(), note.as_deref(), look))?,
            (None, false) => {
                let between = if is_first { "" } else { "\n" };
                tell(&format!("{between}{}", draw(&answers.documents()?, caller.here(), note.as_deref(), look)))?
            }
        };
        is_first = false;
        if !is_read {
            return Ok(());
        }
        let next = async {
            sleep_until(begun + every).await;
            Answers::ask(caller).await
        };
        let asked = select! {
            () = ending.told() => return Ok(()),
            asked = next => asked,
        };
        match asked {
            Ok(new) => (answers, away) = (new, None),
            // It may come back.
            Err(Failure::Failed(why)) => {
                let since = away.map_or_else(Timestamp::now, |(since, _)| since);
                away = Some((since, words::printable(&why)));
            }
            Err(other) => return Err(other),
        }
    }
}
