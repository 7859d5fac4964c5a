//! Miners as an operator reads them in a terminal: a table, or all that is known of one.
//!
//! Values in, text out; texts in them are fit for a terminal already.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    api::wire::{SickWord, WorkerPage, WorkerPoint, WorkerRow, WorkersPage},
    cli::{
        terminal::{Colour, Look},
        words::{ago, clip, hashrate, line, moment, percent, percent_of, printable, roughly},
    },
};

/// Columns of a name, at most: miners may say 255 bytes.
const NAME: usize = 32;

/// Comings and goings that stand under one worker.
const EVENTS: usize = 10;

/// As API and metrics say it.
pub fn sick_word(word: SickWord) -> &'static str {
    match word {
        SickWord::Offline => "offline",
        SickWord::LowHashrate => "low_hashrate",
        SickWord::HighStale => "high_stale",
    }
}

/// In a word or three, and how bad it is.
fn state(row: &WorkerRow) -> (String, Option<Colour>) {
    if !row.sick.is_empty() {
        let colour = if row.sick.contains(&SickWord::Offline) { Colour::Red } else { Colour::Yellow };
        let words: Vec<&str> = row.sick.iter().map(|word| sick_word(*word)).collect();
        return (words.join(" "), Some(colour));
    }
    match (row.is_asleep, row.connections) {
        (true, _) => ("asleep".to_owned(), None),
        (false, 0) => ("gone".to_owned(), None),
        (false, _) => ("online".to_owned(), Some(Colour::Green)),
    }
}

/// One line for each.
pub fn table(page: &WorkersPage, only_sick: bool, look: Look, now: Timestamp) -> String {
    let counts = page.counts;
    let mut text = String::new();
    let sum = format!(
        "{} known, {} online, {} asleep, {} sick: {} together in the last ten minutes",
        counts.known,
        counts.online,
        counts.asleep,
        counts.sick,
        hashrate(counts.hashrate_ths)
    );
    if page.workers.is_empty() {
        let none = match (page.at, only_sick && counts.sick == 0) {
            (None, _) => "the miners were not counted yet",
            (_, true) => "nobody is sick",
            (_, false) => "no worker is like that",
        };
        line(&mut text, format_args!("{none}; {sum}"));
        return text;
    }
    let name_of = |row: &WorkerRow| clip(&row.name, NAME);
    let widest =
        |of: &dyn Fn(&WorkerRow) -> usize, head: &str| page.workers.iter().map(of).max().unwrap_or(0).max(head.len());
    let name = widest(&|row| name_of(row).chars().count(), "NAME");
    let states = widest(&|row| state(row).0.chars().count(), "STATE");
    let group = widest(&|row| clip(row.group.as_deref().unwrap_or("-"), NAME).chars().count(), "GROUP");
    let head = format!(
        "{:name$}  {:states$}  {:>10}  {:>6}  {:>8}  {:>7}  {:group$}  ADDRESS",
        "NAME", "STATE", "HASHRATE", "STALE", "REJECTED", "SHARE", "GROUP"
    );
    line(&mut text, format_args!("{}", look.paint(Colour::Bold, &head)));
    for row in &page.workers {
        let (words, colour) = state(row);
        let words = format!("{words:states$}");
        let words = colour.map_or_else(|| words.clone(), |colour| look.paint(colour, &words));
        let stale = row.stale_ratio.map_or("-".to_owned(), percent);
        let share = row.last_share_at.map_or("-".to_owned(), |at| roughly(at, now));
        line(
            &mut text,
            format_args!(
                "{:name$}  {words}  {:>10}  {stale:>6}  {:>8}  {share:>7}  {:group$}  {}",
                name_of(row),
                hashrate(row.hashrate_10m_ths),
                row.rejected,
                clip(row.group.as_deref().unwrap_or("-"), NAME),
                row.address
            ),
        );
    }
    let more = page.total.saturating_sub(page.workers.len() as u64);
    if more > 0 {
        line(&mut text, format_args!("{more} more of {}: --limit shows more, --search and --group fewer", page.total));
    }
    line(&mut text, format_args!("{sum}"));
    text
}

