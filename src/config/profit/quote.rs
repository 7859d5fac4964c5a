//! Amounts with units, and quotes: an amount, or the name of a signal of the same quantity.
//!
//! Text that begins like a number is an amount, other text is a signal's name.

use std::sync::Arc;

use toml::de::DeValue;

use super::Quote;
use crate::{
    config::{
        Signal,
        error::{Wrong, shown},
        raw::nearest,
        units::split_unit,
    },
    profit::{Currency, JoulesPerTerahash, Money, MoneyPerMwh, Quantity, Ratio, Unit, Watts},
};

/// The signals that may be named; the unit of one that is itself wrong is not known.
pub(in crate::config) struct Signals<'s> {
    pub currency: Currency,
    pub names: &'s [Arc<str>],
    pub units: &'s [Option<Unit>],
    /// As they were read, `None` for one that is wrong itself.
    pub read: &'s [Option<Signal>],
}

impl Signals<'_> {
    /// The signal of this name, which measures `wanted`.
    pub fn find(&self, name: &str, wanted: &[Quantity]) -> Result<(Arc<str>, Option<Unit>), Wrong> {
        let Some(index) = self.names.iter().position(|known| **known == *name) else {
            let known: Vec<&str> = self.names.iter().map(|name| &**name).collect();
            let help = match nearest(name, &known) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("write a [[signal]] with name = {}", shown(name)),
            };
            return Err(Wrong::new(format!("{} is the name of no signal", shown(name)), help));
        };
        let unit = self.units.get(index).copied().flatten();
        let units: Vec<String> = wanted.iter().map(|quantity| quantity.unit(self.currency)).collect();
        match unit {
            Some(unit) if !wanted.contains(&unit.quantity) => Err(Wrong::new(
                format!("signal {} is in {}", shown(name), unit.quantity.unit(self.currency)),
                format!("name a signal in {}", units.join(" or ")),
            )),
            _ => Ok((self.names[index].clone(), unit)),
        }
    }
}

/// A fixed amount, or the signal that tells it.
pub(super) fn quote<'s, T>(
    quantity: Quantity,
    signals: &'s Signals<'_>,
    new: fn(f64) -> Option<T>,
) -> impl FnOnce(&DeValue<'_>) -> Result<Quote<T>, Wrong> + 's
where
    T: 's,
{
    move |value| match value.as_str() {
        Some(text) if !begins_like_a_number(text) => {
            signals.find(text, &[quantity]).map(|(name, _)| Quote::Signal(name))
        }
        _ => amount(quantity, signals.currency, new)(value).map(Quote::Fixed),
    }
}

/// The name of a signal.
pub(in crate::config) fn signal<'s>(
    wanted: &'s [Quantity],
    signals: &'s Signals<'_>,
) -> impl FnOnce(&DeValue<'_>) -> Result<(Arc<str>, Option<Unit>), Wrong> + 's {
    move |value| match value.as_str() {
        Some(name) => signals.find(name, wanted),
        None => Err(Wrong::new("is not a name", "write the name of a signal, in quotes")),
    }
}

/// A number with its unit; ratios also without one.
pub(in crate::config) fn amount<T>(
    quantity: Quantity,
    currency: Currency,
    new: fn(f64) -> Option<T>,
) -> impl FnOnce(&DeValue<'_>) -> Result<T, Wrong> {
    move |value| {
        let help = || format!("write {}", example(quantity, currency));
        let (number, written) = match value {
            DeValue::Integer(_) | DeValue::Float(_) if quantity == Quantity::Ratio => (plain(value), String::new()),
            DeValue::String(text) => (in_unit(text, quantity, currency)?, text.to_string()),
            _ => return Err(Wrong::new("has no unit", help())),
        };
        number.and_then(new).ok_or_else(|| {
            let shown = if written.is_empty() { "this number".to_owned() } else { shown(&written) };
            Wrong::new(format!("{shown} cannot be"), help())
        })
    }
}

/// The number of a text in the canonical unit of its quantity; `None` if what stands before the unit is no number.
fn in_unit(text: &str, quantity: Quantity, currency: Currency) -> Result<Option<f64>, Wrong> {
    let help = || format!("write {}", example(quantity, currency));
    let (number, unit) = split_unit(text);
    let number = number.parse::<f64>().ok();
    if unit.is_empty() && quantity == Quantity::Ratio {
        return Ok(number);
    }
    let unit = Unit::parse(unit)
        .ok()
        .filter(|unit| unit.quantity == quantity)
        .ok_or_else(|| Wrong::new(format!("{} has another unit", shown(text)), help()))?;
    if unit.currency.is_some_and(|own| own != currency) {
        return Err(Wrong::new(format!("{} is in another currency than {currency}", shown(text)), help()));
    }
    Ok(number.map(|number| unit.canonical(number)))
}

fn plain(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(number) => number.as_str().parse().ok(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n as f64),
        _ => None,
    }
}

