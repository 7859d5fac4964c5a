//! `hashgate drain`, `groups` and the like: what an operator asks of the power side of a running proxy, and reads.
//!
//! Knows arguments and the terminal; what an order does is said by the proxy, in its plan.

mod show;

pub(crate) use self::show::receipts_in_words;

use std::ops::RangeInclusive;

use clap::{Args, Subcommand};
use hyper::Method;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    Failure,
    admin::{Reach, typed},
    say, words,
};
use crate::api::wire::{ConfirmWord, ForgetBody, ModeBody, ModeSet, ModeWord, OrderBody, PowerPage};

/// Machines, and receipts, that one answer holds.
const PAGE: RangeInclusive<i64> = 1..=1_000;
const RECEIPTS: RangeInclusive<i64> = 1..=500;

/// What is asked of the power side.
#[derive(Debug, Subcommand)]
pub enum PowerCommand {
    /// Show the site's power: groups, machines, orders and why, leases
    Groups(ShowArgs),
    /// Show the machines of a group
    Devices(DevicesArgs),
    /// Forget machines that were found by their connections and are gone: they count no more
    Forget(ForgetArgs),
    /// Show what the last drains and wakes moved and cost
    Receipts(ReceiptsArgs),
    /// Show or set how far decisions go
    Mode(ModeArgs),
    /// Put a group to sleep, whatever mining pays, until it is released
    Drain(TimedArgs),
    /// Let a group mine, whatever power costs, until it is released
    Wake(TimedArgs),
    /// Leave a group as it is: nothing is commanded until it is released
    Hold(ToldArgs),
    /// Put a group to sleep and let nothing wake it: somebody works on it
    Lockout(ToldArgs),
    /// End a drain, a wake or a hold: prices decide again
    Release(EndArgs),
    /// End a lockout: prices decide again
    Unlock(EndArgs),
}

/// What every order has.
#[derive(Debug, Args)]
struct Order {
    /// The group, by its name in the config
    group: String,
    /// Say what it would do, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Arguments of `drain` and `wake`.
#[derive(Debug, Args)]
pub struct TimedArgs {
    #[command(flatten)]
    order: Order,
    /// Why, for people: it is shown wherever the group is
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// For how long, as in 2h; without it until it is released
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    lasts: Option<String>,
}

/// Arguments of `hold` and `lockout`.
#[derive(Debug, Args)]
pub struct ToldArgs {
    #[command(flatten)]
    order: Order,
    /// Why, for people: it is shown wherever the group is
    #[arg(long, value_name = "TEXT")]
    why: String,
}

/// Arguments of `release` and `unlock`.
#[derive(Debug, Args)]
pub struct EndArgs {
    #[command(flatten)]
    order: Order,
    /// Why, for the proxy's log
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

/// Arguments of `groups`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Arguments of `devices`.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// The group, by its name in the config
    group: String,
    /// Leave out so many
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: usize,
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(PAGE))]
    limit: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Arguments of `forget`.
