//! Each ready-made entry of `config.example.toml`, taken from the file itself: it reads the answer that its API documents, and
//! refuses each way in which such an API fails, without letting go of what it knew.

use hashgate::config::{Config, SourceKind};
use jiff::{SignedDuration, Timestamp};

use crate::{
    site::{FRAME, Live, SECRET, Variables, config},
    web::{Answer, Web},
};

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// The table of a signal as the example has it in comments, uncommented.
fn entry(name: &str) -> String {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    let named = lines.iter().position(|line| *line == format!("# name = {name:?}")).expect("the example has it");
    assert_eq!(lines[named - 1], "# [[signal]]");
    let table = lines[named - 1..].iter().take_while(|line| line.starts_with("# "));
    table.map(|line| format!("{}\n", line[2..].trim_start_matches("# "))).collect()
}

/// An entry at a site of another currency, which pays this price for its power.
fn in_currency(currency: &str, name: &str) -> String {
    let site = format!("[site]\npower_price = {name:?}\n[[group]]\nefficiency = \"21.5 J/TH\"\n");
    format!("[profit]\ncurrency = {currency:?}\nhashprice = \"50 {currency}/PH/day\"\n{site}{}", entry(name))
}

/// An entry that asks our server instead of the world's, and the path that it asks for.
fn here(text: &str, web: &Web) -> (String, String) {
    let url = text.split("url = \"https://").nth(1).expect("it has an address").split('"').next().expect("it ends");
    let (host, path) = url.split_once('/').expect("it has a path");
    let path = format!("/{path}");
    let plain = path.split('?').next().unwrap_or_default().to_owned();
    (text.replace(&format!("https://{host}"), &web.url("")), plain)
}

/// Only one of the sources of an entry that has several.
fn only(text: &str, host: &str) -> String {
    let mut parts = text.split("[[signal.source]]");
    let head: String = parts
        .next()
        .expect("a head")
        .lines()
        .filter(|line| !line.contains("max_spread"))
        .map(|line| format!("{line}\n"))
        .collect();
    let source = parts.find(|part| part.contains(host)).expect("the source is there");
    format!("{head}[[signal.source]]{source}")
}

fn at(offset_minutes: i64) -> Timestamp {
    let now = Timestamp::now().as_second();
    // On a whole half hour, as tariffs are.
    Timestamp::from_second(now - now.rem_euclid(1800))
        .unwrap()
        .checked_add(SignedDuration::from_mins(offset_minutes))
        .unwrap()
}

/// What an API answers.
struct Api {
    text: String,
    /// When all is well.
    good: String,
    /// What is then the value, in the canonical unit.
    value: f64,
    /// The same with zeros, where zero is impossible.
    zeros: Option<String>,
    /// The same with times yet to come.
    future: Option<String>,
    /// The same with a value that is no number.
    nan: String,
}

/// The value is read; then every failure in turn is refused for its reason, and the value stays.
async fn holds(api: Api) {
    let web = Web::start().await;
    let (text, path) = here(&api.text, &web);
    let elsewhere = Web::start().await;
    let mut answers = vec![(Answer::json(&api.good), "")];
    answers.extend(api.zeros.map(|zeros| (Answer::json(zeros), "zero")));
    answers.extend(api.future.map(|future| (Answer::json(future), "future")));
    answers.push((Answer::json(&api.nan), "not_finite"));
    answers.push((
        Answer::json("<!DOCTYPE html><html><body>Just a moment...</body></html>").header("x-a", "b"),
        "unreadable",
    ));
    answers.push((Answer::json(&api.good[..api.good.len() / 2]), "unreadable"));
    answers.push((Answer::status(429).body("{}"), "rate_limited"));
    answers.push((Answer::status(500), "failed"));
    answers.push((Answer::status(302).header("location", elsewhere.url(&path)), "redirect"));
    let mut reasons: Vec<&str> =
        answers.iter().map(|(_, reason)| *reason).filter(|reason| !reason.is_empty()).collect();
    // Between two failures all is well again, so that it is not asked more and more rarely.
    web.answers(&path, answers.into_iter().flat_map(|(answer, _)| [answer, Answer::json(&api.good)]));
    let live = Live::start(&text);
    assert!((live.value().await - api.value).abs() < 1e-9, "{text}");
    reasons.sort_unstable();
    for reason in reasons.iter().copied() {
        let times = reasons.iter().filter(|other| **other == reason).count() as u64;
        let view = live.refused(reason, times).await;
        assert_eq!(view.reading.fresh(), Some(api.value), "{reason} changed it");
    }
    assert!(elsewhere.asked().is_empty(), "a redirect elsewhere was followed");
    let shown = format!("{:?}", live.signals.snapshot());
    assert!(!shown.contains(SECRET), "{shown}");
    live.stop().await;
}

