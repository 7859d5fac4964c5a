//! `schedule`: says what the calendar holds for the next days, again and again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::Feed;
use crate::{config::Windows, profit::schedule::between};

/// How far it looks ahead.
const AHEAD: SignedDuration = SignedDuration::from_hours(48);

/// How often it looks: so often that a clock that was set, or a machine that slept, is noticed.
const EVERY: Duration = Duration::from_secs(3600);

/// Says until it is dropped.
pub async fn run(windows: Windows, feed: Feed) {
    loop {
        let now = Timestamp::now();
        let Ok(until) = now.checked_add(AHEAD) else { return };
        // The book keeps a refusal for people to see, and counts it.
        let _ = feed.observe(between(&windows, now, until)).await;
        sleep(EVERY).await;
    }
}
