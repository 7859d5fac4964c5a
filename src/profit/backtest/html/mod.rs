//! The report as one page: plots and tables, readable in light and dark, on a telephone and on paper. It asks nothing of any server and
//! runs no script.
//!
//! Knows what is worth a picture; figures are `report.rs`'s, drawing is `plot.rs`'s.

mod plot;

use jiff::civil::Date;

use self::plot::{Axis, COLUMNS, Plot, Scale, escape, put, thinned, thinned_indices};
use super::{
    reference::Player,
    replay::{Doing, GroupReplay, Replay},
    report::{BestDay, GroupReport, Report, Span},
    table::{grouped, percent},
};

/// Groups that get a strip in plots; the tables have all.
const MAX_STRIPS: usize = 24;
/// Prices, per MWh, up to which their axis is nearly even.
const EVEN: f64 = 30.0;
/// The share of intervals that the second half of the duration curve shows: what is gained is gained there.
const DEAREST: f64 = 0.05;
/// The least height of a bar that stands for some time asleep: a hair that can be seen.
const HAIR: f64 = 0.08;

/// The whole page.
pub fn page(report: &Report, replay: &Replay) -> String {
    let mut page = String::new();
    let title = format!("hashgate backtest, {} to {}", report.from, report.to);
    put(
        &mut page,
        format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{}</style>\n<body>\n",
            include_str!("style.css")
        ),
    );
    header(&mut page, report);
    put(&mut page, format_args!("<h2>Earnings against the references</h2>\n<div class=\"pair\">\n"));
    page.push_str(&gains(replay, false));
    if report.all.total(true).without_excluded {
        page.push_str(&gains(replay, true));
    }
    page.push_str(&margins(replay));
    page.push_str("</div>\n<h2>Price, mining value and what was done</h2>\n");
    page.push_str(&prices(replay));
    page.push_str("<h2>How long it cost how much</h2>\n<div class=\"pair\">\n");
    page.push_str(&duration(replay, 1.0));
    page.push_str(&duration(replay, DEAREST));
    page.push_str("</div>\n");
    let apart = report.all.total(true);
    days(&mut page, replay, report.all.total(false));
    if apart.without_excluded {
        days(&mut page, replay, apart);
    }
    page.push_str("<h2>Figures</h2>\n");
    if report.groups.len() > 1 {
        page.push_str(&table(&report.all));
    }
    report.groups.iter().for_each(|group| page.push_str(&table(group)));
    footer(&mut page, report);
    page
}

fn header(page: &mut String, report: &Report) {
    let total = report.all.total(false);
    let apart = report.all.total(true);
    let policy = total.of(Player::Policy);
    put(
        page,
        format_args!(
            "<h1>hashgate backtest</h1>\n<p class=\"soft\">{} to {} (UTC) · {} intervals of {} min · {} · money in {}, at the site meter</p>\n\
             <div class=\"cards\">\n",
            report.from,
            report.to,
            grouped(report.intervals as f64),
            report.interval_minutes,
            count(report.groups.len(), "group"),
            escape(&report.currency),
        ),
    );
    let mut card = |figure: String, words: &str| {
        put(page, format_args!("<div class=\"card\"><b>{}</b><span>{}</span></div>\n", escape(&figure), escape(words)));
    };
    card(grouped(policy.margin), "earned by this policy, power paid");
    card(grouped(policy.gain), "more than always mining");
    card(percent(total.capture_of_myopic), "of what a myopic rule gains");
    card(percent(total.capture_of_clairvoyant_paying), "of what perfect foresight gains, switching paid");
    if apart.without_excluded {
        card(grouped(apart.of(Player::Policy).gain), "more than always mining, less excluded days");
        card(percent(apart.capture_of_clairvoyant_paying), "of perfect foresight, less excluded days");
    }
    card(percent(total.unprofitable), "of intervals in which power cost more than mining earned");
    let groups = report.groups.len().max(1) as f64;
    card(grouped(policy.switches_per_year / groups), "switches of a group in a year");
    page.push_str("</div>\n");
}

/// Cumulative gains over always mining, with or without those of excluded days.
fn gains(replay: &Replay, without_excluded: bool) -> String {
    let players = [Player::ClairvoyantFree, Player::ClairvoyantPaying, Player::Myopic, Player::Policy];
    let always = cumulative(replay, Player::AlwaysMine, without_excluded);
    let lines = players.map(|player| {
        let margins = cumulative(replay, player, without_excluded);
        (player, margins.iter().zip(&always).map(|(margin, always)| margin - always).collect::<Vec<f64>>())
    });
    by_day(
        replay,
        &lines,
        if without_excluded {
            "The same without the gains of excluded days (shaded)."
        } else {
            "Gain over always mining, summed up."
        },
    )
}

