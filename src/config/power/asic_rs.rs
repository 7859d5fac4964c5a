//! `kind = "asic_rs"`: firmware for which there is no driver of ours, through the crate `asic-rs`, in a program that was built with it.
//!
//! | `make` | asks who speaks | |
//! |---|---|---|
//! | `vnish`, `epic` | password | the user's name is not looked at; write any |
//! | `marathon`, `auradine`, `sealminer`, `proto` | user, password | |
//! | `avalon` | nobody | |
//! | `whatsminer` | – | refused: see [`WHATSMINER`] |
//!
//! A make is named by the operator and not found out: finding it out would ask all makes' questions, some with factory passwords. Of those that there
//! are drivers of ours for, none is here. Its ports are the makes' own; the crate takes no others.

use std::{sync::Arc, time::Duration};

use crate::config::{
    Env, Secret,
    error::Wrong,
    raw::Section,
    signal::kinds,
    validate::{TIMEOUT, secs},
    value,
};

/// Why there is no WhatsMiner. In asic-rs 0.8.6 (`asic-rs-firmwares-whatsminer`, `v2/rpc.rs`, `v3/rpc.rs`) any command that is refused, a reading as
/// well, is followed by `open_write_api`, in v3 with the password "admin" whatever the config says, and its models are asked for as "super".
const WHATSMINER: &str =
    "asic-rs answers any refusal of a WhatsMiner by unlocking its write API with a factory password";

/// Without the feature.
const UNBUILT: &str = "this program was built without it";

/// A make that is spoken to by `asic-rs`.
#[derive(Debug, Clone, PartialEq)]
pub struct AsicRs {
    /// Which.
    pub make: OtherMake,
    /// User and password; `Some` where [`OtherMake::has_login`].
    pub login: Option<(Arc<str>, Secret)>,
    /// For one order or one reading, however many calls that takes.
    pub timeout: Duration,
}

/// Makes of `asic-rs` that can be paused, and that ask nothing with a password that nobody gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OtherMake {
    /// VNish.
    Vnish,
    /// ePIC's UMC OS.
    Epic,
    /// MARA's firmware.
    Marathon,
    /// Auradine.
    Auradine,
    /// Canaan's Avalon A and Q.
    Avalon,
    /// Block's Proto rigs.
    Proto,
    /// Bitdeer's SealMiner.
    Sealminer,
}

impl OtherMake {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Vnish, Self::Epic, Self::Marathon, Self::Auradine, Self::Avalon, Self::Proto, Self::Sealminer];

    /// As it is written.
    pub fn label(self) -> &'static str {
        match self {
            Self::Vnish => "vnish",
            Self::Epic => "epic",
            Self::Marathon => "marathon",
            Self::Auradine => "auradine",
            Self::Avalon => "avalon",
            Self::Proto => "proto",
            Self::Sealminer => "sealminer",
        }
    }

    /// Whether it asks who speaks.
    pub fn has_login(self) -> bool {
        self != Self::Avalon
    }
}

/// The keys of the table behind `kind`. `None` only if a problem was reported.
pub(super) fn read(section: &mut Section<'_, '_>, env: &dyn Env) -> Option<AsicRs> {
    let known = OtherMake::ALL.map(OtherMake::label).join("\", \"");
    let help = format!("write make = \"{known}\"").replace("\", \"", "\" or \"");
    let make = section.required("make", &help, value::parsed("\"vnish\"", |text| make(text, &help)));
    let login = kinds::login(section, env).map(|(user, password)| (Arc::from(user), password));
    let given = ["user", "password", "password_env", "password_file"].into_iter().find(|key| section.has(key));
    let timeout = section.or("timeout", secs(30), value::duration(TIMEOUT));
    if !cfg!(feature = "asic-rs") {
        let help = "build one with `cargo build --release --features asic-rs`, or write kind = \"exec\" with a tool of the make's";
        section.error("kind", Wrong::new(UNBUILT, help));
        return None;
    }
    let make = make?;
    match (make.has_login(), given) {
        (true, None) => {
            let help = "write user = \"…\" and password_env = \"ASIC_PASSWORD\": none is ever guessed";
            section.error("user", Wrong::new(format!("is missing: {} asks who speaks", make.label()), help));
        }
        (false, Some(key)) => {
            section.error(key, Wrong::new(format!("{} asks nobody who speaks", make.label()), "drop it"));
        }
        _ => {}
    }
    (make.has_login() == login.is_some()).then_some(AsicRs { make, login, timeout })
}

fn make(text: &str, help: &str) -> Result<OtherMake, Wrong> {
    if text == "whatsminer" {
        let help = "write kind = \"exec\" with MicroBT's own tool and your own password, or switch its outlet";
        return Err(Wrong::new(format!("is left out: {WHATSMINER}"), help));
    }
    if let Some(make) = super::Make::parse(text) {
        let help = format!("write kind = \"{}\"", make.label());
        return Err(Wrong::new(format!("there is a driver for {text}"), help));
    }
    let found = OtherMake::ALL.into_iter().find(|make| make.label() == text);
    found.ok_or_else(|| Wrong::new(format!("{} is not one of the makes", crate::config::error::shown(text)), help))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::power::tests::{SITE, parse};

    #[test]
    fn other_makes_need_a_program_that_was_built_for_them_and_no_guessed_password() {
        let errors = |keys: &str| {
            let (from, to) = (SITE.find("[group.actuator]").unwrap(), SITE.find("[group.watts]").unwrap());
            let text = format!("{}[group.actuator]\nkind = \"asic_rs\"\n{keys}{}", &SITE[..from], &SITE[to..]);
            parse(&text).err().unwrap_or_default().join("\n")
        };
        let login = "user = \"root\"\npassword = \"hunter2\"\n";
        for make in OtherMake::ALL {
            let login = if make.has_login() { login } else { "" };
            let said = errors(&format!("make = \"{}\"\n{login}", make.label()));
            let expected = if cfg!(feature = "asic-rs") { "" } else { "cargo build --release --features asic-rs" };
            assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{said}");
        }
        let mut wrong = vec![
            (format!("make = \"whatsminer\"\n{login}"), "with a factory password"),
            ("make = \"luxos\"\n".to_owned(), "write kind = \"luxos\""),
            ("make = \"goldshell\"\n".to_owned(), "\"goldshell\" is not one of the makes"),
            (String::new(), "make"),
        ];
        if cfg!(feature = "asic-rs") {
            wrong.push(("make = \"vnish\"\n".to_owned(), "is missing: vnish asks who speaks"));
            wrong.push((format!("make = \"avalon\"\n{login}"), "avalon asks nobody who speaks"));
        }
        for (keys, words) in wrong {
            let said = errors(&keys);
            assert!(said.contains(words) && !said.contains("hunter2"), "{keys}: {said}");
        }
    }
}