fn begins_like_a_number(text: &str) -> bool {
    text.trim_start().starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
}

fn example(quantity: Quantity, currency: Currency) -> String {
    match quantity {
        Quantity::BtcPrice => format!("\"60000 {currency}/BTC\""),
        Quantity::EnergyPrice => format!("\"60 {currency}/MWh\""),
        Quantity::Hashprice => format!("\"50 {currency}/PH/day\""),
        Quantity::GpuPrice => format!("\"2.10 {currency}/GPUh\""),
        Quantity::Difficulty => "\"1.3e14 difficulty\"".to_owned(),
        Quantity::BlockReward => "\"3.15 BTC/block\"".to_owned(),
        Quantity::Ratio => "0.05 or \"5 %\"".to_owned(),
        Quantity::Power => "\"3.5 MW\" (or kW, W)".to_owned(),
        Quantity::Verdict => "the name of a signal".to_owned(),
    }
}

/// `"3.5 MW"`.
pub(in crate::config) fn watts(currency: Currency) -> impl FnOnce(&DeValue<'_>) -> Result<Watts, Wrong> {
    amount(Quantity::Power, currency, Watts::new)
}

/// `"8 USD/MWh"`.
pub(super) fn rate(currency: Currency) -> impl FnOnce(&DeValue<'_>) -> Result<MoneyPerMwh, Wrong> {
    amount(Quantity::EnergyPrice, currency, MoneyPerMwh::new)
}

/// A ratio within bounds.
pub(in crate::config) fn ratio(least: f64, most: f64) -> impl FnOnce(&DeValue<'_>) -> Result<Ratio, Wrong> {
    move |value| {
        let ratio = amount(Quantity::Ratio, Currency::USD, Ratio::new)(value)?;
        if (least..=most).contains(&ratio.get()) {
            return Ok(ratio);
        }
        Err(Wrong::new(format!("{ratio} is out of range"), format!("write {least} to {most}")))
    }
}

/// `"21.5 J/TH"`.
pub(in crate::config) fn efficiency(text: &str) -> Result<JoulesPerTerahash, Wrong> {
    /// The first ASICs took some thousand.
    const WORST: f64 = 10_000.0;
    let (number, unit) = split_unit(text);
    let number = number.parse::<f64>().ok().filter(|number| (1.0..=WORST).contains(number) && unit == "J/TH");
    number
        .and_then(JoulesPerTerahash::new)
        .ok_or_else(|| Wrong::new(format!("{} is no efficiency", shown(text)), "write \"21.5 J/TH\", or \"measured\""))
}

/// `"2 USD"`: an amount that is not negative.
pub(super) fn money(currency: Currency) -> impl FnOnce(&DeValue<'_>) -> Result<Money, Wrong> {
    move |value| {
        let money = value.as_str().map(split_unit).filter(|(_, unit)| *unit == currency.code());
        money
            .and_then(|(number, _)| number.parse::<f64>().ok())
            .filter(|amount| *amount >= 0.0)
            .and_then(Money::new)
            .ok_or_else(|| Wrong::new("is no amount of money", format!("write \"2 {currency}\"")))
    }
}