/// Cumulative margins.
fn margins(replay: &Replay) -> String {
    let players = [Player::NeverMine, Player::AlwaysMine, Player::Policy];
    let lines = players.map(|player| (player, cumulative(replay, player, false)));
    by_day(replay, &lines, "What is left after power is paid, summed up.")
}

fn by_day(replay: &Replay, lines: &[(Player, Vec<f64>)], caption: &str) -> String {
    let last = replay.days.len() as f64;
    let y = Axis::around(Scale::Linear, lines.iter().flat_map(|(_, line)| line.iter().copied()));
    let mut plot = Plot::new(Axis::new(Scale::Linear, 0.0, last), y, 260, in_short);
    plot.x_labels(months(replay, |day| day as f64));
    for (day, date) in replay.days.iter().enumerate() {
        if replay.window.excludes(*date) {
            plot.band("excluded", "excluded", day as f64, day as f64 + 1.0);
        }
    }
    for (player, line) in lines {
        // A day's sum stands at its end.
        let points = thinned_indices(line.len()).map(|day| (day as f64 + 1.0, line[day]));
        plot.line(class(*player), player.name(), std::iter::once((0.0, 0.0)).chain(points));
    }
    plot.figure(caption)
}

/// Margins of all groups, summed up day by day; excluded days may count as nothing.
fn cumulative(replay: &Replay, player: Player, without_excluded: bool) -> Vec<f64> {
    let mut sum = 0.0;
    (0..replay.days.len())
        .map(|day| {
            if !(without_excluded && replay.window.excludes(replay.days[day])) {
                sum += replay.groups.iter().map(|group| group.accounts[player as usize][day].margin()).sum::<f64>();
            }
            sum
        })
        .collect()
}

/// Price over time with each group's mining value, and strips of what each group did.
fn prices(replay: &Replay) -> String {
    let count = replay.prices.len();
    let x = Axis::new(Scale::Linear, 0.0, count as f64);
    let columns = thinned(&replay.prices);
    let y = Axis::around(Scale::Symlog(EVEN), columns.iter().flat_map(|(_, low, high)| [*low, *high]));
    let mut plot = Plot::new(x, y, 300, in_short);
    let day_begin = |day: usize| replay.day_of.partition_point(|of| *of < day) as f64;
    plot.x_labels(months(replay, day_begin));
    plot.area("price", "power price at the meter, lowest to highest", &columns);
    for group in replay.groups.iter().take(MAX_STRIPS) {
        let points = thinned_indices(group.value.len()).map(|day| (day_begin(day), group.value[day]));
        plot.stairs("value thin", "", points);
    }
    plot.legend("value", "what a MWh earns by mining, one line for each group");
    let mut figure = String::from("<figure>");
    figure.push_str(&plot.canvas());
    for group in replay.groups.iter().take(MAX_STRIPS) {
        figure.push_str(&strip(group, 0..count));
    }
    if replay.groups.len() > MAX_STRIPS {
        let more = replay.groups.len() - MAX_STRIPS;
        put(&mut figure, format_args!("<p class=\"soft\">and {more} more groups, in the tables</p>"));
    }
    put(
        &mut figure,
        format_args!(
            "<div class=\"legend\"><span class=\"key price\">power price at the meter, from lowest to highest</span>\
             <span class=\"key value\">what a MWh earns by mining, a line for each group</span>\
             <span class=\"key mining\">mining</span><span class=\"key asleep\">asleep</span><span class=\"key ai\">AI has the power</span></div>\
             <figcaption>Per MWh; the scale is even around nought and by powers beyond. In the strips the height of a bar is the share of its time, \
             and never less than a hair.</figcaption></figure>\n"
        ),
    );
    figure
}

