use jiff::civil::date;

use super::*;

fn options() -> CsvOptions {
    CsvOptions { currency: Currency::USD, zone: None }
}

fn in_zone(name: &str) -> CsvOptions {
    CsvOptions { zone: Some(TimeZone::get(name).expect("a zone")), ..options() }
}

fn power(rows: &str) -> Result<Mended<PowerPrices>, CsvError> {
    read_power(&format!("time_utc,usd_per_mwh\n{rows}"), &options())
}

/// The prices, `x` for a gap.
fn prices(power: &Mended<PowerPrices>) -> String {
    let price = |index| power.series.price(index).map_or("x".to_owned(), |price| price.get().to_string());
    (0..power.series.len()).map(price).collect::<Vec<_>>().join(" ")
}

fn btc(rows: &str) -> Result<Mended<BtcDays>, CsvError> {
    read_btc(&format!("date_utc,price_usd,difficulty,fees_btc,subsidy_btc_per_block,blocks\n{rows}"), &options())
}

#[test]
fn a_file_in_order_is_read_without_repairs() {
    let power = power("2024-01-01T00:00:00Z,10\n2024-01-01T00:15:00Z,-2.5\n2024-01-01T00:30:00Z,9000\n").unwrap();
    assert_eq!((prices(&power), power.repairs.len()), ("10 -2.5 9000".to_owned(), 0));
    assert_eq!(power.series.step_seconds(), 900);
    assert_eq!(power.series.begin(0), "2024-01-01T00:00:00Z".parse().unwrap());
}

#[test]
fn other_names_orders_and_spellings_of_columns_are_taken() {
    let text =
        "# a comment\nNode, Price_per_MWh ,Interval_Start\nHUB, 1.5,2024-01-01T01:00+01:00\nHUB,2,2024-01-01T00:05Z\n";
    let power = read_power(text, &options()).unwrap();
    assert_eq!((prices(&power).as_str(), power.series.step_seconds()), ("1.5 2", 300));
}

#[test]
fn rows_out_of_order_and_doubles_are_mended_and_said() {
    let power = power(
        "2024-01-01T00:30:00Z,3\n2024-01-01T00:00:00Z,1\n2024-01-01T00:15:00Z,2\n2024-01-01T00:15:00Z,2\n2024-01-01T00:45:00Z,4\n",
    )
    .unwrap();
    assert_eq!(prices(&power), "1 2 3 4");
    assert_eq!(
        power.repairs,
        ["line 3: 1 rows are earlier than the one before; sorted", "line 5: 1 rows are there twice; kept once"]
    );
}

#[test]
fn a_gap_is_an_interval_without_a_price() {
    let power = power(
        "2024-01-01T00:00:00Z,1\n2024-01-01T00:15:00Z,\n2024-01-01T00:30:00Z,3\n2024-01-01T00:45:00Z,4\n2024-01-01T01:30:00Z,7\n",
    )
    .unwrap();
    assert_eq!(prices(&power), "1 x 3 4 x x 7");
    assert_eq!(power.repairs.len(), 1);
    assert!(power.repairs[0].starts_with("3 of 7 intervals have no price, the first at 2024-01-01T00:15:00Z;"));
}

