//! `[store]`: where counts and events are kept, and for how long.
//!
//! | the file says | the store is |
//! |---|---|
//! | nothing | `hashgate-store.db` beside `[proxy] state_file`; none where that is "" |
//! | `path = "…"` | that SQLite file |
//! | `url = "postgres://…"`, or `url_env`, `url_file` | in that PostgreSQL server |
//! | `enabled = false` | none |

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Env, Proxy, Secret, error::Wrong, raw::Section, secret, units::size, validate::secs, value};

/// The name of the file that is there without being asked for.
const DEFAULT_FILE: &str = "hashgate-store.db";

const URL: [&str; 3] = ["url", "url_env", "url_file"];

const DAY: u64 = 86_400;

/// Counts are added up before they go: an hour after the hour, a day after the day.
const MINUTES: RangeInclusive<Duration> = secs(3 * 3_600)..=secs(366 * DAY);
const HOURS: RangeInclusive<Duration> = secs(3 * DAY)..=secs(3_660 * DAY);
const DAYS: RangeInclusive<Duration> = secs(31 * DAY)..=secs(36_600 * DAY);
const RECORDS: RangeInclusive<Duration> = secs(DAY)..=secs(36_600 * DAY);

/// A store has a few megabytes before anything is in it.
const LEAST_BYTES: u64 = 16 * 1024 * 1024;

/// `[store]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    /// Where it is.
    pub place: StorePlace,
    /// How long minutes are kept.
    pub keep_minutes: Duration,
    /// How long hours are kept.
    pub keep_hours: Duration,
    /// How long days are kept.
    pub keep_days: Duration,
    /// How long decisions, signals, receipts, events and connections are kept.
    pub keep_records: Duration,
    /// What a SQLite file may hold; PostgreSQL's disk is its server's.
    pub max_bytes: u64,
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq)]
pub enum StorePlace {
    /// A SQLite file.
    File(PathBuf),
    /// A PostgreSQL server: its address, with a user and often a password.
    Postgres(Secret),
}

