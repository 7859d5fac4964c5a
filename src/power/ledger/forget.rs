//! A device that is gone for good: what it counted is free.
//!
//! Only its bound may go, which covers no lease: what is lent on a sleep counts on that sleep, and who forgets such a device must not
//! (`site/forget.rs` refuses). If it draws all the same, the site's meter alone can tell. So its bound goes on counting, as power that
//! nobody explains, until the meter was compared twice without it: no room comes of it before.

use jiff::Timestamp;

use super::{Booked, Booking, DeviceId, Entry, Ledger};

impl Ledger {
    /// What the book must say before a device is forgotten, so that it is not taken for one that sleeps if it is ever found again.
    pub fn before_forgotten(&self, now: Timestamp, id: &DeviceId) -> Option<Entry> {
        let device = self.devices.get(id).filter(|device| matches!(device.booked, Booked::Freed { .. }))?;
        let what = Booking::Hold { device: id.clone(), watts: device.bound(), highest: device.highest };
        Some(Entry { at: now, what })
    }

    /// The same for one that the book names and nobody knows.
    pub fn before_stranger_forgotten(&self, now: Timestamp, id: &DeviceId) -> Option<Entry> {
        let (booked, highest) = *self.strangers.get(id)?;
        // Its bound is not known, and nobody reads it: what it counts if it is found again is its rules' to say.
        let what = Booking::Hold { device: id.clone(), watts: highest, highest };
        matches!(booked, Booked::Freed { .. }).then_some(Entry { at: now, what })
    }

    /// Forgets a device. Found again, it counts at its bound, which is no lower than before.
    pub fn remove_device(&mut self, now: Timestamp, id: &DeviceId) {
        let Some(device) = self.devices.remove(id) else { return };
        if device.rules.is_read {
            // Nobody waits for its reading any more.
            self.answered(device.readings.is_answered(), true);
        }
        self.meter.explains_less(device.bound());
        let booked = match device.booked {
            Booked::Freed { .. } => Booked::Held { since: Some(now) },
            held @ Booked::Held { .. } => held,
        };
        self.note_stranger(id, booked, device.highest);
    }
}