#[test]
fn what_cannot_be_mended_is_refused_by_line() {
    for (rows, line, says) in [
        ("2024-01-01T00:00:00Z,1\n2024-01-01T00:15:00Z,2\n2024-01-01T00:00:00Z,9\n", Some(4), "is in line 2 already"),
        ("2024-01-01T00:00:00Z,1\n2024-01-01T00:15:00Z,cheap\n", Some(3), "usd_per_mwh is \"cheap\", not a number"),
        ("2024-01-01T00:00:00Z,NaN\n", Some(2), "not a number"),
        ("2024-01-01T00:00:00Z,1e300\n", Some(2), "not a number"),
        ("2024-01-01T00:00:00Z,1,2\n", Some(2), "has 3 fields, the first line has 2"),
        ("tomorrow,1\n", Some(2), "\"tomorrow\" is not a time"),
        ("2024-13-01T00:00:00Z,1\n", Some(2), "is not a time"),
        (
            "2024-01-01T00:00:00Z,1\n2024-01-01T01:00:00Z,1\n2024-01-01T02:00:00Z,1\n2024-01-01T02:15:00Z,1\n",
            Some(5),
            "comes 900 s after the row before, where intervals are 3600 s",
        ),
        ("2024-01-01T00:00:00Z,1\n2024-01-01T00:07:00Z,1\n", None, "rows are 420 s apart"),
        ("2024-01-01T00:00:00Z,1\n2024-01-01T00:05:00Z,1\n2924-01-01T00:05:00Z,1\n", Some(4), "mistyped year"),
        ("2024-01-01T00:00:00Z,1\n", None, "has one row"),
        ("", None, "has no rows"),
    ] {
        let error = power(rows).expect_err(rows);
        assert_eq!(error.line, line, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn wrong_columns_are_named_beside_those_that_are_there() {
    let error = read_power("when,price\n1,2\n", &options()).unwrap_err();
    assert_eq!(error.line, Some(1));
    assert!(error.what.contains("there is no column time_utc or time"), "{error}");
    assert!(error.what.contains("\"when\", \"price\""), "{error}");
    // Another currency is another column.
    let error = read_power("time_utc,eur_per_mwh\n2024-01-01T00:00:00Z,2\n", &options()).unwrap_err();
    assert!(error.what.contains("no column usd_per_mwh"), "{error}");
    assert!(read_power("", &options()).unwrap_err().what.contains("is empty"));
}

#[test]
fn local_times_without_an_offset_are_refused_with_advice() {
    let error = read_power("time,usd_per_mwh\n2024-11-03 01:00,1\n", &options()).unwrap_err();
    assert_eq!(error.line, Some(2));
    assert!(error.help.contains("--time-zone America/Chicago"), "{error}");
    // A column that says it is UTC needs no offset.
    assert!(power("2024-11-03 01:00,1\n2024-11-03 02:00,1\n").is_ok());
}

#[test]
fn the_hour_that_comes_twice_is_taken_in_the_order_of_the_file() {
    let rows = "time,usd_per_mwh\n2024-11-03 00:30,1\n2024-11-03 01:00,2\n2024-11-03 01:30,3\n2024-11-03 01:00,4\n\
                2024-11-03 01:30,5\n2024-11-03 02:00,6\n";
    let power = read_power(rows, &in_zone("America/Chicago")).unwrap();
    assert_eq!(prices(&power), "1 2 3 4 5 6");
    assert_eq!(
        power.repairs,
        ["line 3: 4 rows are in local hours that the clocks repeat; taken in the order of the file"]
    );
    assert_eq!(power.series.begin(0), "2024-11-03T05:30:00Z".parse().unwrap());
}

#[test]
fn the_hour_that_clocks_skip_is_refused() {
    let rows = "time,usd_per_mwh\n2024-03-10 01:30,1\n2024-03-10 02:00,2\n";
    let error = read_power(rows, &in_zone("America/Chicago")).unwrap_err();
    assert_eq!((error.line, error.what.contains("the clocks skip it")), (Some(3), true), "{error}");
}

#[test]
fn a_day_of_bitcoin_has_its_fees_spread_over_its_blocks() {
    let days = btc("2024-01-01,44000,7e13,72,6.25,144\n2024-01-02,45000,7e13,0,6.25,0\n").unwrap();
    assert_eq!(days.repairs, Vec::<String>::new());
    let reward = |day| days.series.day(date(2024, 1, day)).map(|day| day.reward.get());
    assert_eq!((reward(1), reward(2), reward(3)), (Some(6.75), Some(6.25), None));
}

#[test]
fn missing_days_are_stood_in_for_by_the_day_before_and_said() {
    let days = btc("2024-01-01,44000,7e13,0,6.25,144\n2024-01-04,45000,7e13,0,6.25,144\n").unwrap();
    assert_eq!(days.repairs, ["line 3: 2 days are missing; the day before stands in for each"]);
    let price = |day| days.series.day(date(2024, 1, day)).map(|day| day.price.get());
    assert_eq!((price(2), price(3), price(4)), (Some(44_000.0), Some(44_000.0), Some(45_000.0)));

    let error = btc("2024-01-01,44000,7e13,0,6.25,144\n2024-01-10,45000,7e13,0,6.25,144\n").unwrap_err();
    assert_eq!((error.line, error.what.contains("8 days are missing")), (Some(3), true), "{error}");
}

#[test]
fn days_out_of_order_and_doubles_are_mended_or_refused() {
    let days =
        btc("2024-01-02,45000,7e13,0,6.25,144\n2024-01-01,44000,7e13,0,6.25,144\n2024-01-01,44000,7e13,0,6.25,144\n");
    let days = days.unwrap();
    assert_eq!(days.series.first(), date(2024, 1, 1));
    assert_eq!(days.repairs.len(), 2, "{:?}", days.repairs);

    let clash = btc("2024-01-01,45000,7e13,0,6.25,144\n2024-01-01,44000,7e13,0,6.25,144\n").unwrap_err();
    assert!(clash.what.contains("2024-01-01 is in line 2 already, with other values"), "{clash}");
}

#[test]
fn a_day_that_cannot_be_is_refused() {
    for (rows, says) in [
        ("2024-01-01,0,7e13,0,6.25,144\n", "price_usd is 0, which is too little"),
        ("2024-01-01,44000,-1,0,6.25,144\n", "difficulty is -1"),
        ("2024-01-01,44000,7e13,5,6.25,0\n", "a day with fees and without blocks"),
        ("2024-01-01,,7e13,5,6.25,144\n", "price_usd is empty"),
        ("01.01.2024,44000,7e13,5,6.25,144\n", "is not a date"),
    ] {
        let error = btc(rows).expect_err(rows);
        assert_eq!((error.line, error.what.contains(says)), (Some(2), true), "{error}");
    }
    let no_blocks = "date,price,difficulty,subsidy_btc_per_block,fees_btc\n2024-01-01,1,1,1,1\n";
    assert!(read_btc(no_blocks, &options()).unwrap_err().what.contains("none named blocks"));
    let no_fees = "date,price,difficulty,subsidy_btc_per_block\n2024-01-01,1,1,1\n";
    assert_eq!(read_btc(no_fees, &options()).unwrap().repairs.len(), 1);
}

#[test]
fn ai_prices_and_demand_hold_until_the_next_row() {
    let ai = read_ai("date,usd_per_gpu_hour\n2024-01-01T00:00Z,2.2\n2024-06-01T00:00Z,1.9\n", &options()).unwrap();
    assert_eq!(ai.series.at("2024-03-01T00:00:00Z".parse().unwrap()).map(|(_, value)| value), Some(2.2));
    let demand = read_demand("date_utc,demand\n2024-01-01,0.44\n2024-06-01,1\n", &options()).unwrap();
    assert_eq!(demand.series.at("2024-07-01T00:00:00Z".parse().unwrap()).map(|(_, value)| value), Some(1.0));
    assert!(read_demand("date_utc,demand\n2024-01-01,44\n", &options()).unwrap_err().what.contains("44 is above 1"));
}
