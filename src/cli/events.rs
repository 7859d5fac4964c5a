//! `hashgate events`: what happened last, the oldest of it first; with `-f` what happens, for as long as somebody reads.
//!
//! ```text
//! a page ─► its last id ─► a stream from there on ─► it breaks off ─► another, behind the last event that was heard
//! ```
//!
//! | then | |
//! |---|---|
//! | the proxy goes away | said on standard error, once; it is tried again every [`AGAIN`], for ever |
//! | it is back | said too; what happened meanwhile is told first, and how much of it nobody knows any more |
//! | Ctrl-C, or whoever reads has closed the pipe | the end, with 0 |
//!
//! Limits: [`MAX_MESSAGE`] bytes of a message; who says nothing for [`SILENCE`] is gone.

mod messages;

use std::{ops::RangeInclusive, time::Duration};

use clap::{Args, ValueEnum};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::{
    select,
    time::{Instant, interval, sleep},
};

use self::messages::{MAX_MESSAGE, Message, Messages};
use super::{
    Failure,
    admin::{Caller, Reach, typed},
    terminal::{Colour, Ending, Look, is_unread, tell},
    words,
};
use crate::{
    api::{
        HEARTBEAT,
        wire::{EventLine, EventWord, EventsPage, Missed},
    },
    power::site::Level,
};

/// Between two tries to reach a proxy that is gone, as its stream asks for (`retry`).
const AGAIN: Duration = Duration::from_secs(2);

/// How long a stream may say nothing, not even that it is still there.
const SILENCE: Duration = Duration::from_secs(3 * HEARTBEAT.as_secs());

/// How often it is looked whether anybody still reads.
const LOOK: Duration = Duration::from_secs(1);

/// Events of a page.
const EVENTS: RangeInclusive<i64> = 0..=1_000;

/// Arguments of `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Go on with what happens from now on; Ctrl-C ends it
    #[arg(long, short)]
    follow: bool,
    /// Show at most so many of the last ones
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(EVENTS))]
    limit: u16,
    /// Only those of this kind
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<EventWord>,
    /// Only those about this pool, route, signal, group, AI block or worker
    #[arg(long, value_name = "NAME")]
    about: Option<String>,
    /// Print JSON, one event on each line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Asks, prints, and goes on if that is wanted.
///
/// # Errors
/// [`Failure`], in a sentence with what to do.
pub(super) async fn run(args: EventsArgs) -> Result<(), Failure> {
    let caller = args.reach.caller()?;
    let mut ending = if args.follow { Some(Ending::listen()?) } else { None };
    let mut page = caller.get(&["events"], &asked(&args)).await?;
    let last = page["last_id"].as_str().map(str::to_owned);
    let events = match page["events"].take() {
        Value::Array(events) => events,
        _ => Vec::new(),
    };
    // A form of another version is seen before anything is printed.
    page["events"] = Value::Array(events.clone());
    let _: EventsPage = typed(page)?;
    for event in events.into_iter().rev() {
        if !print(event, &args)? {
            return Ok(());
        }
    }
    match &mut ending {
        Some(ending) => follow(&caller, &args, last, ending).await,
        None => Ok(()),
    }
}

