//! Money and power in words, as `hashgate check` prints them.

use std::fmt::{self, Display, Formatter};

use super::{AfterHold, Ai, AiPrice, Efficiency, Group, Market, Mode, Profit, Quote, Rule, StaleGrid};
use crate::{
    config::{Power, plan::line, units::time},
    profit::{Currency, Money, Ratio, Watts, round_trip},
};

/// Policy and site, then each group and AI block, some lines for each.
pub(in crate::config) fn profit(profit: &Profit, power: Option<&Power>, f: &mut Formatter<'_>) -> fmt::Result {
    policy(profit, power, f)?;
    site(profit, f)?;
    for one in &profit.groups {
        group(profit, one, f)?;
    }
    for one in &profit.ai {
        ai(profit, one, f)?;
    }
    Ok(())
}

fn policy(profit: &Profit, power: Option<&Power>, f: &mut Formatter<'_>) -> fmt::Result {
    let policy = &profit.policy;
    writeln!(f, "\nprofit in {}", profit.currency)?;
    let has_machines = power.is_some();
    let mode = match profit.mode {
        Mode::DryRun if has_machines => {
            "dry run: decisions and watts are shown, logged and counted; no machine is told anything"
        }
        Mode::DryRun => "dry run: decisions are shown, logged and counted",
        Mode::Advise if has_machines => {
            "advise: every change is told; machines move when an operator says so, or when the site is over its cap"
        }
        Mode::Advise => "advise: decisions are shown, logged and counted, and every change is told",
        Mode::Active if has_machines => "active: prices, the grid and operators move the machines",
        Mode::Active => "active, and nothing can be moved: no group has an actuator",
    };
    line(f, "mode", mode)?;
    match &profit.market {
        Some(Market::Hashprice(quote)) => line(f, "mining earns", Said(quote, profit.currency))?,
        Some(Market::Parts { btc, difficulty, reward }) => {
            let currency = profit.currency;
            let (btc, reward) = (Said(btc, currency), Said(reward, currency));
            line(
                f,
                "mining earns",
                format_args!(
                    "by the bitcoin price {btc}, difficulty {}, block reward {reward}",
                    Said(difficulty, currency)
                ),
            )?;
        }
        None => {}
    }
    if profit.groups.iter().any(|group| matches!(group.rule, Rule::Economics { .. })) {
        let (drain, wake) = (policy.drain_at.get(), policy.wake_at.get());
        line(f, "drains", format_args!("at the first price over {drain:.2} times what mining earns"))?;
        let after = match policy.wake_after {
            1 => String::new(),
            times => format!(" {times} times in a row"),
        };
        line(f, "wakes", format_args!("at a price under {wake:.2} times what mining earns{after}"))?;
    }
    line(f, "sleeps", format_args!("{} at least", time(policy.min_asleep)))?;
    let mining = if policy.min_mining.is_zero() {
        String::new()
    } else {
        format!(", after {} of mining", time(policy.min_mining))
    };
    line(
        f,
        "at most",
        format_args!(
            "{} drains in 24 h{mining}; one that saves more in {} than a switch costs is never put off",
            policy.drains_per_day,
            time(policy.price_interval)
        ),
    )?;
    let then = match policy.after_hold {
        AfterHold::Mine => "then it mines",
        AfterHold::Stay => "and then as well",
    };
    line(f, "without a number", format_args!("all stays as it is for {}, {then}", time(policy.max_hold)))
}

fn site(profit: &Profit, f: &mut Formatter<'_>) -> fmt::Result {
    let (site, currency) = (&profit.site, profit.currency);
    let mut lines: Vec<(&str, String)> = Vec::new();
    if let Some(price) = &site.power_price {
        let delivery = site.delivery.get();
        let delivery = if delivery == 0.0 {
            String::new()
        } else {
            format!(" and {} for delivery", site.delivery.in_currency(currency))
        };
        lines.push(("power costs", format!("{}{delivery}", Said(price, currency))));
    }
    if site.overhead > Ratio::ONE {
        lines.push(("overhead", format!("{:.3} MWh at the meter for each of a miner", site.overhead.get())));
    }
    if let Some(cap) = site.cap {
        lines.push(("cap", format!("{}, of which {} is always drawn", cap.in_words(), site.base_load.in_words())));
    }
    if !matches!(&site.curtail_pays, Quote::Fixed(rate) if rate.get() == 0.0) {
        lines.push(("curtailing pays", Said(&site.curtail_pays, currency).to_string()));
    }
    if let Some(grid) = &site.grid {
        let gone = match profit.policy.stale_grid {
            StaleGrid::Curtail => "all groups sleep",
            StaleGrid::Hold => "what it said last holds",
        };
        lines
            .push(("the grid", format!("allows the share of the cap in signal \"{grid}\"; when that is gone, {gone}")));
    }
    if let Some(schedule) = &site.schedule {
        lines.push(("the clock", format!("all groups sleep while signal \"{schedule}\" says unprofitable")));
    }
    for feeder in &profit.feeders {
        lines.push(("feeder", format!("\"{}\" carries {}", feeder.name, feeder.cap.in_words())));
    }
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nsite")?;
    lines.into_iter().try_for_each(|(about, says)| line(f, about, says))
}

