//! Reads the tables of money and power: keys, ranges, defaults, and what must stand together.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use super::{
    AfterHold, Ai, AiPrice, Efficiency, Feeder, Group, Market, Mode, Policy, Profit, Quote, Rule, Site, StaleGrid,
    quote::{self, Signals},
};
use crate::{
    config::{
        error::{Wrong, shown},
        power::{BesideBlock, BesideGroup, Machines, Tables},
        raw::Section,
        validate::{names, secs},
        value,
    },
    profit::{
        BtcPerBlock, Currency, GpuTerms, Money, MoneyPerBtc, MoneyPerGpuHour, MoneyPerMwh, MoneyPerPhDay,
        NetworkDifficulty, Quantity, Ratio, SwitchTerms, Watts,
    },
};

const DAY: Duration = secs(86_400);
/// Sleeps, holds and dwells: up to a month, beyond which nobody decides by price.
const WAIT: RangeInclusive<Duration> = Duration::ZERO..=secs(31 * 86_400);
/// A switch of machines takes seconds to minutes.
const SWITCH: RangeInclusive<Duration> = Duration::ZERO..=secs(3 * 3600);
/// Times of drains are remembered per group: one each quarter of an hour is a day of nothing else.
const MAX_DRAINS: u32 = 96;
/// A MWh of IT never takes three at the meter.
const MAX_OVERHEAD: f64 = 3.0;

/// The tables, opened before signals are read: those need the currency.
pub(in crate::config) struct Opened<'r, 't> {
    profit: Section<'r, 't>,
    pub currency: Currency,
}

/// Opens `[profit]` for its currency.
pub(in crate::config) fn open<'r, 't>(root: &mut Section<'r, 't>) -> Opened<'r, 't> {
    let mut profit = root.table("profit");
    let currency = profit.or(
        "currency",
        Currency::USD,
        value::parsed("\"USD\"", |code| {
            Currency::parse(code).ok_or_else(|| {
                Wrong::new(format!("{} is not a currency", shown(code)), "write its three letters, as in \"EUR\"")
            })
        }),
    );
    Opened { profit, currency }
}

/// Everything about money and power. `None` where the config has none of it, or if a problem was reported.
pub(in crate::config) fn read<'r, 't>(
    root: &mut Section<'r, 't>,
    opened: Opened<'r, 't>,
    signals: &Signals<'_>,
    machines: &mut Machines<'_, '_, '_>,
) -> Option<Profit> {
    let Opened { mut profit, currency } = opened;
    let is_there = ["profit", "site", "feeder", "group", "ai"].iter().any(|key| root.has(key));
    let mut site_section = root.table("site");
    let mut feeder_sections = root.tables("feeder");
    let mut group_sections = root.tables("group");
    let mut ai_sections = root.tables("ai");
    if !is_there {
        return None;
    }
    if !root.has("group") {
        root.error("group", Wrong::new("there is none", "write a [[group]]: the miners that sleep and wake together"));
    }
    let mode = mode(&mut profit);
    let market = market(&mut profit, signals);
    let pool_fee = profit.or("pool_fee", Ratio::ZERO, quote::ratio(0.0, 0.5));
    let watched = rule(&mut profit, signals);
    let policy = policy(&mut profit);
    profit.refuse_unknown_keys();
    let site = site(&mut site_section, signals, machines);

    let feeder_names = names(&mut feeder_sections, "feeder");
    let feeders: Vec<_> =
        feeder_sections.iter_mut().zip(&feeder_names).map(|(section, name)| feeder(section, name, currency)).collect();
    let group_names = names(&mut group_sections, "group");
    let common = Common { signals, feeders: &feeder_names, watched: watched.as_ref(), pool_fee };
    let groups: Vec<_> = group_sections
        .iter_mut()
        .zip(&group_names)
        .map(|(section, name)| group(section, name, &common, machines))
        .collect();
    let ai_names = names(&mut ai_sections, "ai");
    let ai: Vec<_> =
        ai_sections.iter_mut().zip(&ai_names).map(|(section, name)| block(section, name, &common, machines)).collect();
    let powers: Vec<Option<Watts>> = groups.iter().map(|group| group.as_ref().and_then(|group| group.power)).collect();
    let tables = Tables {
        mode,
        cap: site.cap,
        base_load: site.base_load,
        overhead: site.overhead,
        powers: &powers,
        profit: &profit,
        site: &site_section,
        groups: &group_sections,
        group_names: &group_names,
        ai: &ai_sections,
        ai_names: &ai_names,
    };
    machines.check_together(&tables, signals.read);

    let found = Profit {
        mode,
        currency,
        market,
        policy,
        site,
        feeders: feeders.into_iter().collect::<Option<_>>()?,
        groups: groups.into_iter().collect::<Option<_>>()?,
        ai: ai.into_iter().collect::<Option<_>>()?,
    };
    check_together(&found, &profit, &site_section, &group_sections, &ai_sections);
    Some(found)
}

