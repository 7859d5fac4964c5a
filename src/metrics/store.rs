//! The store, as its writer says.
//!
//! Limits: labels are fixed words.

use jiff::Timestamp;

use super::{exporter::certificate, names, text::Page};
use crate::store::{MAX_WAITING_RECORDS, MAX_WAITING_ROWS, StoreStatus};

pub(super) fn record(page: &mut Page, status: &StoreStatus, now: Timestamp) {
    page.flag(&names::STORE_UP, &[], status.trouble.is_none());
    for (kind, written, waiting, room) in [
        ("rows", status.written - status.written_records, status.waiting_rows, MAX_WAITING_ROWS),
        ("records", status.written_records, status.waiting_records, MAX_WAITING_RECORDS),
    ] {
        page.count(&names::STORE_WRITTEN, &[("kind", kind)], written);
        page.gauge(&names::STORE_WAITING, &[("kind", kind)], waiting as f64);
        page.gauge(&names::STORE_ROOM, &[("kind", kind)], room as f64);
    }
    page.count(&names::STORE_DROPPED, &[("kind", "records")], status.dropped);
    page.count(&names::STORE_DROPPED, &[("kind", "rows")], status.unplaced);
    page.count(&names::STORE_MERGED, &[], status.merged);
    page.count(&names::STORE_BATCHES, &[], status.batches);
    page.count(&names::STORE_ERRORS, &[], status.failures);
    let lag = status.oldest.map_or(0.0, |oldest| now.duration_since(oldest).as_secs_f64().max(0.0));
    page.gauge(&names::STORE_LAG, &[], lag);
    page.time(&names::STORE_WRITTEN_AT, &[], status.written_at);
    page.gauge(&names::STORE_BYTES, &[], if status.bytes == 0 { f64::NAN } else { status.bytes as f64 });
    certificate(page, "store", status.backend, status.certificate_ends);
}
