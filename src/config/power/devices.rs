//! The machines that the config names: `[[group.device]]`, and lists in CSV files.
//!
//! ```text
//! name,address,worker,nameplate_w,efficiency_j_per_th
//! rack1-07,10.1.0.7,hall-a.07,3500,17.5
//! ```
//! Columns are found by their names and may stand in any order; `address` or `worker` is needed, and a machine without a name is called by
//! these. Names, addresses and workers are one machine's each, on the whole site. Lines that begin with `#` are notes.
//!
//! Limits: [`MAX_DEVICES`] on the site, [`MAX_TABLES`] as tables of one group, [`MAX_LIST_BYTES`] of a file. What is wrong with a file is told
//! with its line, for [`MAX_TOLD`] lines.

use std::{collections::HashMap, net::IpAddr, path::Path, sync::Arc};

use super::{DeviceEntry, MAX_DEVICES};
use crate::{
    config::{
        Env, MAX_USER_BYTES,
        error::{Wrong, shown},
        profit::quote,
        raw::{Section, nearest},
        validate, value,
    },
    profit::{Currency, JoulesPerTerahash, Watts},
};

/// Machines of a group that stand in the config itself; more read better as a list.
const MAX_TABLES: usize = 1_000;

/// Bytes of a list: as many machines as a site has, at 160 bytes each.
const MAX_LIST_BYTES: u64 = 160 * MAX_DEVICES as u64;

/// Wrong lines of one file that are told.
const MAX_TOLD: usize = 20;

/// Columns of a list.
const COLUMNS: [&str; 5] = ["name", "address", "worker", "nameplate_w", "efficiency_j_per_th"];

/// Whose names, addresses and workers are taken: each says by what.
#[derive(Debug, Default)]
pub(super) struct Taken {
    names: HashMap<Arc<str>, Arc<str>>,
    addresses: HashMap<IpAddr, Arc<str>>,
    workers: HashMap<Arc<str>, Arc<str>>,
    count: usize,
}

impl Taken {
    /// Takes a machine's.
    fn take(&mut self, entry: &DeviceEntry, group: &str) -> Result<(), (&'static str, Wrong)> {
        let by: Arc<str> = format!("machine \"{}\" of group \"{group}\"", entry.name).into();
        let wrong = |what: String, by: &str| Wrong::new(format!("{what} is that of {by} too"), "give each its own");
        if let Some(other) = self.names.insert(entry.name.clone(), by.clone()) {
            return Err(("name", wrong(format!("the name \"{}\"", entry.name), &other)));
        }
        if let Some(address) = entry.address
            && let Some(other) = self.addresses.insert(address, by.clone())
        {
            return Err(("address", wrong(format!("the address {address}"), &other)));
        }
        if let Some(worker) = &entry.worker
            && let Some(other) = self.workers.insert(worker.clone(), by)
        {
            return Err(("worker", wrong(format!("the worker {}", shown(worker)), &other)));
        }
        Ok(())
    }
}

/// The machines of one group, and what they may be.
pub(super) struct Context<'c> {
    pub group: &'c str,
    /// What one draws at most asleep; `None` where that is wrong itself.
    pub sleep_max: Option<Watts>,
    pub currency: Currency,
    pub env: &'c dyn Env,
}

