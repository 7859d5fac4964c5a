//! The columns of the series, and what they are at a moment.

use std::{collections::HashMap, sync::Arc};

use tokio::time::Instant;

use super::series::{Chart, Column};
use crate::{
    census::Together,
    config::Config,
    metrics::Totals,
    power::control::PowerSnapshot,
    profit::{Currency, MoneyPerMwh, Watts, task::Snapshot},
    work::HASHES_PER_DIFFICULTY,
};

/// Hashes in a terahash.
const TERA: f64 = 1e12;

/// What counts were when they were last looked at, to make rates of them.
#[derive(Default)]
pub struct Rates {
    last: Option<(Instant, Vec<f64>)>,
}

impl Rates {
    /// What each of so many pools has credited since the last time, in TH/s; NaN the first time.
    fn credited(&mut self, tick: Instant, totals: &Totals, pools: usize) -> Vec<f32> {
        let now: Vec<f64> = totals.router.pools.iter().take(pools).map(|pool| pool.accepted_difficulty).collect();
        let Some((then, before)) = self.last.replace((tick, now.clone())) else { return vec![f32::NAN; now.len()] };
        let seconds = tick.duration_since(then).as_secs_f64();
        let rate = |(now, before): (f64, f64)| ((now - before) * HASHES_PER_DIFFICULTY / seconds / TERA) as f32;
        now.into_iter().zip(before.into_iter().chain(std::iter::repeat(f64::NAN))).map(rate).collect()
    }
}

/// Which there are, in the order of [`row`].
pub fn columns(config: &Config, currency: Currency) -> Vec<Column> {
    let column = |chart, unit: &str, key: String, label: String| Column { chart, key, label, unit: unit.to_owned() };
    let (ths, kw, money) = ("TH/s", "kW", format!("{}/MWh", currency.code()));
    let mut all = vec![column(Chart::Hashrate, ths, "total".into(), "all miners".into())];
    for route in &config.routes {
        all.push(column(Chart::Hashrate, ths, format!("route:{}", route.name), format!("route {}", route.name)));
    }
    for pool in &config.pools {
        let label = format!("credited by pool {}", pool.name);
        all.push(column(Chart::Hashrate, ths, format!("pool:{}", pool.name), label));
    }
    let profit = config.profit.as_ref();
    for group in profit.iter().flat_map(|profit| &profit.groups) {
        all.push(column(Chart::Hashrate, ths, format!("group:{}", group.name), format!("group {}", group.name)));
    }
    for (key, label) in [
        ("cap_kw", "cap"),
        ("meter_kw", "meter"),
        ("measured_kw", "measured"),
        ("asic_kw", "ASICs, as counted"),
        ("ai_kw", "AI compute, as counted"),
        ("base_kw", "base load"),
    ] {
        all.push(column(Chart::Site, kw, key.into(), label.into()));
    }
    for group in profit.iter().flat_map(|profit| &profit.groups) {
        all.push(column(
            Chart::Site,
            kw,
            format!("group:{}", group.name),
            format!("group {}, at the machines", group.name),
        ));
    }
    for block in profit.iter().flat_map(|profit| &profit.ai) {
        all.push(column(Chart::Site, kw, format!("lease:{}", block.name), format!("lent to {}", block.name)));
        all.push(column(Chart::Site, kw, format!("ai:{}", block.name), format!("drawn by {}", block.name)));
    }
    for (key, label) in
        [("power", "power, with delivery"), ("ai", "AI compute, the best"), ("curtail", "paid for not drawing")]
    {
        all.push(column(Chart::Price, &money, key.into(), label.into()));
    }
    for group in profit.iter().flat_map(|profit| &profit.groups) {
        all.push(column(Chart::Price, &money, format!("value:{}", group.name), format!("mining in {}", group.name)));
    }
    all
}

/// What they are now.
pub fn row(
    config: &Config,
    totals: &Totals,
    rates: &mut Rates,
    tick: Instant,
    signals: &Snapshot,
    power: Option<&PowerSnapshot>,
    groups: &HashMap<Arc<str>, Together>,
) -> Box<[f32]> {
    let mut row = Vec::new();
    let ths = |hs: f64| (hs / TERA) as f32;
    row.push(ths(totals.hashrate.iter().map(|hashrate| hashrate.hs()).sum()));
    row.extend(totals.hashrate.iter().take(config.routes.len()).map(|hashrate| ths(hashrate.hs())));
    row.extend(rates.credited(tick, totals, config.pools.len()));
    let all = config.profit.iter().flat_map(|profit| &profit.groups);
    row.extend(all.map(|group| groups.get(&group.name).map_or(0.0, |group| ths(group.estimate.hs()))));
    site(config, power, &mut row);
    let money = |money: Option<MoneyPerMwh>| money.map_or(f32::NAN, |money| money.get() as f32);
    let groups = signals.decision.as_ref().map_or(&[][..], |view| &view.decisions.groups);
    let first = groups.first().map(|group| group.margins);
    row.push(money(first.and_then(|margins| margins.cost)));
    row.push(money(first.and_then(|margins| Some(margins.ai? + margins.cost?))));
    row.push(money(first.and_then(|margins| margins.curtail)));
    let decided = |name: &str| signals.decision.as_ref().and_then(|view| view.group(name));
    let all = config.profit.iter().flat_map(|profit| &profit.groups);
    row.extend(all.map(|group| money(decided(&group.name).and_then(|decision| decision.margins.value))));
    row.into()
}

fn site(config: &Config, power: Option<&PowerSnapshot>, row: &mut Vec<f32>) {
    let kw = |watts: Option<Watts>| watts.map_or(f32::NAN, |watts| watts.kilowatts() as f32);
    let site = power.map(|power| &power.site);
    row.push(kw(config.power.as_ref().and_then(|power| power.cap)));
    row.push(kw(site.and_then(|site| site.meter)));
    row.push(kw(site.map(|site| site.measured)));
    row.push(kw(site.map(|site| site.balance.asic)));
    row.push(kw(site.map(|site| site.balance.ai)));
    row.push(kw(site.map(|site| site.balance.base)));
    let profit = config.profit.as_ref();
    for group in profit.iter().flat_map(|profit| &profit.groups) {
        let view = power.and_then(|power| power.group(&group.name));
        row.push(kw(view.map(|view| view.drawn)));
    }
    for block in profit.iter().flat_map(|profit| &profit.ai) {
        let view = power.and_then(|power| power.block(&block.name));
        row.push(kw(view.map(|view| view.granted)));
        row.push(kw(view.and_then(|view| view.drawn)));
    }
}
