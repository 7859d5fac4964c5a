//! Whether files have changed: looked at again and again, because that works on network mounts, for files that are renamed into their place,
//! and for the symbolic links of a mounted Kubernetes ConfigMap, where notifications of the kernel name a file that nobody reads.
//!
//! ```text
//! stamps as before ──► nothing        stamps others ──► wait a look        the same twice, contents others ──► changed
//! ```
//! A file that is being written is left alone until it has been the same for [`LOOK_EVERY`]. A touched file whose contents are the same is no
//! news. Knows nothing of what is in them.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// How often files are looked at, and how long one has to be left alone before it is read.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Bytes of a file that are compared: more than any that a config may name.
const MAX_COMPARED: u64 = 64 * 1024 * 1024;

/// What a look costs little to compare: device, inode, length, seconds and nanoseconds of the last change.
type Stamp = (u64, u64, u64, i64, i64);

/// Files, and how they were when they were looked at last.
#[derive(Debug)]
pub struct Watch {
    files: Vec<PathBuf>,
    stamps: Vec<Option<Stamp>>,
    contents: u64,
    is_restless: bool,
}

impl Watch {
    /// As they are now.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let (stamps, contents) = (stamps(&files), contents(&files));
        Self { files, stamps, contents, is_restless: false }
    }

    /// Those that are looked at.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Looks, and says whether something is in them that was not when they were read last. Reads disks: not for a task's thread.
    pub fn look(&mut self) -> bool {
        let stamps = stamps(&self.files);
        if stamps != self.stamps {
            (self.stamps, self.is_restless) = (stamps, true);
            return false;
        }
        if !std::mem::take(&mut self.is_restless) {
            return false;
        }
        let contents = contents(&self.files);
        std::mem::replace(&mut self.contents, contents) != contents
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let data = fs::metadata(path).ok()?;
        Some((data.dev(), data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
    };
    files.iter().map(stamp).collect()
}

/// A number that differs where any contents do, but for one chance in 2^64.
fn contents(files: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in files {
        read(path).hash(&mut hasher);
    }
    hasher.finish()
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(MAX_COMPARED).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_contents_that_are_left_alone_are_news() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashgate.toml");
        fs::write(&path, "one").unwrap();
        let mut watch = Watch::new(vec![path.clone(), folder.path().join("secret")]);
        assert!(!watch.look());
        fs::write(&path, "half").unwrap();
        assert!(!watch.look(), "it may be half written");
        fs::write(&path, "half and whole").unwrap();
        assert!(!watch.look());
        assert_eq!((watch.look(), watch.look()), (true, false));
        // Renamed into its place, with the same contents.
        fs::write(folder.path().join("new"), "half and whole").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!((watch.look(), watch.look()), (false, false));
        // A file that was missing comes, and one goes.
        fs::write(folder.path().join("secret"), "hunter2").unwrap();
        assert_eq!((watch.look(), watch.look()), (false, true));
        fs::remove_file(&path).unwrap();
        assert_eq!((watch.look(), watch.look()), (false, true));
    }

    #[test]
    fn a_link_that_is_pointed_elsewhere_is_news() {
        // As a ConfigMap is: hashgate.toml -> ..data/hashgate.toml, and ..data is exchanged.
        let folder = tempfile::tempdir().unwrap();
        let [first, second, data, swap] = ["first", "second", "..data", "..swap"].map(|name| folder.path().join(name));
        for (version, text) in [(&first, "one"), (&second, "two")] {
            fs::create_dir(version).unwrap();
            fs::write(version.join("hashgate.toml"), text).unwrap();
        }
        std::os::unix::fs::symlink(&first, &data).unwrap();
        std::os::unix::fs::symlink(data.join("hashgate.toml"), folder.path().join("hashgate.toml")).unwrap();
        let mut watch = Watch::new(vec![folder.path().join("hashgate.toml")]);
        std::os::unix::fs::symlink(&second, &swap).unwrap();
        fs::rename(&swap, &data).unwrap();
        assert_eq!((watch.look(), watch.look()), (false, true));
    }
}
