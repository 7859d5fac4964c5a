//! What a signal's number measures, and the units that people and APIs write it in.
//!
//! Knows how a written unit becomes the canonical one of its quantity; knows no rate of exchange: a site has one currency.
//!
//! | quantity | canonical | also written | zero |
//! |---|---|---|---|
//! | bitcoin price | `USD/BTC` | | impossible |
//! | energy price | `USD/MWh` | `USD/kWh`, `ct/kWh`, `c/kWh`, `p/kWh` | a price like any other, as are those below |
//! | hashprice | `USD/PH/day` | `USD/TH/day` | impossible |
//! | GPU price | `USD/GPUh` | | possible |
//! | difficulty | `difficulty` | | impossible |
//! | block reward | `BTC/block` | `sat/block` | impossible |
//! | ratio | `ratio` | `%` | possible |
//! | power | `W` | `kW`, `MW` | possible |
//! | verdict | `verdict` | | `unprofitable` is 0, `profitable` is 1 |
//!
//! The currency's code stands where `USD` stands here; `ct` and `c` are hundredths of the site's,
//! `p` of a pound.

use std::{fmt, ops::RangeInclusive};

use super::Currency;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Money per bitcoin.
    BtcPrice,
    /// Money per MWh.
    EnergyPrice,
    /// Money per PH/s and day.
    Hashprice,
    /// Money per GPU and hour.
    GpuPrice,
    /// The network's difficulty.
    Difficulty,
    /// BTC per block: subsidy, fees, or both.
    BlockReward,
    /// A share or a factor.
    Ratio,
    /// Watts.
    Power,
    /// Whether mining pays, as somebody else says.
    Verdict,
}

impl Quantity {
    /// Its canonical unit, as it is shown: money in `currency`.
    pub fn unit(self, currency: Currency) -> String {
        match self {
            Self::BtcPrice => format!("{currency}/BTC"),
            Self::EnergyPrice => format!("{currency}/MWh"),
            Self::Hashprice => format!("{currency}/PH/day"),
            Self::GpuPrice => format!("{currency}/GPUh"),
            Self::Difficulty => "difficulty".to_owned(),
            Self::BlockReward => "BTC/block".to_owned(),
            Self::Ratio => "ratio".to_owned(),
            Self::Power => "W".to_owned(),
            Self::Verdict => "verdict".to_owned(),
        }
    }

    /// Whether a zero may be meant: it is what APIs answer when their own source is down.
    pub fn may_be_zero(self) -> bool {
        !matches!(self, Self::BtcPrice | Self::Hashprice | Self::Difficulty | Self::BlockReward)
    }

    /// What is plausible anywhere, in the canonical unit. Wide: an operator knows better, and says so with `range`.
    pub fn plausible(self) -> RangeInclusive<f64> {
        match self {
            // A coin has cost from cents to six digits; other currencies have more digits.
            Self::BtcPrice => 0.0..=1e12,
            // Market caps are at 5 000 to 17 500 per MWh, floors at -1 000; other currencies have more digits.
            Self::EnergyPrice => -1e6..=1e6,
            Self::Hashprice | Self::GpuPrice => 0.0..=1e9,
            Self::Difficulty => 0.0..=1e18,
            // The first subsidy was 50; blocks with fees of nearly 300 were seen.
            Self::BlockReward => 0.0..=1000.0,
            // Shares. Who sends 50 for 50 % should be told, not taken for "as much as you like"; an index may be more, with `range`.
            Self::Ratio => 0.0..=1.0,
            Self::Power => 0.0..=1e12,
            Self::Verdict => 0.0..=1.0,
        }
    }
}

/// A unit as it was written: its quantity, how many canonical ones it is, and whose money.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    /// What it measures.
    pub quantity: Quantity,
    /// Canonical units in one of these.
    pub factor: f64,
    /// The currency it names; `None` where it names none.
    pub currency: Option<Currency>,
}

/// A text that is no unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownUnit;

impl fmt::Display for UnknownUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a unit of ours")
    }
}

/// What may be written, for messages.
pub const UNITS: &str = "\"USD/BTC\", \"USD/MWh\", \"USD/kWh\", \"ct/kWh\", \"USD/PH/day\", \"USD/GPUh\" (with the site's currency), \
                         \"difficulty\", \"BTC/block\", \"sat/block\", \"ratio\", \"%\", \"W\", \"kW\", \"MW\" or \"verdict\"";

