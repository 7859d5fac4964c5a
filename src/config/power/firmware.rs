//! `kind = "luxos"`, `"braiins"`, `"antminer"` or `"axeos"`: firmware of ASICs that is spoken to directly, at the address of each machine.
//!
//! | kind | port | login | tells watts | a power cut |
//! |---|---|---|---|---|
//! | `luxos` | 4028 | none | yes | by its version, once it was asked (`actuator/luxos.rs`) |
//! | `braiins` | 80 | user, password | yes | not said |
//! | `antminer` | 80 | user, password | no | not said |
//! | `axeos` | 80 | none | yes | wakes it |
//!
//! Who logs in is never guessed: a firmware's factory password in a config is the operator's word, one in this program would be a hole.

use std::{sync::Arc, time::Duration};

use super::Survives;
use crate::config::{
    Env, Secret,
    error::Wrong,
    raw::Section,
    signal::kinds,
    validate::{TIMEOUT, secs},
    value,
};

/// A firmware, and how it is spoken to.
#[derive(Debug, Clone, PartialEq)]
pub struct Firmware {
    /// Which.
    pub make: Make,
    /// User and password; `Some` where [`Make::has_login`].
    pub login: Option<(Arc<str>, Secret)>,
    /// Its port on each machine.
    pub port: u16,
    /// For one order or one reading, however many calls that takes.
    pub timeout: Duration,
}

/// Who made a firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Make {
    /// LuxOS.
    Luxos,
    /// Braiins OS, 25.07 and later.
    Braiins,
    /// Bitmain's own.
    Antminer,
    /// AxeOS, 2.14 and later.
    Axeos,
}

impl Make {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Luxos, Self::Braiins, Self::Antminer, Self::Axeos];

    /// As it is written.
    pub fn label(self) -> &'static str {
        match self {
            Self::Luxos => "luxos",
            Self::Braiins => "braiins",
            Self::Antminer => "antminer",
            Self::Axeos => "axeos",
        }
    }

    /// The one with this label.
    pub fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|make| make.label() == label)
    }

    /// Where it listens, unless somebody moved it.
    pub fn port(self) -> u16 {
        match self {
            Self::Luxos => 4028,
            Self::Braiins | Self::Antminer | Self::Axeos => 80,
        }
    }

    /// Whether it asks who speaks.
    pub fn has_login(self) -> bool {
        matches!(self, Self::Braiins | Self::Antminer)
    }

    /// Whether it tells what it draws.
    pub fn tells_watts(self) -> bool {
        self != Self::Antminer
    }

    /// Whether a machine that slept sleeps on after its power went and came.
    pub fn survives(self) -> Survives {
        match self {
            Self::Axeos => Survives::No,
            Self::Luxos | Self::Braiins | Self::Antminer => Survives::Unknown,
        }
    }
}

/// The keys of the table behind `kind`. `None` only if a problem was reported.
pub(super) fn read(make: Make, section: &mut Section<'_, '_>, env: &dyn Env) -> Option<Firmware> {
    const LOGIN: [&str; 4] = ["user", "password", "password_env", "password_file"];
    let given = LOGIN.into_iter().find(|key| section.has(key));
    let login = kinds::login(section, env).map(|(user, password)| (Arc::from(user), password));
    match (make.has_login(), given) {
        (true, None) => {
            let help = "write user = \"root\" and password_env = \"ASIC_PASSWORD\": none is ever guessed";
            section.error("user", Wrong::new(format!("is missing: {} asks who speaks", make.label()), help));
        }
        (false, Some(key)) => {
            section.error(key, Wrong::new(format!("{} asks nobody who speaks", make.label()), "drop it"));
        }
        _ => {}
    }
    let port = section.or("port", make.port(), value::integer(1..=u16::MAX));
    // Replies were seen to take 21 s.
    let timeout = section.or("timeout", secs(30), value::duration(TIMEOUT));
    if make.has_login() != login.is_some() {
        return None;
    }
    Some(Firmware { make, login, port, timeout })
}
