//! Replaying history: five years of quarter-hours for ten groups through the live engine, with all references, as text and to a page.

use std::{fmt::Write as _, hint::black_box, time::Duration};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use hashgate::{
    config::{Config, ProcessEnv, Profit},
    profit::{
        Currency,
        backtest::{CsvOptions, Field, History, Report, Window, page, read_btc, read_power, replay},
    },
};
use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

const QUARTER_HOURS: u32 = 5 * 365 * 96;
const DAYS: i32 = 5 * 365 + 1;
const GROUPS: u32 = 10;

/// Prices with a day's shape, noise, and spikes of some hours in a hundred.
fn power_csv() -> String {
    let mut random = SmallRng::seed_from_u64(1);
    let begin: Timestamp = "2021-01-02T00:00:00Z".parse().expect("a time");
    let mut text = String::from("time_utc,usd_per_mwh\n");
    let mut spike = 0.0;
    for quarter in 0..QUARTER_HOURS {
        spike = if random.random_bool(0.005) { random.random_range(100.0..4000.0) } else { spike * 0.7 };
        let hour = f64::from(quarter % 96) / 96.0 * std::f64::consts::TAU;
        let price = 30.0 - 15.0 * hour.cos() + random.random_range(-10.0..10.0) + spike;
        let at = begin + SignedDuration::from_mins(15 * i64::from(quarter));
        writeln!(text, "{at},{price:.2}").expect("a string");
    }
    text
}

fn btc_csv() -> String {
    let first: jiff::civil::Date = "2021-01-01".parse().expect("a date");
    let mut text = String::from("date_utc,price_usd,difficulty,fees_btc,subsidy_btc_per_block,blocks\n");
    for day in 0..DAYS {
        let date = first + jiff::Span::new().days(day);
        writeln!(text, "{date},{},{},20,6.25,144", 40_000 + 10 * day, 2e13 + 4e10 * f64::from(day)).expect("a string");
    }
    text
}

fn profit() -> Profit {
    let mut text = String::from(
        "[[listener]]\nname = \"farm\"\nlisten = \"127.0.0.1:3333\"\n[[pool]]\nname = \"pool\"\nurl = \"sim://\"\nuser = \"bench\"\n\
         [profit]\nhashprice = \"50 USD/PH/day\"\n[site]\npower_price = \"50 USD/MWh\"\n",
    );
    for group in 0..GROUPS {
        let efficiency = 15 + 3 * group;
        writeln!(text, "[[group]]\nname = \"rack-{group}\"\npower = \"1 MW\"\nefficiency = \"{efficiency} J/TH\"")
            .expect("a string");
    }
    let env = ProcessEnv { folder: ".".into() };
    Config::parse(&text, &env).expect("a config").0.profit.expect("groups")
}

fn five_years(c: &mut Criterion) {
    let options = CsvOptions { currency: Currency::USD, zone: None };
    let (power, btc, profit) = (power_csv(), btc_csv(), profit());
    let read = || History {
        power: read_power(&power, &options).expect("prices").series,
        btc: read_btc(&btc, &options).expect("days").series,
        ai: None,
        demand: None,
    };
    let history = read();
    let window = Window::default();
    let play = || replay(&Field::new(&profit, &history, &window).expect("a field"), &window, |_| ());
    let played = play();
    let mut group = c.benchmark_group("backtest of five years, ten groups");
    group.sampling_mode(SamplingMode::Flat).sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function("read", |b| b.iter(|| black_box(read())));
    group.bench_function("replay", |b| b.iter(|| black_box(play())));
    group.bench_function("report and page", |b| {
        b.iter(|| {
            let report = Report::new(&played, Vec::new());
            black_box(page(&report, &played))
        });
    });
    group.finish();
}

criterion_group!(benches, five_years);
criterion_main!(benches);