/// `[[group.device]]` and `devices`. Wrong ones are reported and left out.
pub(super) fn read(section: &mut Section<'_, '_>, taken: &mut Taken, context: &Context<'_>) -> Vec<DeviceEntry> {
    let mut tables = section.tables_up_to("device", MAX_TABLES, ", or a list in a file: devices = \"hall-a.csv\"");
    let mut found: Vec<DeviceEntry> = Vec::new();
    for table in &mut tables {
        let Some(entry) = entry(table, context) else { continue };
        match taken.take(&entry, context.group) {
            Ok(()) => found.push(entry),
            Err((key, wrong)) => table.error(if table.has(key) { key } else { "" }, wrong),
        }
    }
    let file = section.optional("devices", value::parsed("\"hall-a.csv\"", |path| Ok(path.to_owned())));
    if let Some(path) = file {
        match context.env.read_list(Path::new(&path), MAX_LIST_BYTES) {
            Ok(text) => list(section, &path, &text, taken, context, &mut found),
            Err(error) => section.error(
                "devices",
                Wrong::new(
                    format!("names a file that can't be read: {}: {error}", shown(&path)),
                    "write the path of a CSV file, beside the config or in full",
                ),
            ),
        }
    }
    let before = taken.count;
    taken.count = before.saturating_add(found.len());
    if before <= MAX_DEVICES && taken.count > MAX_DEVICES {
        let what = format!("makes {} machines of the site", taken.count);
        section.error("devices", Wrong::new(what, format!("write at most {MAX_DEVICES}")));
    }
    found
}

fn entry(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<DeviceEntry> {
    let before = section.error_count();
    let name = section.optional("name", value::parsed("a name", |name| validate::name(name).map(Arc::from)));
    let address = section.optional("address", value::parsed("\"10.1.0.7\"", self::address));
    let worker = section.optional("worker", value::parsed("\"hall-a.07\"", self::worker));
    let nameplate = section.optional("nameplate", |value| {
        let watts = quote::watts(context.currency)(value)?;
        context.nameplate(watts).map(|()| watts)
    });
    let efficiency = section.optional("efficiency", value::parsed("\"21.5 J/TH\"", quote::efficiency));
    section.refuse_unknown_keys();
    if section.error_count() > before {
        return None;
    }
    named(name, address, worker, nameplate, efficiency).map_err(|wrong| section.error("", wrong)).ok()
}

impl Context<'_> {
    /// Whether a machine's own nameplate can be one of this group.
    fn nameplate(&self, watts: Watts) -> Result<(), Wrong> {
        let (least, most) = super::group::NAMEPLATE;
        if !(least..=most).contains(&watts.get()) {
            return Err(Wrong::new(format!("{} is out of range", watts.in_words()), "write \"1 W\" to \"10 MW\""));
        }
        match self.sleep_max {
            Some(asleep) if asleep.get() * 2.0 > watts.get() => Err(Wrong::new(
                format!("{} is not twice the {} that it may draw asleep", watts.in_words(), asleep.in_words()),
                "write a lower sleep_max, or move it to a group of its own: awake it could be taken for asleep",
            )),
            _ => Ok(()),
        }
    }
}

fn named(
    name: Option<Arc<str>>,
    address: Option<IpAddr>,
    worker: Option<Arc<str>>,
    nameplate: Option<Watts>,
    efficiency: Option<JoulesPerTerahash>,
) -> Result<DeviceEntry, Wrong> {
    let Some(known_by) = worker.clone().or_else(|| address.map(|address| address.to_string().into())) else {
        let help = "write address = \"10.1.0.7\", or worker = the user name that it mines with";
        return Err(Wrong::new("has neither address nor worker", help));
    };
    Ok(DeviceEntry { name: name.unwrap_or(known_by), address, worker, nameplate, efficiency })
}

fn address(text: &str) -> Result<IpAddr, Wrong> {
    let parsed = text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    parsed.filter(|address| !address.is_unspecified() && !address.is_multicast()).ok_or_else(|| {
        Wrong::new(
            format!("{} is no machine's address", shown(text)),
            "write it in numbers, without a port: \"10.1.0.7\"",
        )
    })
}

fn worker(text: &str) -> Result<Arc<str>, Wrong> {
    if text.trim().is_empty() || text.len() > MAX_USER_BYTES || text.chars().any(char::is_control) {
        let help = format!("write the user name that it mines with, at most {MAX_USER_BYTES} bytes");
        return Err(Wrong::new(format!("{} is no user name", shown(text)), help));
    }
    Ok(text.into())
}

