//! A whole proxy, scraped.

use hashgate::metrics::{FAMILIES, Kind};

use crate::{
    deployed::asked_and_not_there,
    promtool::complaints,
    site::{Whole, missing, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_there_is_is_exported_and_keeps_to_the_conventions() {
    let whole = Whole::start().await;
    let page = until(&whole.proxy, "every name", |page| {
        let is_measured = page.value("hashgate_group_devices_measured", &[("group", "new")]) == Some(3.0);
        let is_written = page.value("hashgate_store_written_total", &[("kind", "records")]) > Some(0.0);
        missing(page).is_empty() && is_measured && is_written
    })
    .await;
    assert_eq!(complaints(&page.text), "");
    assert_eq!(asked_and_not_there(&page), Vec::<String>::new(), "rules and dashboard ask for it");

    // Help and type stand before each family: the page was not understood otherwise.
    assert_eq!(page.kinds.len(), FAMILIES.len(), "{:?}", page.kinds.keys());
    for family in FAMILIES {
        assert_eq!(page.kinds[family.name], family.kind.label(), "{}", family.name);
        let suffixes: &[&str] = match family.kind {
            Kind::Histogram => &["_bucket", "_sum", "_count"],
            Kind::Counter | Kind::Gauge => &[""],
        };
        for suffix in suffixes {
            let name = format!("{}{suffix}", family.name);
            assert!(page.series.iter().any(|one| one.name == name), "{name}");
        }
    }

    let value = |name: &str, labels: &[(&str, &str)]| {
        page.value(&format!("hashgate_{name}"), labels).unwrap_or_else(|| panic!("no {name}{labels:?}\n{}", page.text))
    };
    assert_eq!((value("pool_up", &[("pool", "first")]), value("pool_up", &[("pool", "secure")])), (1.0, 0.0));
    assert_eq!((value("route_up", &[("route", "old")]), value("miners", &[("route", "old")])), (1.0, 3.0));
    assert_eq!(value("power_watts", &[("what", "cap")]), 40_000.0);
    assert!((1_000.0..30_000.0).contains(&value("power_watts", &[("what", "meter")])));
    assert_eq!(value("lease_watts", &[("ai", "gpus"), ("what", "allowed")]), 1_000.0, "it draws that without a lease");
    assert_eq!(value("signal_value", &[("signal", "heard"), ("unit", "USD/MWh")]), 40.0);
    assert_eq!(value("signal_refused_total", &[("signal", "heard")]), 1.0);
    // 50 $/PH/day at 17.5 J/TH is 119.05 $/MWh, power costs 30; the pool and the way to the miners take nothing here.
    let margin = value("margin_per_joule", &[("group", "new"), ("action", "mine"), ("currency", "USD")]) * 3.6e9;
    assert!((80.0..90.0).contains(&margin), "{margin}");
    assert_eq!((value("store_up", &[]), value("store_dropped_total", &[("kind", "records")])), (1.0, 0.0));
    assert_eq!(value("config_reloads_total", &[("result", "unchanged")]), 1.0);
    let (accepted, work) = (value("shares_accepted_total", &[]), value("shares_accepted_difficulty_total", &[]));
    assert!(work > 0.0 && work <= accepted, "{accepted} shares of {work}: fractions count");

    // The next one tells more of the same.
    let later = until(&whole.proxy, "more shares", |page| {
        page.value("hashgate_shares_accepted_total", &[]) > Some(accepted + 10.0)
    })
    .await;
    for before in page.series.iter().filter(|one| one.name.ends_with("_total") || one.name.ends_with("_bucket")) {
        let labels: Vec<_> = before.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert!(later.value(&before.name, &labels) >= Some(before.value), "{before:?} went back");
    }
    whole.stop().await;
}