#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// The group, by its name in the config
    group: String,
    /// The machine, by its name in `hashgate devices`
    #[arg(conflicts_with = "older_than")]
    device: Option<String>,
    /// All machines of the group that are gone and were not seen for so long, as in 7d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    older_than: Option<String>,
    /// For a machine that was put to sleep and that no group of the config has any more: it is gone for good
    #[arg(long, value_name = "WORD", requires = "device", conflicts_with = "older_than")]
    confirm: Option<ConfirmWord>,
    /// Say which, and forget none
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Arguments of `receipts`.
#[derive(Debug, Args)]
pub struct ReceiptsArgs {
    /// Show at most so many, the newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(RECEIPTS))]
    limit: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Arguments of `mode`.
#[derive(Debug, Args)]
pub struct ModeArgs {
    /// From now on; without it the mode is shown
    mode: Option<ModeWord>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// The proxy reads it too; this is for a mistake to be told before anything is asked.
fn parse_duration(text: &str) -> Result<String, String> {
    let is_duration = humantime::parse_duration(text).is_ok();
    is_duration.then(|| text.to_owned()).ok_or_else(|| "not a duration; it is written as in 2h or 1h30m".to_owned())
}

/// Asks what the arguments say, and prints the answer.
///
/// # Errors
/// [`Failure`], in a sentence with what to do.
pub(super) async fn run(command: PowerCommand) -> Result<(), Failure> {
    match command {
        PowerCommand::Groups(args) => {
            let answer = args.reach.caller()?.get(&["power"], &[]).await?;
            print(answer, args.json, |page: PowerPage| show::site(&page, Timestamp::now()))
        }
        PowerCommand::Devices(args) => {
            let query = [("offset", args.offset.to_string()), ("limit", args.limit.to_string())];
            let answer = args.reach.caller()?.get(&["groups", &args.group, "devices"], &query).await?;
            print(answer, args.json, |page| show::devices(&page, Timestamp::now()))
        }
        PowerCommand::Forget(args) => forget(args).await,
        PowerCommand::Receipts(args) => {
            let answer = args.reach.caller()?.get(&["receipts"], &[("limit", args.limit.to_string())]).await?;
            print(answer, args.json, |page| show::receipts(&page))
        }
        PowerCommand::Mode(args) => mode(&args).await,
        PowerCommand::Drain(args) => order("drain", args.order, args.why, args.lasts).await,
        PowerCommand::Wake(args) => order("wake", args.order, args.why, args.lasts).await,
        PowerCommand::Hold(args) => order("hold", args.order, Some(args.why), None).await,
        PowerCommand::Lockout(args) => order("lockout", args.order, Some(args.why), None).await,
        PowerCommand::Release(args) => order("release", args.order, args.why, None).await,
        PowerCommand::Unlock(args) => order("unlock", args.order, args.why, None).await,
    }
}

async fn order(word: &str, order: Order, why: Option<String>, lasts: Option<String>) -> Result<(), Failure> {
    let body = OrderBody { why, lasts, until: None, dry_run: order.dry_run };
    let answer = order.reach.caller()?.order(Method::POST, &["groups", &order.group, word], &body).await?;
    print(answer, order.json, |plan| show::plan(&plan, order.dry_run))
}

async fn forget(args: ForgetArgs) -> Result<(), Failure> {
    if args.device.is_none() && args.older_than.is_none() {
        let help = "name a machine of the group, or write --older-than 7d for all that are gone for so long";
        return Err(Failure::Misused(help.to_owned()));
    }
    let body = ForgetBody { older_than: args.older_than, confirm: args.confirm, dry_run: args.dry_run };
    let caller = args.reach.caller()?;
    let answer = match &args.device {
        Some(device) => {
            caller.order(Method::POST, &["groups", &args.group, "devices", device, "forget"], &body).await?
        }
        None => caller.order(Method::POST, &["groups", &args.group, "devices", "forget"], &body).await?,
    };
    print(answer, args.json, |forgotten| show::forgotten(&forgotten, args.dry_run, Timestamp::now()))
}

async fn mode(args: &ModeArgs) -> Result<(), Failure> {
    let caller = args.reach.caller()?;
    match args.mode {
        Some(mode) => {
            let answer = caller.order(Method::PUT, &["mode"], &ModeBody { mode }).await?;
            print(answer, args.json, |set: ModeSet| show::mode_set(set))
        }
        None => {
            let answer = caller.get(&["power"], &[]).await?;
            let answer = serde_json::json!({ "mode": answer["mode"] });
            print(answer, args.json, |body: ModeBody| show::mode(body.mode))
        }
    }
}

fn print<T: serde::de::DeserializeOwned>(
    answer: Value,
    json: bool,
    in_words: impl FnOnce(T) -> String,
) -> Result<(), Failure> {
    let text = if json { words::json(&answer) } else { in_words(typed(answer)?) };
    say(&text);
    Ok(())
}