/// All that is known of one.
pub fn one(page: &WorkerPage, name: &str, now: Timestamp) -> String {
    let mut text = String::new();
    match &page.worker {
        Some(row) => present(&mut text, row, now),
        None => line(&mut text, format_args!("{name}: not there, and not seen since the proxy was started; its past:")),
    }
    past(&mut text, page);
    let events = page.events.iter().take(EVENTS);
    if !page.events.is_empty() {
        line(&mut text, format_args!("last events, the newest first"));
    }
    for event in events {
        line(&mut text, format_args!("  {}  {}", moment(event.at), event.words));
    }
    if let Some(note) = &page.note {
        line(&mut text, format_args!("note: {note}"));
    }
    text
}

fn present(text: &mut String, row: &WorkerRow, now: Timestamp) {
    let (state, _) = state(row);
    let words = row.words.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
    let there = if row.connections > 0 { "connected" } else { "gone" };
    line(text, format_args!("{}: {state}, {there} for {}{words}", row.name, ago(row.since, now)));
    let agent = row.agent.as_ref().map(|agent| format!(" ({agent})")).unwrap_or_default();
    let of =
        |what: &str, name: &Option<String>| name.as_ref().map(|name| format!(", {what} {name}")).unwrap_or_default();
    fact(
        text,
        "from",
        &format!(
            "{}, {} connections{}{}{}",
            row.address,
            row.connections,
            of("listener", &row.listener),
            of("route", &row.route),
            of("group", &row.group)
        ),
    );
    fact(text, "firmware", &format!("{}{agent}", row.firmware));
    fact(text, "difficulty", &row.difficulty.map_or("-".to_owned(), difficulty));
    let nameplate = row.nameplate_ths.map(|ths| format!("; {} by its nameplate", hashrate(ths))).unwrap_or_default();
    let [minute, ten, hour] = [row.hashrate_1m_ths, row.hashrate_10m_ths, row.hashrate_1h_ths].map(hashrate);
    fact(text, "hashrate", &format!("{minute} in 1m, {ten} in 10m, {hour} in 1h{nameplate}"));
    let all = row.accepted + row.rejected;
    let share = row.last_share_at.map_or("none yet".to_owned(), |at| format!("{} ago", ago(at, now)));
    fact(
        text,
        "shares",
        &format!(
            "{} accepted, {} rejected ({}); the last {share}",
            row.accepted,
            row.rejected,
            percent_of(row.rejected, all)
        ),
    );
    reasons(text, &row.rejected_by_reason);
    fact(
        text,
        "pools",
        &format!(
            "{} sent: {} accepted, {} rejected, {} without an answer",
            row.forwarded, row.pool_accepted, row.pool_rejected, row.pool_lost
        ),
    );
}

/// Those of simulated miners are far below 1.
fn difficulty(difficulty: f64) -> String {
    if difficulty < 0.001 { format!("{difficulty:.2e}") } else { difficulty.to_string() }
}

fn reasons(text: &mut String, rejected: &BTreeMap<String, u64>) {
    let mut reasons: Vec<(&String, &u64)> = rejected.iter().collect();
    reasons.sort_by(|a, b| b.1.cmp(a.1));
    let words: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {}", printable(reason))).collect();
    if !words.is_empty() {
        fact(text, "rejected", &words.join(", "));
    }
}

/// The last hour, as the store has it.
fn past(text: &mut String, page: &WorkerPage) {
    if page.history.is_empty() {
        return;
    }
    let sum = |of: fn(&WorkerPoint) -> u64| page.history.iter().map(of).sum::<u64>();
    let (accepted, stale, rejected) = (sum(|p| p.accepted), sum(|p| p.stale), sum(|p| p.rejected));
    let from = page.history.first().map_or(String::new(), |point| moment(point.at));
    fact(text, "since", &format!("{from}: {accepted} accepted, {stale} stale, {rejected} rejected otherwise"));
    if page.worker.is_none() {
        reasons(text, &page.rejected_by_reason);
    }
}

fn fact(text: &mut String, label: &str, words: &str) {
    line(text, format_args!("  {label:10}  {words}"));
}