fn mode(section: &mut Section<'_, '_>) -> Mode {
    let modes = Mode::ALL.map(|mode| (mode.label(), mode));
    section.or("mode", Mode::DryRun, value::choice(&modes))
}

fn market(section: &mut Section<'_, '_>, signals: &Signals<'_>) -> Option<Market> {
    const PARTS: [&str; 3] = ["btc_price", "difficulty", "block_reward"];
    let hashprice = section.optional("hashprice", quote::quote(Quantity::Hashprice, signals, MoneyPerPhDay::new));
    let btc = section.optional(PARTS[0], quote::quote(Quantity::BtcPrice, signals, MoneyPerBtc::new));
    let difficulty = section.optional(PARTS[1], quote::quote(Quantity::Difficulty, signals, NetworkDifficulty::new));
    let reward = section.optional(PARTS[2], quote::quote(Quantity::BlockReward, signals, BtcPerBlock::new));
    let there: Vec<&str> = PARTS.into_iter().filter(|key| section.has(key)).collect();
    if section.has("hashprice") {
        if let Some(part) = there.first() {
            section
                .error(part, Wrong::new("stands beside hashprice", "keep either hashprice or the three it is made of"));
        }
    } else if !there.is_empty() {
        for missing in PARTS.into_iter().filter(|key| !section.has(key)) {
            let what = format!("is missing beside {}", there.join(" and "));
            section.error(missing, Wrong::new(what, "a hashprice is made of btc_price, difficulty and block_reward"));
        }
    }
    hashprice
        .map(Market::Hashprice)
        .or_else(|| Some(Market::Parts { btc: btc?, difficulty: difficulty?, reward: reward? }))
}

/// `signal`, `drain_below`, `wake_above`: one external number or verdict.
fn rule(section: &mut Section<'_, '_>, signals: &Signals<'_>) -> Option<Rule> {
    const ANY: [Quantity; 9] = [
        Quantity::BtcPrice,
        Quantity::EnergyPrice,
        Quantity::Hashprice,
        Quantity::GpuPrice,
        Quantity::Difficulty,
        Quantity::BlockReward,
        Quantity::Ratio,
        Quantity::Power,
        Quantity::Verdict,
    ];
    let found = section.optional("signal", quote::signal(&ANY, signals));
    let threshold = |value: &toml::de::DeValue<'_>| match (value, found.as_ref().and_then(|(_, unit)| *unit)) {
        (toml::de::DeValue::String(_), Some(unit)) => quote::amount(unit.quantity, signals.currency, Some)(value),
        // In the signal's own unit, as its range is.
        (_, unit) => {
            let number = value::number(-1e18..=1e18)(value)?;
            Ok(unit.map_or(number, |unit| unit.canonical(number)))
        }
    };
    let drain_below = section.optional("drain_below", threshold);
    let wake_above = section.optional("wake_above", threshold);
    let there: Vec<&str> = ["drain_below", "wake_above"].into_iter().filter(|key| section.has(key)).collect();
    if !section.has("signal") {
        if let Some(key) = there.first() {
            section.error(key, Wrong::new("stands without a signal", "add signal = \"…\", or drop it"));
        }
        return None;
    }
    let (signal, unit) = found?;
    let quantity = unit.map(|unit| unit.quantity);
    if quantity == Some(Quantity::Verdict) {
        if let Some(key) = there.first() {
            section.error(key, Wrong::new("has no meaning for a verdict", "drop it"));
        }
        return Some(Rule::Verdict { signal });
    }
    for missing in ["drain_below", "wake_above"].into_iter().filter(|key| !section.has(key)) {
        section.error(missing, Wrong::new("is missing beside signal", format!("write a number: {missing} = 50")));
    }
    let (drain_below, wake_above) = (drain_below?, wake_above?);
    if wake_above < drain_below {
        section
            .error("wake_above", Wrong::new("is under drain_below", "write at least that, and more against flapping"));
    }
    if matches!(quantity, Some(Quantity::EnergyPrice | Quantity::Difficulty)) {
        section.warn(
            "signal",
            Wrong::new(
                "is good for miners when it is low, if it is a cost, and groups drain when it is low",
                "for a price of power write [site] power_price and an efficiency; leave it if it is a margin",
            ),
        );
    }
    Some(Rule::Threshold { signal, drain_below, wake_above })
}