fn group(profit: &Profit, group: &Group, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "\ngroup \"{}\"", group.name)?;
    if let Some(power) = group.power {
        write!(f, " of {} at its machines", power.in_words())?;
    }
    if let Some(feeder) = group.feeder.and_then(|feeder| profit.feeders.get(feeder)) {
        write!(f, " on feeder \"{}\"", feeder.name)?;
    }
    writeln!(f)?;
    match &group.rule {
        Rule::Economics { efficiency, pool_fee } => {
            let efficiency = match efficiency {
                Efficiency::Fixed(efficiency) => efficiency.to_string(),
                Efficiency::Measured => "its measured J/TH".to_owned(),
            };
            // 1.1 % is no 1.0999999999999999 %.
            let fee = (pool_fee.get() * 1e6).round() / 1e4;
            line(
                f,
                "is judged by",
                format_args!("power's price against what mining earns at {efficiency}, {fee} % to the pool"),
            )?;
        }
        Rule::Threshold { signal, drain_below, wake_above } => line(
            f,
            "is judged by",
            format_args!("signal \"{signal}\": drains under {drain_below}, wakes over {wake_above}"),
        )?,
        Rule::Verdict { signal } => line(f, "is judged by", format_args!("the verdict of signal \"{signal}\""))?,
    }
    if group.floor > Watts::ZERO {
        line(f, "keeps mining", format_args!("{} of it, whatever the price", group.floor.in_words()))?;
    }
    let lost = std::time::Duration::from_secs_f64(group.switch.sleep_s + group.switch.wake_s);
    let wear = if group.switch.wear_per_mw > Money::ZERO {
        format!(" and {} a MW", group.switch.wear_per_mw.in_currency(profit.currency))
    } else {
        String::new()
    };
    line(f, "a switch", format_args!("costs {} of revenue{wear}{}", time(lost), break_even(profit, group)))
}

/// How long a sleep must last to pay at the price that begins it; nothing to say without a band.
fn break_even(profit: &Profit, group: &Group) -> String {
    let over = profit.policy.drain_at.get() - 1.0;
    if !matches!(group.rule, Rule::Economics { .. }) || over <= 0.0 || group.switch.wear_per_mw > Money::ZERO {
        return String::new();
    }
    // In hours of revenue at a value of 1 a MWh, which the break-even does not depend on.
    let one = crate::profit::MoneyPerMwh::new(1.0);
    let minutes = one.map_or(0.0, |value| round_trip(value, &group.switch).get() / over * 60.0);
    format!("; at {:.2} times that pays after {minutes:.0} min", profit.policy.drain_at.get())
}

fn ai(profit: &Profit, ai: &Ai, f: &mut Formatter<'_>) -> fmt::Result {
    let currency = profit.currency;
    writeln!(f, "\nAI compute \"{}\" of {} IT, PUE {:.2}", ai.name, ai.power.in_words(), ai.pue.get())?;
    match &ai.price {
        AiPrice::PerMwh(quote) => line(f, "earns", format_args!("{} of IT", Said(quote, currency)))?,
        AiPrice::PerGpuHour { price, terms } => line(
            f,
            "earns",
            format_args!(
                "{}, sold {:.0} % of the time, {:.0} % fee, {} a GPU",
                Said(price, currency),
                terms.utilisation.get() * 100.0,
                terms.fee.get() * 100.0,
                terms.power.in_words()
            ),
        )?,
    }
    match &ai.demand {
        Quote::Fixed(share) => line(f, "takes", format_args!("{:.0} % of its power", share.get() * 100.0))?,
        demand @ Quote::Signal(_) => {
            line(f, "takes", format_args!("the share of its power in {}", Said(demand, currency)))?
        }
    }
    if ai.block > Watts::ZERO {
        line(f, "in steps of", ai.block.in_words())?;
    }
    let shed = if ai.interruptible { "the grid may cut it at once" } else { "only a grid share of 0 cuts it at once" };
    line(
        f,
        "gives back",
        format_args!("after {} of notice, not before {}; {shed}", time(ai.notice), time(ai.min_term)),
    )?;
    let horizon = time(ai.horizon(profit.policy.expected_dwell));
    line(
        f,
        "gets power",
        format_args!("if that pays for the switch, and {} of warm-up, within {horizon}", time(ai.warm_up)),
    )
}

/// A quote in words.
struct Said<'q, T>(&'q Quote<T>, Currency);

macro_rules! said {
    ($money:ty) => {
        impl Display for Said<'_, $money> {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                match self.0 {
                    Quote::Fixed(value) => value.in_currency(self.1).fmt(f),
                    Quote::Signal(name) => write!(f, "signal \"{name}\""),
                }
            }
        }
    };
}

said!(crate::profit::MoneyPerMwh);
said!(crate::profit::MoneyPerPhDay);
said!(crate::profit::MoneyPerBtc);
said!(crate::profit::MoneyPerGpuHour);
said!(crate::profit::NetworkDifficulty);
said!(crate::profit::BtcPerBlock);
said!(Ratio);
