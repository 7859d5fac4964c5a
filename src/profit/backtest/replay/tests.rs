use jiff::civil::date;
use proptest::prelude::*;

use super::{
    super::{
        field::{
            History,
            tests::{group, history, history_with, profit},
        },
        policy::replay,
        report::Report,
        table::Tables,
    },
    *,
};
use crate::profit::MoneyPerMwh;

fn played(history: &History, groups: usize) -> Replay {
    let mut profit = profit();
    profit.groups = (0..groups).map(|index| group(&format!("rack {index}"))).collect();
    let window = Window { exclude: vec![(date(2024, 1, 4), date(2024, 1, 5))], ..Window::default() };
    replay(&Field::new(&profit, history, &window).expect("a field"), &window, |_| ())
}

fn margin(group: &GroupReplay, player: Player) -> f64 {
    group.accounts[player as usize].iter().map(Account::margin).sum()
}

/// Three hours of every eight cost more than mining earns.
fn spiky() -> History {
    history(&[20.0, 30.0, 500.0, 900.0, 500.0, 30.0, 20.0, -10.0])
}

#[test]
fn the_engine_sleeps_one_interval_late_and_gains_by_it() {
    let replay = played(&spiky(), 1);
    let group = &replay.groups[0];
    let day: String = group.doing[24..48].iter().map(|doing| if *doing == Doing::Mining { 'M' } else { '-' }).collect();
    assert_eq!(day, "MMM---MMMMM---MMMMM---MM");
    let (policy, paying) = (margin(group, Player::Policy), margin(group, Player::ClairvoyantPaying));
    assert!(margin(group, Player::AlwaysMine) < policy && policy < paying, "{policy} {paying}");
    // Three times a day to sleep and to wake.
    let switches: f64 = group.accounts[Player::Policy as usize].iter().map(|account| account.switches).sum();
    assert_eq!(switches, 60.0);
}

#[test]
fn hours_of_every_player_add_up() {
    let replay = played(&spiky(), 2);
    for (group, player) in replay.groups.iter().zip(Player::ALL) {
        for (day, account) in group.accounts[player as usize].iter().enumerate() {
            let hours = account.mining_h + account.ai_h + account.curtailed_h + account.lost_h;
            assert!((hours - 24.0).abs() < 1e-9, "{player:?} day {day}: {hours}");
        }
    }
}

#[test]
fn a_gap_is_nobodys_money_and_stops_no_clock() {
    let mut prices: Vec<Option<MoneyPerMwh>> = (0..240).map(|_| MoneyPerMwh::new(20.0)).collect();
    prices[30..34].fill(None);
    let mut history = history(&[20.0]);
    history.power = super::super::series::PowerPrices::new(history.power.begin(0), 3600, prices).expect("a series");
    let replay = played(&history, 1);
    for player in Player::ALL {
        let account = &replay.groups[0].accounts[player as usize][1];
        let hours = account.mining_h + account.curtailed_h + account.lost_h;
        assert!((hours - 20.0).abs() < 1e-9, "{player:?}: {hours}");
    }
}

#[test]
fn years_and_exclusions_are_sums_of_days() {
    let report = Report::new(&played(&spiky(), 2), vec!["power.csv: line 3: sorted".to_owned()]);
    assert_eq!((report.intervals, report.groups.len()), (240, 2));
    let titles: Vec<String> = report.all.spans.iter().map(|span| span.title()).collect();
    assert_eq!(titles, ["2024", "2024, less excluded", "all days", "all days, less excluded"]);
    let (with, without) = (report.all.total(false), report.all.total(true));
    assert_eq!((with.days, without.days), (10, 8));
    let each: f64 = report.groups.iter().map(|group| group.total(false).of(Player::Policy).margin).sum();
    assert!((with.of(Player::Policy).margin - each).abs() < 1e-6);
    assert_eq!(with.of(Player::AlwaysMine).gain, 0.0);
    assert_eq!(with.unprofitable, Some(0.375));
    assert!(with.best_days.iter().any(|day| day.excluded) && !without.best_days.iter().any(|day| day.excluded));
    let tables = Tables(&report).to_string();
    for words in [
        "mended: power.csv: line 3: sorted",
        "excluded: 2024-01-04 to 2024-01-05",
        "most valuable of all days, less excluded",
    ] {
        assert!(tables.contains(words), "{words} is not in\n{tables}");
    }
}

#[test]
fn the_page_asks_nothing_of_any_server() {
    let replay = played(&spiky(), 30);
    let page = super::super::html::page(&Report::new(&replay, vec!["<b>".to_owned()]), &replay);
    for forbidden in ["http", "src=", "<script", "@import", "url(", "<b>\n", "NaN", "inf"] {
        assert!(!page.contains(forbidden), "{forbidden} is in the page");
    }
    assert!(
        page.contains("&lt;b&gt;") && page.contains("prefers-color-scheme: dark") && page.contains("6 more groups")
    );
}

proptest! {
    /// What is decided up to a moment is the same whatever comes after it.
    #[test]
    fn the_future_decides_nothing(
        prices in prop::collection::vec(-50.0..600.0, 240),
        future in prop::collection::vec(-50.0..600.0, 240),
        btc in prop::collection::vec(10_000.0..90_000.0, 11),
        future_btc in prop::collection::vec(10_000.0..90_000.0, 11),
        from in 1..240_usize,
    ) {
        // The price of interval `from` is known when the next one begins, the row of its day on the next day. Rows begin a day early.
        let day = from / 24 + 1;
        let (mut changed, mut changed_btc) = (prices.clone(), btc.clone());
        changed[from..].copy_from_slice(&future[from..]);
        changed_btc[day..].copy_from_slice(&future_btc[day..]);
        let one = played(&history_with(&prices, btc.into_iter()), 1);
        let other = played(&history_with(&changed, changed_btc.into_iter()), 1);
        prop_assert_eq!(&one.groups[0].doing[..=from], &other.groups[0].doing[..=from]);
    }

    #[test]
    fn no_policy_passes_the_clairvoyants(prices in prop::collection::vec(-50.0..600.0, 24..240)) {
        let replay = played(&history(&prices), 1);
        let group = &replay.groups[0];
        let policy = margin(group, Player::Policy);
        prop_assert!(policy <= margin(group, Player::ClairvoyantPaying) + 1e-6);
        prop_assert!(margin(group, Player::ClairvoyantPaying) <= margin(group, Player::ClairvoyantFree) + 1e-6);
    }
}