fn policy(section: &mut Section<'_, '_>) -> Policy {
    let drain_at = section.or("drain_at", Ratio::clamped(1.10), quote::ratio(0.1, 10.0));
    let wake_at = section.or("wake_at", Ratio::clamped(0.90), quote::ratio(0.1, 10.0));
    if wake_at > drain_at {
        let what = format!("is over drain_at, {drain_at}");
        section.error("wake_at", Wrong::new(what, "write at most that, and less against flapping"));
    }
    Policy {
        drain_at,
        wake_at,
        wake_after: section.or("wake_after", 1, value::integer(1..=100)),
        min_asleep: section.or("min_asleep", secs(900), value::duration(WAIT)),
        min_mining: section.or("min_mining", Duration::ZERO, value::duration(WAIT)),
        drains_per_day: section.or("drains_per_day", 24, value::integer(1..=MAX_DRAINS)),
        price_interval: section.or("price_interval", secs(900), value::duration(secs(1)..=DAY)),
        expected_dwell: section.or("expected_dwell", secs(4 * 3600), value::duration(secs(60)..=*WAIT.end())),
        max_hold: section.or("max_hold", secs(2 * 3600), value::duration(WAIT)),
        after_hold: section.or(
            "after_hold",
            AfterHold::Mine,
            value::choice(&[("mine", AfterHold::Mine), ("stay", AfterHold::Stay)]),
        ),
        stale_grid: section.or(
            "stale_grid",
            StaleGrid::Curtail,
            value::choice(&[("curtail", StaleGrid::Curtail), ("hold", StaleGrid::Hold)]),
        ),
    }
}

fn site(section: &mut Section<'_, '_>, signals: &Signals<'_>, machines: &mut Machines<'_, '_, '_>) -> Site {
    let currency = signals.currency;
    let rate = quote::quote(Quantity::EnergyPrice, signals, MoneyPerMwh::new);
    let paid = quote::quote(Quantity::EnergyPrice, signals, MoneyPerMwh::new);
    let site = Site {
        power_price: section.optional("power_price", rate),
        delivery: section.or("delivery", MoneyPerMwh::ZERO, quote::rate(currency)),
        overhead: section.or("overhead", Ratio::ONE, quote::ratio(1.0, MAX_OVERHEAD)),
        cap: section.optional("cap", quote::watts(currency)),
        base_load: section.or("base_load", Watts::ZERO, quote::watts(currency)),
        curtail_pays: section.or("curtail_pays", Quote::Fixed(MoneyPerMwh::ZERO), paid),
        grid: section.optional("grid", quote::signal(&[Quantity::Ratio], signals)).map(|(name, _)| name),
        schedule: section.optional("schedule", quote::signal(&[Quantity::Verdict], signals)).map(|(name, _)| name),
    };
    if site.cap.is_some_and(|cap| cap <= site.base_load) {
        section.error("base_load", Wrong::new("leaves nothing of the cap", "write less than the cap"));
    }
    machines.site(section, signals);
    section.refuse_unknown_keys();
    site
}

fn feeder(section: &mut Section<'_, '_>, name: &Arc<str>, currency: Currency) -> Option<Feeder> {
    let cap = section.required("cap", "write cap = \"5 MW\"", quote::watts(currency));
    section.refuse_unknown_keys();
    Some(Feeder { name: name.clone(), cap: cap? })
}

