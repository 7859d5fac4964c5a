//! What charts had before a restart: each minute goes into the store, and a day of them comes back at the start.
//!
//! Only what no counts tell: the site's power and prices. A crash loses the minute that it is in, as of all that is stored; a clean end keeps what
//! there is of it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;
use tracing::info;

use super::{
    super::Api,
    series::{EVERY, MAX_ROWS, MINUTE, Minute},
};
use crate::store::{Cursor, During, Record, RecordQuery, Store, StoreError, Topic};

/// Minutes that are read at once.
const PAGE: usize = 200;

/// Tries to read what there was: the store may be made, or brought up to date, at this very start.
const TRIES: u32 = 12;

/// Between two of them.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// When the minute begins that this is in, in seconds since 1970.
pub(super) fn begin_of(now: Timestamp) -> i64 {
    now.as_second().div_euclid(MINUTE) * MINUTE
}

/// Keeps a minute for the next run.
pub(super) fn keep(store: &Store, begin: i64, minute: &Minute) {
    let (Ok(at), Ok(data)) = (Timestamp::from_second(begin), serde_json::to_string(minute)) else { return };
    if !minute.is_empty() {
        let (topic, key) = (Topic::Chart, Some(begin.to_string()));
        store.put(Record {
            at,
            topic,
            subject: "site".into(),
            value: None,
            words: String::new(),
            data: Some(data),
            key,
        });
    }
}

/// Puts what earlier runs have kept before what this one has seen.
pub(super) async fn recall(api: &Api) {
    let Some(store) = &api.store else { return };
    for _ in 1..TRIES {
        match read(api, store).await {
            Ok(()) => return,
            Err(_) => sleep(TRY_AGAIN).await,
        }
    }
    if let Err(error) = read(api, store).await {
        info!(
            "admin API: charts of power and prices begin with this start, what was before could not be read: {error}"
        );
    }
}

/// From the latest back, so that what came in before an error is not asked for again in vain: what is there already stays.
async fn read(api: &Api, store: &Store) -> Result<(), StoreError> {
    let day = SignedDuration::from_secs(MAX_ROWS as i64 * EVERY.as_secs().cast_signed());
    let during = During { from: api.started - day, to: api.started };
    let mut after: Option<Cursor> = None;
    loop {
        let topics = vec![Topic::Chart];
        let query = RecordQuery { topics, during: Some(during), after, limit: PAGE, ..RecordQuery::default() };
        let page = store.reader.records(query).await?;
        let mut state = api.watched.state();
        for stored in &page.records {
            let data = stored.record.data.as_deref().unwrap_or_default();
            // What another version has written is no reason to have nothing.
            let Ok(minute) = serde_json::from_str::<Minute>(data) else { continue };
            if !state.series.put_before(stored.record.at.as_second(), &minute) {
                return Ok(());
            }
        }
        drop(state);
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}