/// The machines of a file.
fn list(
    section: &Section<'_, '_>,
    path: &str,
    text: &str,
    taken: &mut Taken,
    context: &Context<'_>,
    found: &mut Vec<DeviceEntry>,
) {
    let mut wrongs: Vec<Wrong> = Vec::new();
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .flexible(true)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let columns = match reader.headers().map_err(|error| Wrong::new(format!("{path}: {error}"), "")).and_then(columns) {
        Ok(columns) => columns,
        Err(wrong) => {
            section.error("devices", Wrong::new(format!("{}: {}", shown(path), wrong.what), wrong.help));
            return;
        }
    };
    let before = found.len();
    for record in reader.records() {
        let line = record.as_ref().ok().and_then(csv::StringRecord::position).map_or(0, csv::Position::line);
        let read = record.map_err(|error| Wrong::new(error.to_string(), "write UTF-8")).and_then(|record| {
            let entry = columns.entry(&record, context)?;
            taken.take(&entry, context.group).map_err(|(_, wrong)| wrong)?;
            Ok(entry)
        });
        match read {
            Ok(entry) => found.push(entry),
            Err(wrong) => wrongs.push(Wrong::new(format!("{} line {line}: {}", shown(path), wrong.what), wrong.help)),
        }
    }
    if found.len() == before && wrongs.is_empty() {
        wrongs.push(Wrong::new(format!("{} has no machine in it", shown(path)), "write one in each line"));
    }
    let more = wrongs.len().saturating_sub(MAX_TOLD);
    for wrong in wrongs.into_iter().take(MAX_TOLD) {
        section.error("devices", wrong);
    }
    if more > 0 {
        section.error("devices", Wrong::new(format!("{} has {more} more wrong lines", shown(path)), ""));
    }
}

/// Where each of [`COLUMNS`] stands in a file.
struct Columns {
    at: [Option<usize>; COLUMNS.len()],
    count: usize,
}

fn columns(headers: &csv::StringRecord) -> Result<Columns, Wrong> {
    let all = || format!("the first line names the columns: {}", COLUMNS.join(","));
    let mut at = [None; COLUMNS.len()];
    for (place, header) in headers.iter().enumerate() {
        let Some(column) = COLUMNS.iter().position(|column| *column == header) else {
            let help = nearest(header, &COLUMNS).map_or_else(all, |near| format!("did you mean \"{near}\"?"));
            return Err(Wrong::new(format!("{} is no column", shown(header)), help));
        };
        if at[column].replace(place).is_some() {
            return Err(Wrong::new(format!("has the column {} twice", shown(header)), "keep one"));
        }
    }
    if at[1].is_none() && at[2].is_none() {
        return Err(Wrong::new("has neither a column address nor worker", all()));
    }
    Ok(Columns { at, count: headers.len() })
}

impl Columns {
    fn entry(&self, record: &csv::StringRecord, context: &Context<'_>) -> Result<DeviceEntry, Wrong> {
        if record.len() != self.count {
            let what = format!("has {} values, the first line {}", record.len(), self.count);
            return Err(Wrong::new(what, "separate them with commas, and leave out none"));
        }
        let [name, ip, user, nameplate, efficiency] =
            self.at.map(|at| at.and_then(|at| record.get(at)).filter(|text| !text.is_empty()));
        let nameplate = nameplate.map(|text| {
            let watts = text.parse::<f64>().ok().and_then(Watts::new);
            let wrong = || Wrong::new(format!("{} is no nameplate", shown(text)), "write watts as a number: 3500");
            watts.ok_or_else(wrong).and_then(|watts| context.nameplate(watts).map(|()| watts))
        });
        let efficiency = efficiency.map(|text| {
            quote::efficiency(&format!("{text} J/TH"))
                .map_err(|_| Wrong::new(format!("{} is no efficiency", shown(text)), "write J/TH as a number: 17.5"))
        });
        named(
            name.map(validate::name).transpose()?.map(Arc::from),
            ip.map(address).transpose()?,
            user.map(worker).transpose()?,
            nameplate.transpose()?,
            efficiency.transpose()?,
        )
    }
}
