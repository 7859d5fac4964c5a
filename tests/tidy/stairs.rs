//! The one-way stairs: imports go down only (`src/lib.rs` has the map).

use std::collections::HashMap;

use crate::source::{Source, program, read};

/// From the ground up; a file may import from its own floor and from those below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Floor {
    /// Bytes in, values out.
    Hash,
    /// The wire.
    Stratum,
    /// What is mined.
    Work,
    /// What the operator wrote: values.
    Config,
    /// State machines: time is an argument.
    Machine,
    /// Owners of sockets, clocks, disks, threads.
    Task,
    /// The simulated world: imports nothing but itself.
    Sim,
    /// Wiring.
    Roof,
}

/// Where a file belongs; the first row that its path begins with counts.
const FLOORS: &[(&str, Floor)] = &[
    ("src/hash/", Floor::Hash),
    ("src/stratum/", Floor::Stratum),
    ("src/work", Floor::Work),
    ("src/config/", Floor::Config),
    ("src/downstream/task", Floor::Task),
    ("src/downstream/gate.rs", Floor::Task),
    ("src/downstream/", Floor::Machine),
    ("src/upstream/task.rs", Floor::Task),
    ("src/upstream/connect.rs", Floor::Task),
    ("src/tls.rs", Floor::Task),
    ("src/http.rs", Floor::Task),
    ("src/command.rs", Floor::Task),
    ("src/api/", Floor::Task),
    ("src/upstream/", Floor::Machine),
    ("src/router/task", Floor::Task),
    ("src/router/", Floor::Machine),
    // What config and machines speak in: numbers with units, and formulas over them.
    ("src/profit/units.rs", Floor::Work),
    ("src/profit/reading.rs", Floor::Work),
    ("src/profit/economics.rs", Floor::Work),
    ("src/profit/quantity.rs", Floor::Work),
    ("src/profit/source/", Floor::Task),
    ("src/profit/task", Floor::Task),
    ("src/profit/", Floor::Machine),
    ("src/power/journal", Floor::Task),
    ("src/power/handle.rs", Floor::Task),
    ("src/power/task", Floor::Task),
    ("src/power/actuator/", Floor::Task),
    ("src/power/meter/", Floor::Task),
    ("src/power/compute/", Floor::Task),
    ("src/power/", Floor::Machine),
    ("src/census/table", Floor::Machine),
    ("src/census/page.rs", Floor::Machine),
    ("src/census/placing.rs", Floor::Machine),
    ("src/census/minute.rs", Floor::Machine),
    ("src/census/", Floor::Task),
    ("src/metrics/", Floor::Task),
    ("src/store/model.rs", Floor::Machine),
    ("src/store/", Floor::Task),
    ("src/reload", Floor::Task),
    ("src/state.rs", Floor::Task),
    ("src/limits.rs", Floor::Task),
    ("src/lock.rs", Floor::Task),
    ("src/sim/", Floor::Sim),
    ("src/app", Floor::Roof),
    ("src/cli", Floor::Roof),
    ("src/demo", Floor::Roof),
    ("src/lib.rs", Floor::Roof),
    ("src/main.rs", Floor::Roof),
];

/// What no machine and nothing on the ground may have: sockets, clocks, disks.
const OUTSIDE: [&str; 8] = [
    "tokio::net",
    "tokio::time",
    "tokio::fs",
    "tokio::io",
    "std::fs",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
];

/// Readings of a clock: machines are told the time.
const CLOCKS: [&str; 2] = ["Instant::now()", "SystemTime::now()"];

/// Who may read one all the same.
const CLOCK_READERS: [&str; 1] = [
    // Kernels are measured once, at start, and the fastest is taken.
    "src/hash/select.rs",
];

fn floor(path: &str) -> Option<Floor> {
    FLOORS.iter().find(|(begin, _)| path.starts_with(begin)).map(|(_, floor)| *floor)
}

/// The names that a folder's `mod.rs` re-exports, with the file that each comes from.
struct Doors(HashMap<String, String>);

impl Doors {
    fn of(sources: &[Source]) -> Self {
        let mut doors = HashMap::new();
        for source in sources.iter().filter(|source| source.path.ends_with("/mod.rs")) {
            let folder = source.path.trim_end_matches("mod.rs");
            for statement in source.code().split(';').filter_map(|text| text.split_once("pub use ")) {
                let statement: String = statement.1.split_whitespace().collect();
                let Some((file, names)) = statement.trim_start_matches("self::").split_once("::") else { continue };
                // One group may name several files: `{a::B, c::{D, E}}` is taken apart by its innermost names.
                for (file, name) in named(file, names) {
                    doors.insert(format!("{folder}{name}"), format!("{folder}{file}.rs"));
                }
            }
        }
        Self(doors)
    }

    /// The file that `crate::a::b::C` is in.
    fn file(&self, sources: &[Source], import: &str) -> Option<String> {
        let path = import.strip_prefix("crate::")?;
        let exists = |file: &str| sources.iter().any(|source| source.path == file);
        let names: Vec<&str> = path.split("::").collect();
        let mut folder = "src/".to_owned();
        for name in names {
            if let Some(file) = self.0.get(&format!("{folder}{name}")) {
                return Some(file.clone());
            }
            if exists(&format!("{folder}{name}.rs")) {
                return Some(format!("{folder}{name}.rs"));
            }
            if !exists(&format!("{folder}{name}/mod.rs")) {
                break;
            }
            folder = format!("{folder}{name}/");
        }
        Some(format!("{folder}mod.rs"))
    }
}

