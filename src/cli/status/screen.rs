//! What `hashgate status` shows: the documents in, a screen out.
//!
//! ```text
//! hashgate 0.1.0 at http://127.0.0.1:9334, up 3days 4h, active     2026-11-23 09:58:12Z
//! PARTIAL: 2 of 3 groups mine; old: drain: margin -21.4 $/MWh is under -6.9; …
//!
//! hashrate  40.9 kH/s …            one line for each fact that there is
//!
//! POOL      STATE  …               one line for each pool, group and thing that is wrong
//! ```
//!
//! Names and sentences are made fit for a terminal before they come here ([`typed`](crate::cli::admin::typed)).
//!
//! Limits: [`MAX_ROWS`] lines of each list, less where the screen is lower: then each list has its part, and says how many more there are.

use crate::{
    api::{
        reload::ReloadPage,
        wire::{Alert, GroupCard, GroupsPage, PoolLine, PoolState, Severity, SignalState, SignalsPage, StatusPage},
    },
    cli::{
        terminal::{Colour, Look},
        words::{ago, clip, hashrate, kw, lasts, moment, percent, percent_of, roughly, wrap},
    },
    power::{control::Control, group::Phase},
};

/// Lines of a list where the screen sets no limit.
const MAX_ROWS: usize = 20;

/// Lines of the sentence that says what it does and why.
const HEADLINE: usize = 3;

/// Lines of a fact.
const FACT: usize = 2;

/// Columns of what stands before a fact.
const LABEL: usize = 10;

/// Columns of a name in a list.
const NAME: usize = 16;

/// What the proxy said.
pub struct Documents {
    /// `GET /api/v1/status`.
    pub status: StatusPage,
    /// `GET /api/v1/groups`.
    pub groups: GroupsPage,
    /// `GET /api/v1/signals`.
    pub signals: SignalsPage,
    /// `GET /api/v1/reload`.
    pub reload: ReloadPage,
}

/// A list: its heading, and a line for each of what is in it.
struct List {
    head: Option<String>,
    rows: Vec<String>,
    /// What more of them are called.
    more: &'static str,
}

/// The screen. `note`: what is to be known of it before all else.
pub fn draw(documents: &Documents, here: &str, note: Option<&str>, look: Look) -> String {
    let Documents { status, groups, signals, reload } = documents;
    let mut top = vec![title(status, here, look)];
    for line in note.map(|note| wrap(note, look.columns, 2)).unwrap_or_default() {
        top.push(look.paint(Colour::Red, &line));
    }
    top.extend(wrap(&status.headline, look.columns, HEADLINE));
    top.push(String::new());
    let facts = [
        hashing(status),
        miners(status),
        shares(status),
        site(status),
        ai(status),
        earnings(status),
        store(status),
        signals_in_words(signals),
        waiting(reload),
    ];
    for (label, words) in facts.into_iter().flatten() {
        let mut label = look.paint(Colour::Bold, &format!("{label:LABEL$}"));
        for line in wrap(&words, look.columns.saturating_sub(LABEL), FACT) {
            top.push(format!("{label}{line}"));
            label = " ".repeat(LABEL);
        }
    }
    let lists = [pools(status, look), cards(groups, look), alerts(status, look)];
    let wanted = [0, 1, 2].map(|list: usize| lists[list].rows.len());
    let heads: usize =
        lists.iter().filter(|list| !list.rows.is_empty()).map(|list| 1 + usize::from(list.head.is_some())).sum();
    // The last line of a screen stays empty: a line end there would scroll.
    let room = look.lines.map(|lines| lines.saturating_sub(1 + top.len() + heads));
    let shown = deal(room.unwrap_or(wanted.len() * MAX_ROWS), wanted);
    let mut text = top.join("\n");
    for (list, shown) in lists.into_iter().zip(shown) {
        if list.rows.is_empty() {
            continue;
        }
        text.push('\n');
        for line in list.head.into_iter().chain(cut(list.rows, shown, list.more)) {
            text.push('\n');
            text.push_str(&line);
        }
    }
    text.push('\n');
    text
}

/// Gives each list a line, and another, until there is no room or nobody wants more. Each has one whatever the room.
fn deal(room: usize, wanted: [usize; 3]) -> [usize; 3] {
    let mut dealt = wanted.map(|wanted| wanted.min(1));
    let mut left = room.saturating_sub(dealt.iter().sum());
    loop {
        let mut is_over = true;
        for (dealt, wanted) in dealt.iter_mut().zip(wanted) {
            if left > 0 && *dealt < wanted.min(MAX_ROWS) {
                *dealt += 1;
                left -= 1;
                is_over = false;
            }
        }
        if is_over {
            return dealt;
        }
    }
}

/// The first of them, and how many more there are.
fn cut(mut rows: Vec<String>, most: usize, what: &str) -> Vec<String> {
    if rows.len() > most {
        let more = rows.len() - (most - 1);
        rows.truncate(most - 1);
        rows.push(format!("… and {more} more {what}"));
    }
    rows
}

