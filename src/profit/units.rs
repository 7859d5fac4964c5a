//! The units of money and power: what a number of the profit side means, carried by its type.
//!
//! Knows ranges and how a value is written; knows no formula (those are in `economics.rs`) and no rate of exchange: a site
//! has one [`Currency`], and `Money` is in it.
//!
//! | type | unit | range |
//! |---|---|---|
//! | [`Money`] | currency | any |
//! | [`MoneyPerMwh`] | currency per MWh | any: power prices go below zero |
//! | [`MoneyPerPhDay`] | currency per PH/s and day (hashprice) | 0 and up |
//! | [`MoneyPerBtc`] | currency per bitcoin | above 0 |
//! | [`MoneyPerGpuHour`] | currency per GPU and hour | 0 and up |
//! | [`JoulesPerTerahash`] | J/TH, which is W per TH/s | above 0 |
//! | [`Watts`] | W | 0 and up |
//! | [`BtcPerBlock`] | BTC | 0 and up |
//! | [`NetworkDifficulty`] | the network's difficulty | above 0 |
//! | [`Ratio`] | a share or factor: utilisation, PUE | 0 and up |
//!
//! No value is NaN, infinite or beyond [`LIMIT`]: `new` refuses such a number, sums and products stop at the limit. So whatever
//! is computed from these can be compared, sorted and printed without a thought.

use std::{
    fmt::{self, Display, Formatter},
    ops::{Add, Div, Mul, Neg, Sub},
};

/// No price, power or difficulty comes near it (the difficulty of 2026 is 1e14), and sums of any number of such values are finite.
pub const LIMIT: f64 = 1e18;

/// Makes a newtype over `f64`: its doc, its name, what it accepts, its unit in words. `{}` stands for the currency.
macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $accepts:expr, $least:expr, $unit:literal, $decimals:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
        pub struct $name(f64);

        impl $name {
            /// `None` if it is NaN, beyond [`LIMIT`], or out of the type's range.
            pub fn new(value: f64) -> Option<Self> {
                let accepts: fn(f64) -> bool = $accepts;
                (value.abs() <= LIMIT && accepts(value)).then_some(Self(value))
            }

            /// The plain number, in the unit of the type.
            pub const fn get(self) -> f64 {
                self.0
            }

            /// The result of a formula, kept within what the type may hold.
            #[allow(dead_code)] // Not every unit is the result of one.
            pub(crate) fn clamped(value: f64) -> Self {
                let least: f64 = $least;
                // Operands are finite and divisors above zero: NaN is 0 · ∞ of a product past the limit.
                Self(if value.is_nan() { least.max(0.0) } else { value.clamp(least, LIMIT) })
            }

            /// The value in words, with the currency's sign where money is in it: `52.0 $/PH/day`.
            pub fn in_currency(self, currency: Currency) -> impl Display {
                Shown { value: self.0, unit: $unit, decimals: $decimals, currency: Some(currency) }
            }
        }

        /// With its unit, the currency unsaid: `52.0 money/PH/day`.
        impl Display for $name {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                let decimals = f.precision().unwrap_or($decimals);
                Display::fmt(&Shown { value: self.0, unit: $unit, decimals, currency: None }, f)
            }
        }
    };
}

unit!(
    /// An amount; negative for a loss.
    Money, |_| true, -LIMIT, "{}", 2
);
unit!(
    /// A price or a margin per energy; negative prices are real ones.
    MoneyPerMwh, |_| true, -LIMIT, "{}/MWh", 1
);
unit!(
    /// Hashprice: what a petahash per second earns in a day.
    MoneyPerPhDay, |value| value >= 0.0, 0.0, "{}/PH/day", 1
);
unit!(
    /// What a bitcoin costs.
    MoneyPerBtc, |value| value > 0.0, f64::MIN_POSITIVE, "{}/BTC", 0
);
unit!(
    /// What an hour of a GPU is sold for.
    MoneyPerGpuHour, |value| value >= 0.0, 0.0, "{}/GPUh", 2
);
unit!(
    /// Energy per hashes, which is the watts of a machine for each TH/s.
    JoulesPerTerahash, |value| value > 0.0, f64::MIN_POSITIVE, "J/TH", 1
);
unit!(
    /// Power.
    Watts, |value| value >= 0.0, 0.0, "W", 0
);
unit!(
    /// Subsidy, fees, or both.
    BtcPerBlock, |value| value >= 0.0, 0.0, "BTC", 4
);
unit!(
    /// How many times harder than difficulty 1 a block is.
    NetworkDifficulty, |value| value > 0.0, f64::MIN_POSITIVE, "", 0
);
unit!(
    /// A share (utilisation, fee) or a factor (PUE).
    Ratio, |value| value >= 0.0, 0.0, "", 3
);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0.0);

    /// An amount per MW as a rate per MWh over so many hours; the limit for none.
    pub fn per_hours(self, hours: f64) -> MoneyPerMwh {
        MoneyPerMwh::clamped(self.0 / hours)
    }
}

