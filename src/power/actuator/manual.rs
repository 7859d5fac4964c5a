//! `manual`: nobody is told by us. The power task asks a person, and the machine's watts are waited for.

use super::{Actuator, Call, Drawn};
use crate::power::{Target, device::PowerMode};

/// Says yes, and does nothing.
#[derive(Debug, Clone, Copy)]
pub struct Manual;

impl Actuator for Manual {
    fn sleep<'a>(&'a self, _: &'a Target) -> Call<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn wake<'a>(&'a self, _: &'a Target, _: Option<&'a PowerMode>) -> Call<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn read<'a>(&'a self, _: &'a Target) -> Option<Call<'a, Drawn>> {
        None
    }

    fn is_manual(&self) -> bool {
        true
    }
}