fn title(status: &StatusPage, here: &str, look: Look) -> String {
    let mode = status.mode.map_or(String::new(), |mode| format!(", {}", mode.label()));
    let left = format!("hashgate {} at {here}, up {}{mode}", status.version, lasts(status.uptime_s));
    let right = moment(status.at);
    let wide = left.chars().count() + right.chars().count();
    let line = match look.columns.checked_sub(wide) {
        Some(between @ 2..) => format!("{left}{}{right}", " ".repeat(between)),
        _ => clip(&left, look.columns),
    };
    look.paint(Colour::Bold, &line)
}

type Fact = Option<(&'static str, String)>;

fn hashing(status: &StatusPage) -> Fact {
    Some(("hashrate", format!("{} by the pace of {} miners' shares", hashrate(status.hashrate_ths), status.miners)))
}

fn miners(status: &StatusPage) -> Fact {
    let workers = &status.workers;
    let kinds = [
        (workers.offline, "offline"),
        (workers.low_hashrate, "with too low a hashrate"),
        (workers.high_stale, "with many stale shares"),
    ];
    let kinds: Vec<String> =
        kinds.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let sick = if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(", ")) };
    Some((
        "workers",
        format!(
            "{} known, {} online, {} asleep, {} sick{sick}",
            workers.known, workers.online, workers.asleep, workers.sick
        ),
    ))
}

fn shares(status: &StatusPage) -> Fact {
    let shares = &status.shares;
    let all = shares.accepted + shares.rejected;
    let stale = shares.rejected_by_reason.get("stale").copied().unwrap_or_default();
    let lately = shares.rejected_ratio_5m.map_or(String::new(), |ratio| format!(", in 5m {}", percent(ratio)));
    Some((
        "shares",
        format!(
            "{} accepted, {} rejected ({}{lately}), {stale} of these stale ({})",
            shares.accepted,
            shares.rejected,
            percent_of(shares.rejected, all),
            percent_of(stale, all)
        ),
    ))
}

fn site(status: &StatusPage) -> Fact {
    let site = status.power.as_ref()?;
    let drawn = match site.meter_kw {
        Some(meter) => format!("{} by its meter", kw(meter)),
        None => format!("{} measured", kw(site.measured_kw)),
    };
    let cap = match site.cap_kw {
        Some(cap) => format!("; {} of {} taken", kw(site.counts_kw).trim_end_matches(" kW"), kw(cap)),
        None => "; no cap".to_owned(),
    };
    Some(("site", format!("{drawn}{cap}; {} of {} machines sleep", site.asleep, site.devices)))
}

fn ai(status: &StatusPage) -> Fact {
    let site = status.power.as_ref()?;
    let is_any = site.ai_granted_kw > 0.0 || site.ai_drawn_kw > 0.0;
    is_any.then(|| ("AI", format!("{} are leased to it, it draws {}", kw(site.ai_granted_kw), kw(site.ai_drawn_kw))))
}

fn earnings(status: &StatusPage) -> Fact {
    let earned = status.earnings.as_ref()?;
    let ai = if earned.ai_per_hour == 0.0 { String::new() } else { format!(" + AI {:.2}", earned.ai_per_hour) };
    let sum = earned.margin_per_hour + 0.0;
    Some((
        "earns",
        format!(
            "{sum:.2} {}/h: mining {:.2}{ai} - power {:.2}; an estimate",
            earned.currency, earned.mining_per_hour, earned.power_per_hour
        ),
    ))
}

fn store(status: &StatusPage) -> Fact {
    let trouble = status.store.as_ref()?.trouble.as_ref()?;
    Some(("store", format!("can't be written: {trouble}")))
}

