//! A number of power, as meters say it: alone or in a JSON document, as a number or a text, in W or kW.
//!
//! What one machine can't draw is refused with the value in words: such a reading is a wrong unit, a wrong pointer or a broken
//! meter, and freed watts rest on it.

use crate::{
    config::{Picker, PowerUnit, Shape},
    power::actuator::DriverError,
    profit::{Unit, Watts, extract},
};

/// The most that is believed of one machine: hydro-cooled ones draw 12 kW, a container 1 MW.
pub const MOST: Watts = Watts::MEGAWATT;

/// The most that is believed of one AI block, in watts: no campus has more.
const MOST_OF_BLOCK_W: f64 = 10e9;

/// Where in a document the number stands, and what it is in.
#[derive(Debug, Clone)]
pub struct Amount {
    picker: Picker,
    unit: Unit,
    most: Watts,
}

impl Amount {
    /// At a JSON pointer; `None` if the number is all of the document.
    pub fn at(pointer: Option<&str>, unit: PowerUnit) -> Self {
        let name = match unit {
            PowerUnit::Watts => "W",
            PowerUnit::Kilowatts => "kW",
        };
        let unit = Unit::parse(name).expect("W and kW are units");
        let picker = Picker { value: pointer.map(str::to_owned), shape: Shape::Single { at: None } };
        Self { picker, unit, most: MOST }
    }

    /// Of all of a block, and not of one machine.
    #[must_use]
    pub fn of_block(self) -> Self {
        Self { most: Watts::clamped(MOST_OF_BLOCK_W), ..self }
    }

    /// The watts in a document.
    pub fn read(&self, document: &[u8]) -> Result<Watts, DriverError> {
        let text = std::str::from_utf8(document);
        let text = text.map_err(|_| DriverError::Garbled("the answer is no text (UTF-8)".to_owned()))?;
        let found = extract(text.trim_start_matches('\u{feff}'), &self.picker, self.unit);
        let found = found.map_err(|refusal| DriverError::Garbled(refusal.to_string()))?;
        let [one] = &found[..] else { return Err(DriverError::Garbled("there is no number".to_owned())) };
        up_to(one.value, self.most)
    }
}

/// Watts that a machine may draw.
pub fn plausible(watts: f64) -> Result<Watts, DriverError> {
    up_to(watts, MOST)
}

fn up_to(watts: f64, most: Watts) -> Result<Watts, DriverError> {
    let wrong = |what: &str| Err(DriverError::Garbled(format!("{watts} W {what}")));
    match Watts::new(watts) {
        Some(good) if good <= most => Ok(good),
        Some(_) if most == MOST => wrong("is more than one machine draws, 1 MW: look at unit and value"),
        Some(_) => wrong("is more than any block draws: look at unit and value"),
        None if watts < 0.0 => wrong("is less than nothing: look at the meter's direction"),
        None => wrong("is no number of watts"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pointer: Option<&str>, unit: PowerUnit, document: &str) -> Result<f64, String> {
        let watts = Amount::at(pointer, unit).read(document.as_bytes());
        watts.map(Watts::get).map_err(|error| error.to_string())
    }

    #[test]
    fn a_number_is_read_wherever_it_stands() {
        assert_eq!(read(None, PowerUnit::Watts, "\u{feff}3412.5\n"), Ok(3412.5));
        assert_eq!(read(None, PowerUnit::Kilowatts, "3.25"), Ok(3250.0));
        assert_eq!(read(Some("/meters/0/power"), PowerUnit::Watts, r#"{"meters":[{"power":0}]}"#), Ok(0.0));
        assert_eq!(read(Some("/p"), PowerUnit::Kilowatts, r#"{"p":"1.5"}"#), Ok(1500.0));
    }

    #[test]
    fn what_no_machine_draws_is_refused_with_the_value() {
        for (document, why) in [
            ("-5", "not understood: -5 W is less than nothing: look at the meter's direction"),
            ("NaN", "not understood: NaN W is no number of watts"),
            ("inf", "not understood: inf W is no number of watts"),
            ("-inf", "not understood: -inf W is less than nothing: look at the meter's direction"),
            ("1000001", "not understood: 1000001 W is more than one machine draws, 1 MW: look at unit and value"),
            ("", "not understood: \"\" is not a number"),
            ("12 W", "not understood: \"12 W\" is not a number"),
        ] {
            assert_eq!(read(None, PowerUnit::Watts, document).unwrap_err(), why);
        }
        let json = |document| read(Some("/p"), PowerUnit::Watts, document).unwrap_err();
        assert_eq!(json("{}"), "not understood: there is nothing at \"/p\"");
        assert_eq!(json(r#"{"p":null}"#), "not understood: at \"/p\" is null, not a number");
        assert!(json(r#"{"p":1e999}"#).contains("not JSON"));
        assert!(json("<html>").contains("a web page"));
        assert_eq!(
            Amount::at(None, PowerUnit::Watts).read(b"\xff").unwrap_err().to_string(),
            "not understood: the answer is no text (UTF-8)"
        );
    }

    proptest! {
        #[test]
        fn no_document_is_more_than_a_machine_draws(document in "[-+.0-9eE]{0,12}|\\PC{0,20}") {
            for pointer in [None, Some("/p")] {
                if let Ok(watts) = read(pointer, PowerUnit::Kilowatts, &document) {
                    prop_assert!((0.0..=1e6).contains(&watts));
                }
            }
        }
    }
}