/// What a group did in some intervals.
fn strip(group: &GroupReplay, intervals: std::ops::Range<usize>) -> String {
    let count = intervals.len();
    let width = count.div_ceil(COLUMNS).max(1);
    let axis = Axis::new(Scale::Linear, 0.0, count as f64);
    let mut plot = Plot::new(axis, Axis::new(Scale::Linear, 1.0, 1.0), 18, |_| String::new());
    let doing = &group.doing[intervals];
    let bars = |wanted: fn(Doing) -> bool| {
        doing.chunks(width).enumerate().filter_map(move |(column, chunk)| {
            let share = chunk.iter().filter(|doing| wanted(**doing)).count() as f64 / chunk.len() as f64;
            let from = (column * width) as f64;
            (share > 0.0).then(|| (from, from + chunk.len() as f64, share.max(HAIR)))
        })
    };
    // Asleep for whatever reason, and over it the part that AI had.
    plot.bars("asleep", "asleep", bars(|doing| doing != Doing::Mining));
    plot.bars("ai", "AI has the power", bars(|doing| doing == Doing::Ai));
    format!("<div class=\"strip\"><span title=\"{0}\">{0}</span>{1}</div>", escape(&group.name), plot.canvas())
}

/// The price-duration curve: the dearest `part` of intervals, dearest first.
fn duration(replay: &Replay, part: f64) -> String {
    let mut sorted: Vec<f64> = replay.prices.iter().flatten().copied().collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let shown = ((sorted.len() as f64 * part).ceil() as usize).min(sorted.len());
    let total = sorted.len().max(1) as f64;
    sorted.truncate(shown);
    let x = Axis::new(Scale::Linear, 0.0, part * 100.0);
    let y = Axis::around(Scale::Symlog(EVEN), sorted.iter().copied());
    let mut plot = Plot::new(x, y, 240, in_short);
    plot.x_labels((0..5).map(|fifth| {
        let share = part * 20.0 * f64::from(fifth);
        (share, format!("{share} %"))
    }));
    for group in replay.groups.iter().take(MAX_STRIPS) {
        let mean = group.value.iter().sum::<f64>() / group.value.len().max(1) as f64;
        plot.line("value thin dashed", "", [(0.0, mean), (part * 100.0, mean)]);
    }
    plot.legend("value", "what a MWh earned by mining on average, by group");
    let points = thinned_indices(shown).map(|index| (index as f64 / total * 100.0, sorted[index]));
    plot.line("policy", "power price at the meter, dearest first", points.collect::<Vec<_>>());
    plot.figure(&if part < 1.0 {
        format!("The dearest {} % of intervals.", part * 100.0)
    } else {
        "All intervals.".to_owned()
    })
}

/// The days of a span on which the policy gained most.
fn days(page: &mut String, replay: &Replay, span: &Span) {
    if span.best_days.is_empty() {
        return;
    }
    put(page, format_args!("<h2>The most valuable of {}</h2>\n<div class=\"days\">\n", span.title()));
    span.best_days.iter().for_each(|day| page.push_str(&one_day(replay, day)));
    page.push_str("</div>\n");
}

/// One day, interval by interval.
fn one_day(replay: &Replay, day: &BestDay) -> String {
    let Some(index) = replay.days.iter().position(|date| *date == day.date) else {
        return String::new();
    };
    let begin = replay.day_of.partition_point(|of| *of < index);
    let end = replay.day_of.partition_point(|of| *of <= index);
    let prices = &replay.prices[begin..end];
    let count = prices.len() as f64;
    let values = || replay.groups.iter().take(MAX_STRIPS).map(|group| group.value[index]);
    let y = Axis::around(Scale::Symlog(EVEN), prices.iter().flatten().copied().chain(values()));
    let mut plot = Plot::new(Axis::new(Scale::Linear, 0.0, count), y, 120, in_short);
    plot.x_labels([0, 6, 12, 18].map(|hour| (f64::from(hour) / 24.0 * count, format!("{hour}:00"))));
    values().for_each(|value| plot.line("value thin", "", [(0.0, value), (count, value)]));
    let points = prices.iter().enumerate().filter_map(|(interval, price)| Some((interval as f64, (*price)?)));
    plot.stairs("policy thin", "", points);
    let mut figure = format!(
        "<figure><h3>{} · gained {}{}</h3>{}",
        day.date,
        grouped(day.gain),
        if day.excluded { " · excluded" } else { "" },
        plot.canvas()
    );
    replay.groups.iter().take(MAX_STRIPS).for_each(|group| figure.push_str(&strip(group, begin..end)));
    put(
        &mut figure,
        format_args!(
            "<figcaption>perfect foresight: {}</figcaption></figure>\n",
            grouped(day.gain_of_clairvoyant_paying)
        ),
    );
    figure
}