/// What groups and AI blocks may refer to.
struct Common<'c> {
    signals: &'c Signals<'c>,
    feeders: &'c [Arc<str>],
    /// The rule of `[profit]`, for groups without one of their own.
    watched: Option<&'c Rule>,
    pool_fee: Ratio,
}

impl Common<'_> {
    fn feeder(&self, section: &mut Section<'_, '_>) -> Option<usize> {
        section.optional(
            "feeder",
            value::parsed("the name of a feeder", |name| {
                self.feeders.iter().position(|known| **known == *name).ok_or_else(|| {
                    Wrong::new(format!("{} is no feeder", shown(name)), "write the name of a [[feeder]]")
                })
            }),
        )
    }
}

fn group(
    section: &mut Section<'_, '_>,
    name: &Arc<str>,
    common: &Common<'_>,
    machines: &mut Machines<'_, '_, '_>,
) -> Option<Group> {
    let currency = common.signals.currency;
    let own = rule(section, common.signals);
    let efficiency = section.optional(
        "efficiency",
        value::parsed("\"21.5 J/TH\"", |text| match text {
            "measured" => Ok(Efficiency::Measured),
            _ => quote::efficiency(text).map(Efficiency::Fixed),
        }),
    );
    let pool_fee = section.or("pool_fee", common.pool_fee, quote::ratio(0.0, 0.5));
    if section.has("signal") && section.has("efficiency") {
        section.error("efficiency", Wrong::new("stands beside signal", "keep one: what the group is judged by"));
    }
    let power = section.optional("power", quote::watts(currency));
    let floor = section.or("floor", Watts::ZERO, quote::watts(currency));
    if power.is_some_and(|power| floor > power) {
        section.error("floor", Wrong::new("is more than the group's power", "write at most that"));
    }
    let sleep_time = section.or("sleep_time", secs(60), value::duration(SWITCH));
    let wake_time = section.or("wake_time", secs(300), value::duration(SWITCH));
    let switch = SwitchTerms {
        sleep_s: sleep_time.as_secs_f64(),
        wake_s: wake_time.as_secs_f64(),
        wear_per_mw: section.or("wear_per_mw", Money::ZERO, quote::money(currency)),
    };
    let sleep_draw = section.or("sleep_draw", Ratio::clamped(0.01), quote::ratio(0.0, 1.0));
    let feeder = common.feeder(section);
    let by_price = efficiency.map(|efficiency| Rule::Economics { efficiency, pool_fee });
    let rule = own.or(by_price).or_else(|| common.watched.cloned());
    if rule.is_none() && !section.has("signal") && !section.has("efficiency") {
        let help = "write efficiency = \"21.5 J/TH\", or signal = \"…\" here or in [profit]";
        section.error("efficiency", Wrong::new("is missing", help));
    }
    let is_measured = efficiency == Some(Efficiency::Measured);
    let beside = BesideGroup { name: name.clone(), sleep_time, wake_time, is_measured, power, floor };
    machines.group(section, &beside, common.signals);
    section.refuse_unknown_keys();
    Some(Group { name: name.clone(), rule: rule?, power, floor, feeder, switch, sleep_draw })
}

fn block(
    section: &mut Section<'_, '_>,
    name: &Arc<str>,
    common: &Common<'_>,
    machines: &mut Machines<'_, '_, '_>,
) -> Option<Ai> {
    let (signals, currency) = (common.signals, common.signals.currency);
    let power = section.required("power", "write power = \"2 MW\", of IT", quote::watts(currency));
    let price = ai_price(section, signals);
    let demand = section.required(
        "demand",
        "name the signal that tells the share of its power that is asked for, or write 1 where it always is all",
        quote::quote(Quantity::Ratio, signals, Ratio::new),
    );
    let ai = Ai {
        name: name.clone(),
        power: power.unwrap_or(Watts::ZERO),
        pue: section.or("pue", Ratio::ONE, quote::ratio(1.0, MAX_OVERHEAD)),
        block: section.or("block", Watts::ZERO, quote::watts(currency)),
        notice: section.or("notice", Duration::ZERO, value::duration(WAIT)),
        min_term: section.or("min_term", Duration::ZERO, value::duration(WAIT)),
        interruptible: section.or("interruptible", false, value::boolean),
        warm_up: section.or("warm_up", Duration::ZERO, value::duration(SWITCH)),
        wear_per_mw: section.or("wear_per_mw", Money::ZERO, quote::money(currency)),
        feeder: common.feeder(section),
        price: price.unwrap_or(AiPrice::PerMwh(Quote::Fixed(MoneyPerMwh::ZERO))),
        demand: demand.clone().unwrap_or(Quote::Fixed(Ratio::ZERO)),
    };
    if ai.block > ai.power {
        section.error("block", Wrong::new("is more than the whole power", "write the power of a node or rack"));
    }
    machines.block(section, &BesideBlock { power, pue: ai.pue, notice: ai.notice });
    section.refuse_unknown_keys();
    (section.has("power") && section.has("demand")).then_some(ai)
}