impl MoneyPerMwh {
    /// Nothing: what curtailing pays where nobody pays for it.
    pub const ZERO: Self = Self(0.0);

    /// What `power` earns or costs at this price over `hours`.
    pub fn over(self, power: Watts, hours: f64) -> Money {
        Money::clamped(self.0 * power.0 * 1e-6 * hours)
    }

    /// The greater.
    pub fn max(self, other: Self) -> Self {
        if other.0 > self.0 { other } else { self }
    }
}

impl Watts {
    /// Nothing.
    pub const ZERO: Self = Self(0.0);
    /// What the costs of a switch are stated for.
    pub const MEGAWATT: Self = Self(1e6);

    /// From kilowatts; `None` as [`Watts::new`].
    pub fn from_kilowatts(kilowatts: f64) -> Option<Self> {
        Self::new(kilowatts * 1e3)
    }

    /// In kilowatts, to the milliwatt: 9.9, not 9.900000000000002.
    pub fn kilowatts(self) -> f64 {
        (self.0 * 1e3).round() / 1e6
    }

    /// In megawatts.
    pub fn megawatts(self) -> f64 {
        self.0 * 1e-6
    }

    /// The lesser.
    pub fn min(self, other: Self) -> Self {
        if other.0 < self.0 { other } else { self }
    }

    /// The greater.
    pub fn max(self, other: Self) -> Self {
        if other.0 > self.0 { other } else { self }
    }

    /// The difference, or nothing where `other` is more.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self::clamped(self.0 - other.0)
    }

    /// With the prefix that people would say: `850 W`, `3.5 kW`, `1.25 MW`.
    pub fn in_words(self) -> impl Display {
        let (value, unit, decimals) = match self.0 {
            watts if watts < 1e3 => (watts, "W", 0),
            watts if watts < 1e6 => (watts * 1e-3, "kW", 1),
            watts => (watts * 1e-6, "MW", 2),
        };
        Shown { value, unit, decimals, currency: None }
    }
}

impl Ratio {
    /// All of it; no change as a factor.
    pub const ONE: Self = Self(1.0);
    /// None of it.
    pub const ZERO: Self = Self(0.0);

    /// What is left of one: `1 − fee`; nothing where the share is more than all.
    pub fn rest(self) -> Self {
        Self::clamped(1.0 - self.0)
    }
}

impl Add for Watts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::clamped(self.0 + other.0)
    }
}

/// Sums, differences and multiples of what may be negative.
macro_rules! signed {
    ($name:ident) => {
        impl Add for $name {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self::clamped(self.0 + other.0)
            }
        }

        impl Sub for $name {
            type Output = Self;

            fn sub(self, other: Self) -> Self {
                Self::clamped(self.0 - other.0)
            }
        }

        impl Neg for $name {
            type Output = Self;

            fn neg(self) -> Self {
                Self(-self.0)
            }
        }

        impl Mul<Ratio> for $name {
            type Output = Self;

            fn mul(self, factor: Ratio) -> Self {
                Self::clamped(self.0 * factor.0)
            }
        }

        impl Div<Ratio> for $name {
            type Output = Self;

            /// By nothing it is the limit, not an infinity.
            fn div(self, divisor: Ratio) -> Self {
                Self::clamped(self.0 / divisor.0)
            }
        }
    };
}

