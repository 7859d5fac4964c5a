//! Entries of the ledger as rows of its table, there and back.

use rusqlite::{Row, types::Type};

use crate::{
    power::ledger::{BlockId, Booking, DeviceId, Entry, LeaseId},
    profit::Watts,
};

/// Kind, subject, lease, watts, and what else the kind has.
pub(super) type Columns<'a> = (&'static str, &'a str, Option<LeaseId>, Option<f64>, Option<String>);

/// An entry's, as they are written.
pub(super) fn columns(what: &Booking) -> Columns<'_> {
    match what {
        Booking::Hold { device, watts, highest } => {
            ("hold", device.as_str(), None, Some(watts.get()), Some(highest.get().to_string()))
        }
        Booking::Freed { device, watts } => ("freed", device.as_str(), None, Some(watts.get()), None),
        Booking::Lease { block, lease, watts, expires } => {
            ("lease", block.as_str(), Some(*lease), Some(watts.get()), Some(expires.to_string()))
        }
        Booking::Revoke { block, lease } => ("revoke", block.as_str(), Some(*lease), None, None),
        Booking::Returned { block, lease, watts } => {
            ("returned", block.as_str(), Some(*lease), Some(watts.get()), None)
        }
    }
}

/// An entry from its row: when, kind, subject, lease, watts, what else.
pub(super) fn entry(row: &Row<'_>) -> Result<Entry, rusqlite::Error> {
    let wrong = |column: usize, kind| {
        rusqlite::Error::FromSqlConversionFailure(column, kind, "not what the ledger writes".into())
    };
    let at = row.get_ref(0)?.as_str()?.parse().map_err(|_| wrong(0, Type::Text))?;
    let subject = row.get_ref(2)?.as_str()?;
    let lease = || Ok::<_, rusqlite::Error>(LeaseId(row.get::<_, i64>(3)? as u64));
    let watts = || Watts::new(row.get(4)?).ok_or_else(|| wrong(4, Type::Real));
    let extra = || row.get_ref(5)?.as_str().map_err(|_| wrong(5, Type::Text));
    let (device, block) = (|| DeviceId::from(subject), || BlockId::from(subject));
    let what = match row.get_ref(1)?.as_str()? {
        "hold" => {
            let highest = extra()?.parse().ok().and_then(Watts::new).ok_or_else(|| wrong(5, Type::Text))?;
            Booking::Hold { device: device(), watts: watts()?, highest }
        }
        "freed" => Booking::Freed { device: device(), watts: watts()? },
        "lease" => {
            let expires = extra()?.parse().map_err(|_| wrong(5, Type::Text))?;
            Booking::Lease { block: block(), lease: lease()?, watts: watts()?, expires }
        }
        "revoke" => Booking::Revoke { block: block(), lease: lease()? },
        "returned" => Booking::Returned { block: block(), lease: lease()?, watts: watts()? },
        _ => return Err(wrong(1, Type::Text)),
    };
    Ok(Entry { at, what })
}
