//! What a miner asks for in its password: renters control nothing else (datum_gateway#127).
//!
//! `d=1024` or `diff=…` is where its difficulty starts, `md=…` the least it takes; other words (`x`, `c=BTC`) mean nothing to us.

use crate::work::Difficulty;

/// The options of a password, separated by commas, semicolons or spaces.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PasswordOptions {
    /// `d=`: start here.
    pub start: Option<Difficulty>,
    /// `md=`: never below.
    pub floor: Option<Difficulty>,
}

impl PasswordOptions {
    /// Reads what can be read and ignores the rest.
    pub fn parse(password: &str) -> Self {
        let mut options = Self::default();
        for word in password.split([',', ';', ' ']) {
            let Some((key, value)) = word.split_once('=') else { continue };
            let value = value.trim().parse().ok().and_then(Difficulty::new);
            match key.trim().to_ascii_lowercase().as_str() {
                "d" | "diff" => options.start = value.or(options.start),
                "md" | "mindiff" => options.floor = value.or(options.floor),
                _ => {}
            }
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_among_what_others_write() {
        let parse = |password| {
            let PasswordOptions { start, floor } = PasswordOptions::parse(password);
            (start.map(Difficulty::get), floor.map(Difficulty::get))
        };
        assert_eq!(parse("x"), (None, None));
        assert_eq!(parse(""), (None, None));
        assert_eq!(parse("d=1024"), (Some(1024.0), None));
        assert_eq!(parse("x,c=BTC;Diff=5e5 md=64"), (Some(5e5), Some(64.0)));
        assert_eq!(parse("d=-1,d=abc,md=nan"), (None, None));
    }
}