impl Unit {
    /// From text such as `EUR/kWh`.
    ///
    /// # Errors
    /// [`UnknownUnit`] if it is none of the table above.
    pub fn parse(text: &str) -> Result<Self, UnknownUnit> {
        let plain = |quantity, factor| Ok(Self { quantity, factor, currency: None });
        match text {
            "difficulty" => return plain(Quantity::Difficulty, 1.0),
            "BTC/block" => return plain(Quantity::BlockReward, 1.0),
            "sat/block" => return plain(Quantity::BlockReward, 1e-8),
            "ratio" => return plain(Quantity::Ratio, 1.0),
            "%" => return plain(Quantity::Ratio, 0.01),
            "W" => return plain(Quantity::Power, 1.0),
            "kW" => return plain(Quantity::Power, 1e3),
            "MW" => return plain(Quantity::Power, 1e6),
            "verdict" => return plain(Quantity::Verdict, 1.0),
            "ct/kWh" | "c/kWh" => return plain(Quantity::EnergyPrice, 10.0),
            // Cents are of many currencies, pence are pounds'.
            "p/kWh" => {
                return Ok(Self { quantity: Quantity::EnergyPrice, factor: 10.0, currency: Currency::parse("GBP") });
            }
            _ => {}
        }
        let (code, per) = text.split_once('/').ok_or(UnknownUnit)?;
        let currency = Some(Currency::parse(code).ok_or(UnknownUnit)?);
        let (quantity, factor) = match per {
            "BTC" => (Quantity::BtcPrice, 1.0),
            "MWh" => (Quantity::EnergyPrice, 1.0),
            "kWh" => (Quantity::EnergyPrice, 1e3),
            "PH/day" => (Quantity::Hashprice, 1.0),
            "TH/day" => (Quantity::Hashprice, 1e3),
            "GPUh" => (Quantity::GpuPrice, 1.0),
            _ => return Err(UnknownUnit),
        };
        Ok(Self { quantity, factor, currency })
    }

    /// A number in this unit as one in the canonical unit, to 15 significant digits: 24.33 ct/kWh are 243.3 per MWh, not
    /// 243.29999999999998.
    pub fn canonical(self, value: f64) -> f64 {
        if self.factor == 1.0 {
            return value;
        }
        let product = value * self.factor;
        format!("{product:.14e}").parse().unwrap_or(product)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write_becomes_the_canonical_unit() {
        for (text, quantity, canonical) in [
            ("USD/BTC", Quantity::BtcPrice, 1.0),
            ("EUR/kWh", Quantity::EnergyPrice, 1000.0),
            ("ct/kWh", Quantity::EnergyPrice, 10.0),
            ("p/kWh", Quantity::EnergyPrice, 10.0),
            ("CHF/PH/day", Quantity::Hashprice, 1.0),
            ("USD/GPUh", Quantity::GpuPrice, 1.0),
            ("sat/block", Quantity::BlockReward, 1e-8),
            ("%", Quantity::Ratio, 0.01),
            ("MW", Quantity::Power, 1e6),
        ] {
            let unit = Unit::parse(text).unwrap();
            assert_eq!((unit.quantity, unit.canonical(1.0)), (quantity, canonical), "{text}");
        }
    }

    #[test]
    fn a_conversion_reads_as_people_would_write_it() {
        let canonical = |text: &str, value: f64| Unit::parse(text).unwrap().canonical(value).to_string();
        assert_eq!(canonical("c/kWh", 24.33), "243.3");
        assert_eq!(canonical("%", 70.0), "0.7");
        assert_eq!(canonical("sat/block", 312_500_001.0), "3.12500001");
        assert_eq!(canonical("MW", f64::INFINITY), "inf");
        assert_eq!(canonical("kW", f64::NAN), "NaN");
    }

    #[test]
    fn only_units_of_ours_are_taken() {
        for text in ["", "USD", "usd/MWh", "USD/", "USD/GWh", "$/MWh", "dollar/MWh", "kw", "USD/PH"] {
            assert_eq!(Unit::parse(text), Err(UnknownUnit), "{text}");
        }
    }

    #[test]
    fn the_canonical_unit_reads_back_as_itself() {
        for text in ["EUR/BTC", "EUR/MWh", "EUR/PH/day", "EUR/GPUh", "difficulty", "BTC/block", "ratio", "W", "verdict"]
        {
            let unit = Unit::parse(text).unwrap();
            assert_eq!((&*unit.quantity.unit(Currency::parse("EUR").unwrap()), unit.factor), (text, 1.0));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,20}") {
            let _ = Unit::parse(&text);
        }
    }
}
