//! What must survive a restart, in one small file: what pools granted, the difficulties of workers, the epoch.
//!
//! It is written whole to a new file that then takes the old one's place, so that a crash leaves one or the other. Nothing in
//! it is needed: without it, the first miners wait for the pools and start at their listener's difficulty.
//!
//! Limits: [`MAX_WORKERS`] difficulties, the ones not seen for longest go first; [`MAX_BYTES`] of a file that is read.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    io::Write,
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{router::PoolTerms, work::Difficulty};

/// Workers whose difficulty is remembered: the largest farms have so many; some 5 MiB in the file.
pub const MAX_WORKERS: usize = 100_000;

/// A state file is at most so large: every worker with the longest name.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The layout of the file. A file of another version is not read.
const VERSION: u32 = 1;

/// The difficulties of workers by name, bounded.
#[derive(Debug, Default)]
pub struct WorkerDifficulties {
    by_name: HashMap<Arc<str>, (Difficulty, u64)>,
    /// Counts uses; the smallest was seen longest ago.
    clock: u64,
}

impl WorkerDifficulties {
    /// What this worker had.
    pub fn get(&self, worker: &str) -> Option<Difficulty> {
        self.by_name.get(worker).map(|(difficulty, _)| *difficulty)
    }

    /// Keeps what this worker has.
    pub fn set(&mut self, worker: Arc<str>, difficulty: Difficulty) {
        self.clock += 1;
        self.by_name.insert(worker, (difficulty, self.clock));
        if self.by_name.len() > MAX_WORKERS {
            // A tenth at once, so that the search for the oldest is rare.
            let mut uses: Vec<u64> = self.by_name.values().map(|(_, used)| *used).collect();
            let (_, oldest_kept, _) = uses.select_nth_unstable(MAX_WORKERS / 10);
            let oldest_kept = *oldest_kept;
            self.by_name.retain(|_, (_, used)| *used > oldest_kept);
        }
    }

    /// Workers known.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// None is known.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// Everything in the file.
#[derive(Debug, Default)]
pub struct State {
    /// Starts of this proxy, this one included. A session id of an earlier epoch resumes nothing.
    pub epoch: u32,
    /// By pool name.
    pub pools: BTreeMap<String, PoolTerms>,
    /// By worker name.
    pub workers: WorkerDifficulties,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    version: u32,
    epoch: u32,
    pools: BTreeMap<String, PoolTerms>,
    /// Seen longest ago first.
    workers: Vec<(String, f64)>,
}

impl State {
    /// Reads the file; a missing one is an empty state.
    ///
    /// # Errors
    /// It can't be read, or is not what we write; the text says which.
    pub fn load(path: &Path) -> io::Result<Self> {
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let wire: Wire = serde_json::from_reader(io::BufReader::new(io::Read::take(file, MAX_BYTES)))?;
        if wire.version != VERSION {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("version {} is not {VERSION}", wire.version),
            ));
        }
        let mut workers = WorkerDifficulties::default();
        for (name, difficulty) in wire.workers {
            if let Some(difficulty) = Difficulty::new(difficulty) {
                workers.set(name.into(), difficulty);
            }
        }
        Ok(Self { epoch: wire.epoch, pools: wire.pools, workers })
    }

    /// What is in it now, to be written elsewhere.
    pub fn snapshot(&self) -> Snapshot {
        let workers = self.workers.by_name.iter();
        Snapshot {
            epoch: self.epoch,
            pools: self.pools.clone(),
            workers: workers.map(|(name, (difficulty, used))| (name.clone(), *difficulty, *used)).collect(),
        }
    }
}

/// A state at one moment.
#[derive(Debug)]
pub struct Snapshot {
    epoch: u32,
    pools: BTreeMap<String, PoolTerms>,
    workers: Vec<(Arc<str>, Difficulty, u64)>,
}

impl Snapshot {
    /// The bytes of the file.
    pub fn to_bytes(mut self) -> Vec<u8> {
        self.workers.sort_unstable_by_key(|(_, _, used)| *used);
        let workers =
            self.workers.into_iter().map(|(name, difficulty, _)| (name.to_string(), difficulty.get())).collect();
        let wire = Wire { version: VERSION, epoch: self.epoch, pools: self.pools, workers };
        serde_json::to_vec(&wire).expect("numbers and texts serialise")
    }
}

/// Puts bytes in the place of a file, all or nothing.
///
/// # Errors
/// The disk's.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difficulty(value: f64) -> Difficulty {
        Difficulty::new(value).unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        assert_eq!(State::load(&path).unwrap().epoch, 0, "a missing file is an empty state");
        let mut state = State { epoch: 7, ..State::default() };
        state.pools.insert("eu".into(), PoolTerms { extranonce2_size: 8, version_mask: 0x1fff_e000 });
        state.workers.set("farm.1".into(), difficulty(0.00015));
        write_atomically(&path, &state.snapshot().to_bytes()).unwrap();
        let read = State::load(&path).unwrap();
        assert_eq!((read.epoch, read.pools), (7, state.pools));
        assert_eq!(read.workers.get("farm.1"), Some(difficulty(0.00015)));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for text in ["", "{", "[]", r#"{"version":2,"epoch":1,"pools":{},"workers":[]}"#] {
            fs::write(&path, text).unwrap();
            assert!(State::load(&path).is_err(), "{text}");
        }
    }

    #[test]
    fn the_workers_seen_longest_ago_are_forgotten_first() {
        let mut workers = WorkerDifficulties::default();
        for worker in 0..=MAX_WORKERS {
            workers.set(worker.to_string().into(), Difficulty::ONE);
        }
        assert!(workers.len() <= MAX_WORKERS);
        assert_eq!(workers.get("0"), None);
        assert!(workers.get(&MAX_WORKERS.to_string()).is_some());
    }
}
