//! A device that is gone for good. In its place stays one that draws nothing, obeys nobody and is in no record, so that the others keep
//! their indexes.

use jiff::Timestamp;

use super::Group;
use crate::{
    power::device::{Device, Spec},
    profit::Watts,
};

impl Group {
    /// Forgets a device. Who was told to sleep must not be forgotten (`site/forget.rs`).
    pub(super) fn forget(&mut self, now: Timestamp, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let was_touched = !slot.device.is_untouched();
        (slot.is_moving, slot.is_queued, slot.is_granted) = (false, false, false);
        self.queue.retain(|queued| *queued != index);
        self.granted.retain(|granted| *granted != index);
        self.touch(now, index, |device, _| {
            let nothing = Spec {
                can_sleep: false,
                most: Watts::ZERO,
                sleep_max: Watts::ZERO,
                efficiency: None,
                ..device.spec().clone()
            };
            *device = Device::new(nothing);
        });
        if was_touched {
            self.persist();
        }
    }
}
