use std::time::Duration;

use jiff::civil::date;

use super::*;
use crate::{
    config::{AfterHold, Mode, Policy, Site, StaleGrid},
    profit::{BtcPerBlock, Currency, GpuTerms, Money, MoneyPerBtc, NetworkDifficulty, SwitchTerms},
};

/// A site with one group of 21.5 J/TH and 1 MW at the meter, and no overheads.
pub(in crate::profit::backtest) fn profit() -> Profit {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let ratio = |value| Ratio::new(value).expect("a ratio");
    Profit {
        mode: Mode::DryRun,
        currency: Currency::USD,
        market: None,
        policy: Policy {
            drain_at: ratio(1.1),
            wake_at: ratio(0.9),
            wake_after: 1,
            min_asleep: minutes(15),
            min_mining: minutes(15),
            drains_per_day: 12,
            price_interval: minutes(15),
            expected_dwell: minutes(60),
            max_hold: minutes(60),
            after_hold: AfterHold::Mine,
            stale_grid: StaleGrid::Curtail,
        },
        site: Site {
            power_price: Some(Quote::Signal("spot".into())),
            delivery: MoneyPerMwh::ZERO,
            overhead: Ratio::ONE,
            cap: None,
            base_load: Watts::ZERO,
            curtail_pays: Quote::Fixed(MoneyPerMwh::ZERO),
            grid: None,
            schedule: None,
        },
        feeders: vec![],
        groups: vec![group("rack")],
        ai: vec![],
    }
}

pub(in crate::profit::backtest) fn group(name: &str) -> Group {
    Group {
        name: name.into(),
        rule: Rule::Economics {
            efficiency: Efficiency::Fixed(JoulesPerTerahash::new(21.5).expect("above zero")),
            pool_fee: Ratio::ZERO,
        },
        power: Watts::new(1e6),
        floor: Watts::ZERO,
        feeder: None,
        switch: SwitchTerms { sleep_s: 60.0, wake_s: 300.0, wear_per_mw: Money::ZERO },
        sleep_draw: Ratio::new(0.01).expect("a ratio"),
    }
}

/// AI of 0.5 MW at $1 a GPU-hour and kilowatt, PUE 1: 1 000 $/MWh.
fn ai() -> Ai {
    Ai {
        name: "gpus".into(),
        power: Watts::new(5e5).expect("watts"),
        price: AiPrice::PerGpuHour {
            price: Quote::Fixed(MoneyPerGpuHour::new(1.0).expect("a price")),
            terms: GpuTerms { power: Watts::new(1e3).expect("watts"), utilisation: Ratio::ONE, fee: Ratio::ZERO },
        },
        demand: Quote::Fixed(Ratio::ONE),
        pue: Ratio::ONE,
        block: Watts::ZERO,
        notice: Duration::ZERO,
        min_term: Duration::ZERO,
        interruptible: true,
        warm_up: Duration::ZERO,
        wear_per_mw: Money::ZERO,
        feeder: None,
    }
}

/// Ten days of hours from 2024-01-01 at these prices, over and over, and bitcoin that rises by a tenth of its first price
/// a day.
pub(in crate::profit::backtest) fn history(prices: &[f64]) -> History {
    let btc = (0..11).map(|day| 40_000.0 + 4_000.0 * f64::from(day));
    history_with(prices, btc)
}

/// As [`history`], with bitcoin's prices from 2023-12-31.
pub(in crate::profit::backtest) fn history_with(prices: &[f64], btc: impl Iterator<Item = f64>) -> History {
    let days = btc.map(|price| BtcDay {
        price: MoneyPerBtc::new(price).expect("a price"),
        difficulty: NetworkDifficulty::new(7e13).expect("a difficulty"),
        reward: BtcPerBlock::new(6.25).expect("a reward"),
    });
    let prices = prices.iter().cycle().take(240).map(|price| MoneyPerMwh::new(*price)).collect();
    History {
        power: PowerPrices::new(midnight(date(2024, 1, 1)), 3600, prices).expect("a series"),
        btc: BtcDays::new(date(2023, 12, 31), days.collect()).expect("days"),
        ai: None,
        demand: None,
    }
}