impl StorePlace {
    /// `sqlite` or `postgres`.
    pub fn backend(&self) -> &'static str {
        match self {
            Self::File(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// `[store]`; `None` for none, and if a problem was reported.
pub(super) fn read(mut section: Section<'_, '_>, proxy: &Proxy, env: &dyn Env) -> Option<Store> {
    let is_enabled = section.or("enabled", true, value::boolean);
    let path = section.optional(
        "path",
        value::parsed("\"hashgate-store.db\"", |path| match path.trim() {
            "" => Err(Wrong::new("is empty", "write a file's name, or enabled = false for no store")),
            path => Ok(PathBuf::from(path)),
        }),
    );
    let url = secret::read(&mut section, URL, env);
    let given = URL.into_iter().find(|key| section.has(key));
    if let (Some(key), true) = (given, section.has("path")) {
        section.error(key, Wrong::new("path is there too", "keep one of them: a store is in one place"));
    }
    if let (Some(key), Some(url)) = (given, &url)
        && !["postgres://", "postgresql://"].iter().any(|scheme| url.expose().starts_with(scheme))
    {
        section.error(
            key,
            Wrong::new("is no address of a PostgreSQL server", "write \"postgres://user:password@host/database\""),
        );
    }
    let age = |section: &mut Section<'_, '_>, key, default, range| section.or(key, default, value::duration(range));
    let store = Store {
        keep_minutes: age(&mut section, "keep_minutes", secs(3 * DAY), MINUTES),
        keep_hours: age(&mut section, "keep_hours", secs(90 * DAY), HOURS),
        keep_days: age(&mut section, "keep_days", secs(3_660 * DAY), DAYS),
        keep_records: age(&mut section, "keep_records", secs(366 * DAY), RECORDS),
        max_bytes: section.or("max_bytes", 8 * 1024 * 1024 * 1024, bytes),
        // Any will do until the real one is known.
        place: StorePlace::File(PathBuf::new()),
    };
    section.refuse_unknown_keys();
    let place = match (given, url, path) {
        (Some(_), url, _) => StorePlace::Postgres(url?),
        (None, _, Some(path)) => StorePlace::File(path),
        (None, _, None) => StorePlace::File(beside(proxy.state_file.as_deref()?)),
    };
    is_enabled.then_some(Store { place, ..store })
}

/// Where the state is.
fn beside(state: &Path) -> PathBuf {
    state.with_file_name(DEFAULT_FILE)
}

fn bytes(value: &toml::de::DeValue<'_>) -> Result<u64, Wrong> {
    const HELP: &str = "write \"8 GiB\"; 16 MiB at least";
    let Some(text) = value.as_str() else { return Err(Wrong::new("is no size in quotes", HELP)) };
    // Whole gigabytes are no unit of anything else here.
    let parsed = match text.trim().strip_suffix("GiB").map(str::trim) {
        Some(number) => number.parse::<u64>().ok().and_then(|number| number.checked_mul(1024 * 1024 * 1024)),
        None => size(text).ok().map(|bytes| bytes as u64),
    };
    parsed
        .filter(|bytes| *bytes >= LEAST_BYTES)
        .ok_or_else(|| Wrong::new(format!("{text:?} is no size of a store"), HELP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        Config,
        validate::tests::{MINIMAL, NoEnv, lines},
    };

    fn store(text: &str) -> Option<Store> {
        Config::parse(text, &NoEnv).unwrap().0.store
    }

    #[test]
    fn a_store_is_beside_the_state_and_nowhere_if_there_is_none() {
        let path = |text: &str| match store(text).map(|store| store.place) {
            Some(StorePlace::File(path)) => path.display().to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(path(MINIMAL), "hashgate-store.db");
        assert_eq!(
            path(&format!("[proxy]\nstate_file = \"/var/lib/x/state.json\"\n{MINIMAL}")),
            "/var/lib/x/hashgate-store.db"
        );
        assert_eq!(path(&format!("{MINIMAL}[store]\npath = \"a.db\"\n")), "a.db");
        assert_eq!(store(&format!("[proxy]\nstate_file = \"\"\n{MINIMAL}")), None);
        assert_eq!(store(&format!("{MINIMAL}[store]\nenabled = false\n")), None);
        let text = format!(
            "{MINIMAL}[store]\nurl = \"postgres://u:secret@h/d\"\nkeep_minutes = \"1day\"\nmax_bytes = \"2 GiB\"\n"
        );
        let store = store(&text).unwrap();
        assert_eq!((store.place.backend(), store.keep_minutes, store.max_bytes), ("postgres", secs(DAY), 2 << 30));
        assert!(!format!("{store:?}").contains("secret"));
    }

    #[test]
    fn what_is_wrong_with_it_is_told() {
        let errors = |store: &str| lines(&Config::parse(&format!("{MINIMAL}[store]\n{store}"), &NoEnv).unwrap_err());
        for (text, wanted) in [
            ("path = \"\"\n", "store.path: is empty"),
            ("path = \"a\"\nurl = \"postgres://h/d\"\n", "store.url: path is there too"),
            ("url = \"mysql://u:hunter2@h/d\"\n", "store.url: is no address of a PostgreSQL server"),
            ("url_env = \"NOBODY\"\n", "store.url_env: names an environment variable that is not set"),
            ("max_bytes = \"1 MiB\"\n", "store.max_bytes: \"1 MiB\" is no size of a store"),
            ("keep_minutes = \"1m\"\n", "store.keep_minutes: "),
            ("keep = \"1m\"\n", "store.keep: "),
        ] {
            let found = errors(text);
            assert!(found[0].contains(wanted), "{text}{found:?}");
            assert!(!found[0].contains("hunter2"), "{found:?}");
        }
    }
}