fn asked(args: &EventsArgs) -> Vec<(&'static str, String)> {
    let kind = args.kind.and_then(|kind| Some(kind.to_possible_value()?.get_name().to_owned()));
    let asked = [("limit", Some(args.limit.to_string())), ("kind", kind), ("about", args.about.clone())];
    asked.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// `false` if nobody reads it any more.
fn print(event: Value, args: &EventsArgs) -> Result<bool, Failure> {
    if args.json {
        return tell(&words::json_line(&event));
    }
    let EventLine { at, level, kind, words, .. } = typed(event)?;
    let word = kind.to_possible_value().map_or(String::new(), |word| word.get_name().to_owned());
    let (mark, colour) = match level {
        Level::Debug | Level::Info => ("", None),
        Level::Warn => ("! ", Some(Colour::Yellow)),
        Level::Error => ("! ", Some(Colour::Red)),
    };
    let words = format!("{mark}{words}");
    let words = colour.map_or_else(|| words.clone(), |colour| Look::now().paint(colour, &words));
    tell(&format!("{}  {word:11}  {words}\n", words::moment(at)))
}

/// Why a stream is not read any more.
enum End {
    /// Nobody reads what is printed, or it was told to end.
    Done,
    /// It broke off.
    Gone(String),
}

async fn follow(
    caller: &Caller,
    args: &EventsArgs,
    mut last: Option<String>,
    ending: &mut Ending,
) -> Result<(), Failure> {
    let mut is_away = false;
    loop {
        let opened = select! {
            () = ending.told() => return Ok(()),
            opened = caller.listen(last.as_deref()) => opened,
        };
        let why = match opened {
            Ok(stream) => {
                if std::mem::take(&mut is_away) {
                    eprintln!("hashgate: reached again");
                }
                let ended = select! {
                    () = ending.told() => return Ok(()),
                    ended = read(stream, args, &mut last) => ended?,
                };
                match ended {
                    End::Done => return Ok(()),
                    End::Gone(why) => format!("the stream of {} broke off: {why}", caller.here()),
                }
            }
            Err(Failure::Failed(why)) => why,
            Err(other) => return Err(other),
        };
        if !std::mem::replace(&mut is_away, true) {
            eprintln!("hashgate: {}; trying again every {}", words::printable(&why), humantime::format_duration(AGAIN));
        }
        let waited = select! {
            () = ending.told() => return Ok(()),
            () = sleep(AGAIN) => is_unread(),
        };
        if waited {
            return Ok(());
        }
    }
}

/// Prints what comes, until one of the two ends.
async fn read(mut stream: Incoming, args: &EventsArgs, last: &mut Option<String>) -> Result<End, Failure> {
    let mut messages = Messages::default();
    let (mut look, mut came) = (interval(LOOK), Instant::now());
    loop {
        let frame = select! {
            frame = stream.frame() => frame,
            // Nothing is lost by that: a frame is taken whole or not at all.
            _ = look.tick() => {
                if is_unread() {
                    return Ok(End::Done);
                }
                if came.elapsed() >= SILENCE {
                    return Ok(End::Gone(format!("nothing came for {}", humantime::format_duration(SILENCE))));
                }
                continue;
            }
        };
        came = Instant::now();
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Ok(End::Gone(error.to_string())),
            None => return Ok(End::Gone("it has ended".to_owned())),
        };
        let Ok(data) = frame.into_data() else { continue };
        let Some(new) = messages.push(&data) else {
            return Ok(End::Gone(format!("a message of it is longer than {MAX_MESSAGE} bytes")));
        };
        for message in new {
            if let Some(id) = &message.id {
                *last = Some(id.clone());
            }
            if !heard(&message, args)? {
                return Ok(End::Done);
            }
        }
    }
}

/// `false` if nobody reads what is printed.
fn heard(message: &Message, args: &EventsArgs) -> Result<bool, Failure> {
    let Ok(value) = serde_json::from_str::<Value>(&message.data) else { return Ok(true) };
    if message.event == "missed" {
        match serde_json::from_value(value) {
            Ok(Missed { missed: Some(missed) }) => {
                eprintln!("hashgate: {missed} events came meanwhile that nobody knows any more; the log has them");
            }
            _ => eprintln!("hashgate: the proxy was started anew; what the one before did last is in its log"),
        }
        return Ok(true);
    }
    let Ok(event) = serde_json::from_value::<EventLine>(value.clone()) else { return Ok(true) };
    let is_about = args.about.is_none() || event.about == args.about;
    let is_wanted = is_about && args.kind.is_none_or(|kind| kind == event.kind);
    if is_wanted { print(value, args) } else { Ok(true) }
}