fn ai_price(section: &mut Section<'_, '_>, signals: &Signals<'_>) -> Option<AiPrice> {
    let per_mwh = section.optional("price", quote::quote(Quantity::EnergyPrice, signals, MoneyPerMwh::new));
    let per_gpu = section.optional("gpu_price", quote::quote(Quantity::GpuPrice, signals, MoneyPerGpuHour::new));
    let gpu_power = section.optional("gpu_power", quote::watts(signals.currency));
    let utilisation = section.or("utilisation", Ratio::ONE, quote::ratio(0.0, 1.0));
    let fee = section.or("fee", Ratio::ZERO, quote::ratio(0.0, 1.0));
    match (section.has("price"), section.has("gpu_price")) {
        (true, true) => section.error("gpu_price", Wrong::new("stands beside price", "keep one of the two")),
        (false, false) => section.error(
            "gpu_price",
            Wrong::new("is missing", "write what an hour of a GPU is sold for, or price, per MWh of IT"),
        ),
        (false, true) if gpu_power.is_none_or(|power| power < Watts::clamped(1.0)) => section.error(
            "gpu_power",
            Wrong::new(
                "is needed beside gpu_price",
                "write the power of one GPU with its share of the node: \"1.3 kW\"",
            ),
        ),
        _ => {}
    }
    let terms = gpu_power.map(|power| GpuTerms { power, utilisation, fee });
    per_mwh.map(AiPrice::PerMwh).or_else(|| Some(AiPrice::PerGpuHour { price: per_gpu?, terms: terms? }))
}

/// What the tables need of each other.
fn check_together(
    profit: &Profit,
    profit_table: &Section<'_, '_>,
    site_table: &Section<'_, '_>,
    group_tables: &[Section<'_, '_>],
    ai_tables: &[Section<'_, '_>],
) {
    let site = &profit.site;
    if profit.groups.iter().any(|group| matches!(group.rule, Rule::Economics { .. })) {
        if profit.market.is_none()
            && !["hashprice", "btc_price", "difficulty", "block_reward"].iter().any(|key| profit_table.has(key))
        {
            let help = "write hashprice, or btc_price, difficulty and block_reward: a signal's name or a number";
            profit_table.error("hashprice", Wrong::new("is missing: what groups with an efficiency earn", help));
        }
        if site.power_price.is_none() && !site_table.has("power_price") {
            let help = "write [site] power_price: a signal's name, or \"60 USD/MWh\"";
            site_table.error("power_price", Wrong::new("is missing: what groups with an efficiency pay", help));
        }
    }
    let shares_power = site.cap.is_some() || site.grid.is_some() || !profit.feeders.is_empty() || !profit.ai.is_empty();
    for (group, table) in profit.groups.iter().zip(group_tables) {
        if shares_power && !table.has("power") && group.power.is_none() {
            let what = "is missing, and the site has a cap, a grid signal, feeders or AI compute";
            table.error("power", Wrong::new(what, "write what its machines draw together: power = \"3.5 MW\""));
        }
    }
    for (ai, table) in profit.ai.iter().zip(ai_tables) {
        if site.grid.is_some() && !ai.interruptible {
            let what = "the grid may ask the site to shed, and this block keeps its power unless it sheds all";
            table.warn("interruptible", Wrong::new(what, "write interruptible = true if it can be cut at once"));
        }
    }
}