fn signals_in_words(page: &SignalsPage) -> Fact {
    if page.signals.is_empty() {
        return None;
    }
    let of = |state: SignalState| page.signals.iter().filter(move |signal| signal.state == state);
    let named = |state: SignalState, what: &str| {
        let names: Vec<String> = of(state)
            .map(|signal| {
                let age = signal.observed_at.filter(|_| state == SignalState::Stale);
                let age = age.map(|at| format!(" ({})", roughly(at, page.at))).unwrap_or_default();
                format!("{}{age}", signal.name)
            })
            .collect();
        (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")))
    };
    let fresh = match of(SignalState::Fresh).count() {
        0 => None,
        fresh => Some(format!("{fresh} fresh")),
    };
    // What is wrong stands before what is well: the line may be cut.
    let parts = [
        named(SignalState::Stale, "stale"),
        named(SignalState::Split, "sources disagree"),
        named(SignalState::Never, "never heard"),
        fresh,
    ];
    Some(("signals", parts.into_iter().flatten().collect::<Vec<_>>().join("; ")))
}

fn waiting(reload: &ReloadPage) -> Fact {
    if let Some(error) = &reload.last_error {
        let first = error.lines().next().unwrap_or_default();
        return Some(("config", format!("the file was refused: {first}")));
    }
    let first = reload.pending.first()?;
    let more = match reload.pending.len() - 1 {
        0 => String::new(),
        more => format!("; {more} more"),
    };
    Some(("restart", format!("waits for one: {}: {}{more}", first.place, first.what)))
}

fn pools(status: &StatusPage, look: Look) -> List {
    let row = |pool: &PoolLine| {
        let (state, colour) = match pool.state {
            PoolState::Active => ("active", Some(Colour::Green)),
            PoolState::Standby => ("standby", None),
            PoolState::Down => ("down", Some(Colour::Red)),
            PoolState::Unused => ("unused", None),
        };
        let state = painted(look, colour, &format!("{state:8}"));
        let rejected = format!("{} ({})", pool.rejected, percent_of(pool.rejected, pool.accepted + pool.rejected));
        let reply = pool.reply_p50_ms.map_or("-".to_owned(), |ms| format!("{ms:.0} ms"));
        format!(
            "{:NAME$}  {state}  {:>10}  {:>10}  {rejected:>14}  {reply:>8}",
            clip(&pool.name, NAME),
            hashrate(pool.hashrate_ths),
            pool.accepted
        )
    };
    let head = format!(
        "{:NAME$}  {:8}  {:>10}  {:>10}  {:>14}  {:>8}",
        "POOL", "STATE", "HASHRATE", "ACCEPTED", "REJECTED", "REPLY"
    );
    List { head: Some(look.paint(Colour::Bold, &head)), rows: status.pools.iter().map(row).collect(), more: "pools" }
}

fn cards(page: &GroupsPage, look: Look) -> List {
    let unit = format!("{}/MWh", page.currency);
    let head = format!("{:NAME$}  {:13}  {:>8}  {unit:>8}  WHY", "GROUP", "PHASE", "DRAWS");
    let rows = page.groups.iter().map(|card| card_row(card, look)).collect();
    List { head: Some(look.paint(Colour::Bold, &clip(&head, look.columns))), rows, more: "groups" }
}

fn card_row(card: &GroupCard, look: Look) -> String {
    let (phase, colour) = match (&card.power, &card.decision) {
        (Some(power), _) => {
            let colour = match power.phase {
                Phase::Mining => Some(Colour::Green),
                Phase::Fault => Some(Colour::Red),
                Phase::ManualHold | Phase::Lockout => Some(Colour::Yellow),
                _ => None,
            };
            (power.phase.label().to_owned(), colour)
        }
        // Nothing can move it: what it should do is all there is to say.
        (None, Some(decision)) => (format!("({})", decision.action), None),
        (None, None) => ("-".to_owned(), None),
    };
    let draws = card.power.as_ref().map_or("-".to_owned(), |power| kw(power.draws_kw));
    let margin = card.decision.as_ref().and_then(|decision| decision.per_mwh.margin_mining);
    let margin = margin.map_or("-".to_owned(), |margin| format!("{margin:.1}"));
    let phase = painted(look, colour, &format!("{phase:13}"));
    let name = clip(&card.name, NAME);
    let why = clip(&why(card), look.columns.saturating_sub(NAME + 13 + 8 + 8 + 4 * 2));
    format!("{name:NAME$}  {phase}  {draws:>8}  {margin:>8}  {why}").trim_end().to_owned()
}

/// An operator's word comes before prices.
fn why(card: &GroupCard) -> String {
    let ordered = card.power.as_ref().and_then(|power| power.operator.as_ref());
    match ordered {
        Some(Control::Drain { why, .. }) => format!("ordered to sleep: {why}"),
        Some(Control::Wake { why, .. }) => format!("ordered to mine: {why}"),
        Some(Control::Hold { why }) => format!("held: {why}"),
        Some(Control::Lockout { why }) => format!("locked out: {why}"),
        Some(Control::Release | Control::Unlock) | None => {
            card.decision.as_ref().map_or(String::new(), |decision| decision.reason.clone())
        }
    }
}

fn alerts(status: &StatusPage, look: Look) -> List {
    let row = |alert: &Alert| {
        let colour = match alert.severity {
            Severity::Error => Colour::Red,
            Severity::Warn => Colour::Yellow,
        };
        let words = format!("! {} ({})", alert.words, ago(alert.since, status.at));
        look.paint(colour, &clip(&words, look.columns))
    };
    List { head: None, rows: status.alerts.iter().map(row).collect(), more: "things are wrong" }
}

fn painted(look: Look, colour: Option<Colour>, text: &str) -> String {
    colour.map_or_else(|| text.to_owned(), |colour| look.paint(colour, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_share_a_low_screen_and_say_what_is_left_out() {
        assert_eq!(deal(60, [2, 3, 1]), [2, 3, 1]);
        assert_eq!(deal(10, [30, 30, 0]), [5, 5, 0]);
        assert_eq!(deal(10, [2, 30, 1]), [2, 7, 1]);
        assert_eq!(deal(0, [9, 9, 9]), [1, 1, 1], "each says at least how many there are");
        assert_eq!(deal(1000, [100, 0, 0]), [MAX_ROWS, 0, 0]);
        let rows = || (1..=12).map(|row| row.to_string()).collect::<Vec<_>>();
        assert_eq!(cut(rows(), 12, "pools").len(), 12);
        assert_eq!(cut(rows(), 3, "pools"), ["1", "2", "… and 10 more pools"]);
        assert_eq!(cut(rows(), 1, "pools"), ["… and 12 more pools"]);
    }
}