fn error(profit: &Profit, window: &Window) -> String {
    match Field::new(profit, &history(&[50.0]), window) {
        Ok(_) => "it is played".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn all_days_that_have_both_histories_are_played() {
    let (profit, history) = (profit(), history(&[50.0]));
    let field = Field::new(&profit, &history, &Window::default()).expect("a field");
    assert_eq!((field.days.len(), field.len()), (10, 240));
    assert_eq!((field.days[0], field.day_of[23], field.day_of[24]), (date(2024, 1, 1), 0, 1));
    let window = Window { from: Some(date(2024, 1, 3)), to: Some(date(2024, 1, 3)), exclude: vec![] };
    let field = Field::new(&profit, &history, &window).expect("a field");
    assert_eq!((field.len(), field.begin(0)), (24, midnight(date(2024, 1, 3))));
}

#[test]
fn prices_are_known_one_interval_late_and_bitcoin_a_day_late() {
    let (profit, history) = (profit(), history(&[10.0, 20.0, 30.0]));
    let window = Window { from: Some(date(2024, 1, 2)), ..Window::default() };
    let field = Field::new(&profit, &history, &window).expect("a field");
    for interval in 1..field.len() {
        assert_eq!(field.known_price(interval), field.price(interval - 1));
    }
    // The first interval of a window knows the last one before it.
    assert_eq!(field.known_price(0).map(MoneyPerMwh::get), Some(30.0));
    // What held on a day is what is known on the next.
    assert_eq!(field.day_prices[0].actual, field.known_hashprice(24));
    assert_eq!(field.groups[0].value[0], field.groups[0].known_value[1]);
    assert!(field.known_hashprice(0) < field.known_hashprice(24));
}

#[test]
fn before_its_first_row_nothing_is_known() {
    let (profit, history) = (profit(), history(&[10.0]));
    let field = Field::new(&profit, &history, &Window::default()).expect("a field");
    assert_eq!((field.known_price(0), field.price(0).is_some()), (None, true));
}

#[test]
fn a_window_beyond_history_is_refused() {
    let window = |from, to| Window { from: Some(from), to: Some(to), exclude: vec![] };
    let says = error(&profit(), &window(date(2024, 1, 1), date(2024, 2, 1)));
    assert!(
        says.starts_with("history reaches from 2024-01-01 to 2024-01-10; --to 2024-02-01 is outside of it"),
        "{says}"
    );
    // Nobody gave a --to here.
    let says = error(&profit(), &Window { from: Some(date(2024, 2, 1)), to: None, exclude: vec![] });
    assert!(says.contains("--from 2024-02-01 is outside of it"), "{says}");
    let says = error(&profit(), &window(date(2024, 1, 5), date(2024, 1, 2)));
    assert!(says.contains("is after --to"), "{says}");
}

#[test]
fn what_no_history_decides_about_is_refused_by_name() {
    let mut without_price = profit();
    without_price.site.power_price = None;
    assert!(error(&without_price, &Window::default()).starts_with("site.power_price is not set"));
    for (rule, says) in [
        (Rule::Verdict { signal: "spy".into() }, "group \"rack\" is decided by a signal"),
        (
            Rule::Economics { efficiency: Efficiency::Measured, pool_fee: Ratio::ZERO },
            "group \"rack\" has a measured efficiency",
        ),
    ] {
        let mut profit = profit();
        profit.groups[0].rule = rule;
        assert!(error(&profit, &Window::default()).starts_with(says), "{says}");
    }
}

#[test]
fn signals_without_history_are_left_out_by_name() {
    let mut profit = profit();
    profit.site.grid = Some("grid".into());
    profit.site.curtail_pays = Quote::Signal("payment".into());
    profit.ai = vec![Ai { demand: Quote::Signal("market".into()), ..ai() }];
    let history = history(&[10.0]);
    let field = Field::new(&profit, &history, &Window::default()).expect("a field");
    assert_eq!(field.unplayed.len(), 3, "{:?}", field.unplayed);
    assert!(field.ai_offers(5, false).is_empty());
}

#[test]
fn ai_compute_takes_the_sites_spare_power_first() {
    let mut profit = profit();
    profit.ai = vec![ai()];
    profit.site.cap = Watts::new(1.2e6);
    let history = history(&[50.0]);
    let field = Field::new(&profit, &history, &Window::default()).expect("a field");
    let offers = field.ai_offers(3, false);
    assert_eq!((offers[0].margin, offers[0].value), (950.0, 1000.0));
    assert!((offers[0].megawatts - 0.3).abs() < 1e-9, "{offers:?}");
    let (share, rate) = field.shares(false)[3][0];
    assert!((share - 0.3).abs() < 1e-9 && (rate - 1000.0).abs() < 1e-9, "{share} {rate}");
}

#[test]
fn a_history_of_ai_prices_and_demand_stands_for_the_config() {
    let mut profit = profit();
    profit.ai = vec![ai()];
    let mut history = history(&[50.0]);
    let steps = |value| Steps::new(vec![(midnight(date(2024, 1, 2)), value)]);
    (history.ai, history.demand) = (steps(2.0), steps(0.5));
    let field = Field::new(&profit, &history, &Window::default()).expect("a field");
    let offer = |interval, known| field.ai_offers(interval, known)[0];
    assert_eq!((offer(23, false).value, offer(23, false).megawatts), (1000.0, 0.5));
    assert_eq!((offer(24, false).value, offer(24, false).megawatts), (2000.0, 0.25));
    // One interval late.
    assert_eq!(offer(24, true).value, 1000.0);
    assert_eq!(offer(25, true).value, 2000.0);
}