#[tokio::test]
async fn kraken() {
    let ticker = |price: &str| {
        format!(
            r#"{{"error":[],"result":{{"XXBTZUSD":{{"a":["67001.00000","1","1.000"],"b":["67000.90000","2","2.000"],"c":[{price},"0.00150000"],
            "v":["512.1","2101.7"],"p":["66900.1","66800.2"],"t":[12345,45678],"l":["66000.0","65900.0"],"h":["67500.0","67600.0"],"o":"66500.00000"}}}}}}"#
        )
    };
    holds(Api {
        text: only(&entry("btc"), "kraken"),
        good: ticker("\"67000.90000\""),
        value: 67_000.9,
        zeros: Some(ticker("\"0.00000\"")),
        future: None,
        nan: ticker("\"NaN\""),
    })
    .await;
}

#[tokio::test]
async fn kraken_answers_200_when_it_is_down() {
    let web = Web::start().await;
    let (text, path) = here(&only(&entry("btc"), "kraken"), &web);
    web.answers(&path, [Answer::json(r#"{"error":["EService:Unavailable"]}"#)]);
    let live = Live::start(&text);
    let view = live.refused("unreadable", 1).await;
    let (_, refusal) = view.sources[0].refusal.clone().expect("it is shown");
    assert!(refusal.to_string().contains("there is nothing at \"/result/XXBTZUSD/c/0\""), "{refusal}");
    assert_eq!(web.asked()[0].path, "/0/public/Ticker?pair=XBTUSD");
    live.stop().await;
}

#[tokio::test]
async fn coinbase() {
    let spot = |amount: &str| format!(r#"{{"data":{{"amount":{amount},"base":"BTC","currency":"USD"}}}}"#);
    holds(Api {
        text: only(&entry("btc"), "coinbase"),
        good: spot("\"67010.115\""),
        value: 67_010.115,
        zeros: Some(spot("\"0\"")),
        future: None,
        nan: spot("\"nan\""),
    })
    .await;
}

#[tokio::test]
async fn mempool_space() {
    let prices = |time: Timestamp, usd: &str| {
        format!(
            r#"{{"time":{},"USD":{usd},"EUR":61000,"GBP":52000,"CAD":91000,"CHF":59000,"AUD":101000,"JPY":10100000}}"#,
            time.as_second()
        )
    };
    let now = Timestamp::now();
    holds(Api {
        text: only(&entry("btc"), "mempool"),
        good: prices(now, "66990"),
        value: 66_990.0,
        // As it answers while its own node is down.
        zeros: Some(r#"{"time":0,"USD":0,"EUR":0,"GBP":0,"CAD":0,"CHF":0,"AUD":0,"JPY":0}"#.to_owned()),
        future: Some(prices(now.checked_add(SignedDuration::from_hours(1)).unwrap(), "70000")),
        nan: prices(now, "\"NaN\""),
    })
    .await;
}

#[tokio::test]
async fn the_three_together_are_a_median() {
    let web = Web::start().await;
    let mut text = entry("btc");
    for _ in 0..3 {
        text = here(&text, &web).0;
    }
    web.answers("/0/public/Ticker", [Answer::json(r#"{"error":[],"result":{"XXBTZUSD":{"c":["67000.0","1"]}}}"#)]);
    web.answers("/v2/prices/BTC-USD/spot", [Answer::json(r#"{"data":{"amount":"67100.0"}}"#)]);
    web.answers(
        "/api/v1/prices",
        [Answer::json(format!(r#"{{"time":{},"USD":66900}}"#, Timestamp::now().as_second()))],
    );
    let live = Live::start(&text);
    let view = live.wait("three sources", |view| view.sources.iter().all(|source| source.value.is_some())).await;
    assert_eq!(view.reading.fresh(), Some(67_000.0));
    live.stop().await;
}

#[tokio::test]
async fn hashrateindex() {
    let price = |usd: &str| {
        format!(r#"{{"data":{{"timestamp":"2026-01-01T00:00:00.000Z","priceUSD":{usd},"priceBTC":0.00052}}}}"#)
    };
    let api = Api {
        text: entry("hashprice"),
        good: price("52.03"),
        value: 52.03,
        zeros: Some(price("0")),
        future: None,
        nan: price("\"NaN\""),
    };
    holds(api).await;
    let web = Web::start().await;
    let (text, path) = here(&entry("hashprice"), &web);
    web.answers(&path, [Answer::json(price("52.03"))]);
    let live = Live::start(&text);
    live.value().await;
    let asked = &web.asked()[0];
    assert_eq!(
        (asked.headers["x-hi-api-key"].to_str().unwrap(), &*asked.path),
        (SECRET, "/v1/hashrateindex/hashprice/current?hashunit=PHS")
    );
    live.stop().await;
}

#[tokio::test]
async fn energy_charts() {
    let prices = |begin: i64, price: &str| {
        let times: Vec<i64> = (-1..4).map(|index| at(begin + index * 15).as_second()).collect();
        format!(
            r#"{{"license_info":"CC BY 4.0 (creativecommons.org/licenses/by/4.0) from Bundesnetzagentur | SMARD.de","unix_seconds":{times:?},
            "price":[88.1,{price},{price},{price},null],"unit":"EUR / MWh","deprecated":false}}"#
        )
    };
    holds(Api {
        text: in_currency("EUR", "day-ahead"),
        good: prices(0, "-3.07"),
        value: -3.07,
        zeros: None,
        future: Some(prices(60 * 24 * 30, "90")),
        nan: prices(0, "\"NaN\"").replace("88.1", "\"NaN\""),
    })
    .await;
}

#[tokio::test]
async fn octopus() {
    let rates = |begin: i64, price: &str| {
        let rate = |index: i64| {
            let (from, to) = (at(begin + index * 30), at(begin + index * 30 + 30));
            format!(
                r#"{{"value_exc_vat":{price},"value_inc_vat":{price},"valid_from":"{from}","valid_to":"{to}","payment_method":null}}"#
            )
        };
        // The newest first, as it is sent.
        let rates: Vec<String> = (-2..4).rev().map(rate).collect();
        format!(r#"{{"count":6,"next":null,"previous":null,"results":[{}]}}"#, rates.join(","))
    };
    holds(Api {
        text: in_currency("GBP", "agile"),
        good: rates(0, "13.5"),
        value: 135.0,
        zeros: None,
        future: Some(rates(60 * 24 * 30, "13.5")),
        nan: rates(0, "\"NaN\""),
    })
    .await;
}

#[tokio::test]
async fn amber() {
    let prices = |begin: i64, price: &str| {
        let interval = |index: i64, channel: &str, price: &str| {
            let (from, to) = (at(begin + index * 30), at(begin + index * 30 + 30));
            let from = from.checked_add(SignedDuration::from_secs(1)).unwrap();
            let kind = if index == 0 { "CurrentInterval" } else { "ForecastInterval" };
            format!(
                r#"{{"type":"{kind}","duration":30,"spotPerKwh":6.1,"perKwh":{price},"date":"2026-01-01","nemTime":"{to}","startTime":"{from}",
                "endTime":"{to}","renewables":45.5,"channelType":"{channel}","spikeStatus":"none","descriptor":"neutral","estimate":true}}"#
            )
        };
        let general = (-1..3).map(|index| interval(index, "general", price));
        let feed_in = (-1..3).map(|index| interval(index, "feedIn", "-5.5"));
        format!("[{}]", general.chain(feed_in).collect::<Vec<_>>().join(","))
    };
    holds(Api {
        text: in_currency("AUD", "amber"),
        good: prices(0, "24.33"),
        value: 243.3,
        zeros: None,
        future: Some(prices(60 * 24 * 30, "24.33")),
        nan: prices(0, "\"NaN\""),
    })
    .await;
}

#[test]
fn every_entry_is_a_signal_of_its_own() {
    let names = EXAMPLE.lines().zip(EXAMPLE.lines().skip(1)).filter(|(table, _)| *table == "# [[signal]]");
    let names: Vec<&str> = names.map(|(_, name)| name.trim_start_matches("# name = ").trim_matches('"')).collect();
    assert_eq!(names.len(), 12, "{names:?}");
    for name in names {
        let text = match name {
            "day-ahead" => in_currency("EUR", name),
            "agile" => in_currency("GBP", name),
            "amber" => in_currency("AUD", name),
            "mining-pays" => format!("{}[admin]\ntoken_env = \"HASHGATE_TOKEN\"\n", entry(name)),
            _ => entry(name),
        };
        let text = format!("{FRAME}{text}").replace("\"braiins\"", "\"pool\"");
        let (config, warnings) = Config::parse(&text, &Variables).unwrap_or_else(|errors| panic!("{name}: {errors}"));
        assert_eq!((config.signals.len(), warnings.len()), (1, 0), "{name}: {warnings:?}");
    }
    // Together they are no more than the sum: all dollars in one file.
    let dollars =
        ["btc", "hashprice", "mining-pays", "difficulty", "reward", "gpu-price", "grid", "peak"].map(entry).concat();
    let all = config(&dollars.replace("\"braiins\"", "\"pool\""));
    let SourceKind::Jobs { pool: Some(pool), .. } = &all.signals[4].sources[0].kind else { panic!("{all:?}") };
    assert_eq!(&**pool, "pool");
}