fn named<'a>(file: &'a str, names: &'a str) -> Vec<(&'a str, &'a str)> {
    if !file.is_empty() && !file.starts_with('{') {
        let names = names.trim_start_matches('{').trim_end_matches('}');
        return names.split(',').filter(|name| !name.is_empty()).map(|name| (file, name)).collect();
    }
    let mut found = Vec::new();
    let mut file = file.trim_start_matches('{');
    let mut rest = names;
    loop {
        let end = if rest.starts_with('{') { rest.find('}') } else { rest.find([',', '}']) };
        let (names, after) = rest.split_at(end.unwrap_or(rest.len()));
        found.extend(names.trim_matches(['{', '}']).split(',').filter(|n| !n.is_empty()).map(|name| (file, name)));
        match after.trim_start_matches(['}', ',']).split_once("::") {
            Some((next, names)) => (file, rest) = (next, names),
            None => return found,
        }
    }
}

/// Everything that goes up, or out.
fn faults(sources: &[Source]) -> Vec<String> {
    let doors = Doors::of(sources);
    let mut faults = Vec::new();
    for source in sources {
        let path = &source.path;
        let Some(own) = floor(path) else {
            faults.push(format!("{path} has no floor: give it one here and in src/lib.rs"));
            continue;
        };
        for import in source.imports() {
            if let Some(file) = doors.file(sources, &import) {
                let there = floor(&file);
                let is_up = match (own, there) {
                    (Floor::Sim, there) => there != Some(Floor::Sim),
                    (own, Some(Floor::Sim)) => own != Floor::Roof,
                    (own, there) => there.is_some_and(|there| there > own),
                };
                if is_up {
                    faults.push(format!("{path} ({own:?}) imports {import} ({there:?})"));
                }
            }
            if own <= Floor::Machine
                && own != Floor::Config
                && OUTSIDE.iter().any(|outside| import.starts_with(outside))
            {
                faults.push(format!("{path} ({own:?}) imports {import}: sockets, clocks and disks belong to tasks"));
            }
        }
        let code = source.code();
        let must_be_told = own <= Floor::Machine && !CLOCK_READERS.contains(&path.as_str());
        for clock in CLOCKS.iter().filter(|clock| must_be_told && code.contains(*clock)) {
            faults.push(format!("{path} ({own:?}) reads a clock: {clock}"));
        }
    }
    faults
}

#[test]
fn imports_go_down_only_and_machines_own_no_socket_clock_or_disk() {
    let faults = faults(&program());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_map_names_every_module() {
    let lib = read("src/lib.rs");
    for line in lib.text.lines() {
        if let Some(module) = line.strip_prefix("pub mod ") {
            let module = module.trim_end_matches(';');
            assert!(lib.text.contains(&format!("[`{module}`]")), "src/lib.rs does not say on which floor {module} is");
        }
    }
}

#[test]
fn a_step_up_is_seen() {
    let world = |path: &str, text: &str| {
        vec![
            Source::made_up("src/downstream/mod.rs", "pub use self::{session::Session, task::{Worker, Other}};\n"),
            Source::made_up("src/downstream/session.rs", ""),
            Source::made_up("src/downstream/task.rs", ""),
            Source::made_up("src/sim/mod.rs", ""),
            Source::made_up("src/work.rs", ""),
            Source::made_up(path, text),
        ]
    };
    for (path, text, is_fault) in [
        ("src/hash/scalar.rs", "use crate::work::Job;", true),
        ("src/stratum/line.rs", "use crate::hash::Plan;", false),
        ("src/stratum/line.rs", "fn f() { crate::downstream::Session::new() }", true),
        ("src/router/lease.rs", "use crate::downstream::{Session};", false),
        ("src/router/lease.rs", "use crate::downstream::{Session, Worker};", true),
        ("src/router/lease.rs", "use crate::{\n    downstream::Other,\n};", true),
        ("src/router/lease.rs", "use tokio::{sync::mpsc, time::sleep};", true),
        ("src/router/lease.rs", "use tokio::sync::mpsc;\nuse std::net::IpAddr;", false),
        ("src/router/lease.rs", "use std::net::{IpAddr, TcpStream};", true),
        ("src/router/lease.rs", "fn f() { let now = Instant::now(); }", true),
        ("src/router/task.rs", "use tokio::time::sleep;\nuse crate::downstream::Worker;", false),
        ("src/router/task.rs", "use crate::sim::SimPool;", true),
        ("src/app.rs", "use crate::sim::SimPool;", false),
        ("src/sim/pool.rs", "use crate::work::Target;", true),
        ("src/sim/pool.rs", "use super::Fault;", false),
        ("src/weather.rs", "", true),
    ] {
        let faults = faults(&world(path, text));
        assert_eq!(!faults.is_empty(), is_fault, "{path}: {text}: {faults:?}");
    }
}