signed!(Money);
signed!(MoneyPerMwh);

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl std::iter::Sum for Watts {
    fn sum<I: Iterator<Item = Self>>(powers: I) -> Self {
        powers.fold(Self::ZERO, Add::add)
    }
}

/// The one currency of a site: three capital letters (ISO 4217).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency([u8; 3]);

impl Currency {
    /// US dollars, the default.
    pub const USD: Self = Self(*b"USD");

    /// `None` unless it is three capital letters.
    pub fn parse(code: &str) -> Option<Self> {
        let code: [u8; 3] = code.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Self(code))
    }

    /// The code, `USD`.
    pub fn code(&self) -> &str {
        // Only capital letters are let in.
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// What stands before a unit: `$`, or the code where there is no common sign.
    fn sign(&self) -> &str {
        match &self.0 {
            b"USD" => "$",
            b"EUR" => "€",
            b"GBP" => "£",
            _ => self.code(),
        }
    }
}

impl Display for Currency {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A number with its unit.
struct Shown {
    value: f64,
    unit: &'static str,
    decimals: usize,
    currency: Option<Currency>,
}

impl Display for Shown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // A loss of less than the last digit is no "-0.0".
        let rounds_to_zero = self.value.abs() < 0.5 * 10_f64.powi(-(self.decimals as i32));
        write!(f, "{:.*}", self.decimals, if rounds_to_zero { 0.0 } else { self.value })?;
        match self.unit.strip_prefix("{}") {
            _ if self.unit.is_empty() => Ok(()),
            None => write!(f, " {}", self.unit),
            Some(rest) => match &self.currency {
                Some(currency) => write!(f, " {}{rest}", currency.sign()),
                None => write!(f, " money{rest}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_says_its_unit_and_its_currency() {
        let price = MoneyPerMwh::new(-3.04).unwrap();
        assert_eq!(price.to_string(), "-3.0 money/MWh");
        assert_eq!(price.in_currency(Currency::USD).to_string(), "-3.0 $/MWh");
        assert_eq!(price.in_currency(Currency::parse("NOK").unwrap()).to_string(), "-3.0 NOK/MWh");
        assert_eq!(format!("{price:.2}"), "-3.04 money/MWh");
        assert_eq!(MoneyPerMwh::new(-0.01).unwrap().to_string(), "0.0 money/MWh");
        assert_eq!(Money::new(12.5).unwrap().in_currency(Currency::parse("EUR").unwrap()).to_string(), "12.50 €");
        assert_eq!(Ratio::new(0.7).unwrap().to_string(), "0.700");
        for (watts, words) in [(850.0, "850 W"), (3_500.0, "3.5 kW"), (1_250_000.0, "1.25 MW")] {
            assert_eq!(Watts::new(watts).unwrap().in_words().to_string(), words);
        }
    }

    #[test]
    fn a_currency_is_three_capital_letters() {
        assert_eq!(Currency::parse("USD"), Some(Currency::USD));
        for wrong in ["", "usd", "US", "USDT", "€"] {
            assert_eq!(Currency::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for absurd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e19] {
            assert_eq!(MoneyPerMwh::new(absurd), None, "{absurd}");
        }
        assert!(MoneyPerMwh::new(-500.0).is_some());
        assert_eq!(MoneyPerBtc::new(0.0), None);
        assert_eq!(JoulesPerTerahash::new(0.0), None);
        assert_eq!(NetworkDifficulty::new(-1.0), None);
        assert_eq!(Watts::new(-1.0), None);
    }

    proptest! {
        #[test]
        fn arithmetic_stays_finite(a in -LIMIT..LIMIT, b in -LIMIT..LIMIT, factor in 0.0..LIMIT) {
            let (a, b, factor) = (MoneyPerMwh::new(a).unwrap(), MoneyPerMwh::new(b).unwrap(), Ratio::new(factor).unwrap());
            for result in [a + b, a - b, -a, a * factor, a / factor, a / Ratio::ZERO, MoneyPerMwh::ZERO / Ratio::ZERO] {
                prop_assert!(result.get().abs() <= LIMIT);
            }
        }
    }
}