fn table(group: &GroupReport) -> String {
    let mut table = match group.joules_per_terahash {
        Some(efficiency) => {
            format!("<h3>{} · {efficiency} J/TH · {:.3} MW</h3>\n", escape(&group.name), group.megawatts)
        }
        None => format!("<h3>{} · {:.3} MW</h3>\n", escape(&group.name), group.megawatts),
    };
    table.push_str("<div class=\"scroll\"><table>\n<tr>");
    for head in [
        "",
        "unprofitable",
        "gain",
        "of myopic",
        "of foresight",
        "of free",
        "switches a year",
        "margin",
        "always mine",
        "never mine",
        "myopic",
        "foresight",
        "switching free",
        "revenue",
        "cost",
        "hours mining",
        "hours AI",
        "hours asleep",
        "minutes lost",
    ] {
        put(&mut table, format_args!("<th>{head}</th>"));
    }
    table.push_str("</tr>\n");
    for span in &group.spans {
        let policy = span.of(Player::Policy);
        let margin = |player| grouped(span.of(player).margin);
        let cells = [
            span.title(),
            percent(span.unprofitable),
            grouped(policy.gain),
            percent(span.capture_of_myopic),
            percent(span.capture_of_clairvoyant_paying),
            percent(span.capture_of_clairvoyant_free),
            grouped(policy.switches_per_year),
            grouped(policy.margin),
            margin(Player::AlwaysMine),
            margin(Player::NeverMine),
            margin(Player::Myopic),
            margin(Player::ClairvoyantPaying),
            margin(Player::ClairvoyantFree),
            grouped(policy.revenue),
            grouped(policy.cost),
            grouped(policy.hours_mining),
            grouped(policy.hours_ai),
            grouped(policy.hours_curtailed),
            grouped(policy.minutes_lost),
        ];
        table.push_str(if span.year.is_none() { "<tr class=\"total\">" } else { "<tr>" });
        cells.iter().for_each(|cell| put(&mut table, format_args!("<td>{}</td>", escape(cell))));
        table.push_str("</tr>\n");
    }
    table.push_str("</table></div>\n");
    table
}

fn footer(page: &mut String, report: &Report) {
    page.push_str(
        "<h2>How to read this</h2>\n<p>The policy is the live engine with this config, in virtual time. It saw each price one interval late and each \
         row of bitcoin a day late; money is settled at what held. <b>Always mine</b> never sleeps. <b>Myopic</b> is the same machine following the last \
         known price, without band and dwell. <b>Clairvoyant, paying</b> (foresight) is the best sequence of orders there is, found with all prices \
         known; <b>free</b> pays nothing for switching. Margins stand beside each other; gains are margins less that of always mining, and <i>of …</i> is the policy's gain as a share of a reference's.</p>\n",
    );
    let lists = [("Mended in the files", &report.repairs), ("Not played", &report.unplayed)];
    for (title, lines) in lists.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        put(page, format_args!("<h3>{title}</h3>\n<ul>\n"));
        lines.iter().for_each(|line| put(page, format_args!("<li>{}</li>\n", escape(line))));
        page.push_str("</ul>\n");
    }
    put(page, format_args!("<footer><p>hashgate {}</p></footer>\n</body>\n</html>\n", report.hashgate));
}

/// Where months begin, as few as there is room for: years, or months of a short history.
fn months(replay: &Replay, at: impl Fn(usize) -> f64) -> Vec<(f64, String)> {
    let is_long = replay.days.len() > 800;
    let label = |date: &Date| match (is_long, date.month(), date.day()) {
        (true, 1, 1) => Some(date.year().to_string()),
        (false, _, 1) => Some(format!("{}-{:02}", date.year(), date.month())),
        _ => None,
    };
    let days = replay.days.iter().enumerate();
    let mut labels: Vec<(f64, String)> = days.filter_map(|(day, date)| Some((at(day), label(date)?))).collect();
    if labels.len() < 2 {
        labels = replay.days.iter().enumerate().map(|(day, date)| (at(day), date.to_string())).collect();
    }
    labels
}

fn class(player: Player) -> &'static str {
    match player {
        Player::Policy => "policy",
        Player::AlwaysMine => "always",
        Player::NeverMine => "never",
        Player::Myopic => "myopic",
        Player::ClairvoyantFree => "free dashed",
        Player::ClairvoyantPaying => "paying",
    }
}

/// A label of an axis: `-250`, `12k`, `1.5M`.
fn in_short(number: f64) -> String {
    let round = |number: f64, unit: &str| {
        let text = format!("{number:.1}");
        format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
    };
    match number.abs() {
        large if large >= 1e6 => round(number / 1e6, "M"),
        large if large >= 1e4 => round(number / 1e3, "k"),
        _ => round(number, ""),
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
