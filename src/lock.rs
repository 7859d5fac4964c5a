//! A lock file: who has it is the only one, until it is dropped or the process ends, however it ends.

use std::fs::{File, TryLockError};

/// A file that is locked.
#[derive(Debug)]
pub(crate) struct Locked(File);

impl Locked {
    /// Takes the lock of an open file.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if another has it.
    pub fn of(file: File) -> Result<Self, (File, TryLockError)> {
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(error) => Err((file, error)),
        }
    }

    /// What stands in it.
    pub fn file(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for Locked {
    /// Closing it is not enough: a child that has just been forked and runs nothing of its own yet has the file as well.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_dropped_is_free_although_a_child_still_has_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::open(file.path()).unwrap();
        let first = open();
        // The same open file under another number, as a child has it between fork and exec.
        let of_a_child = first.try_clone().unwrap();
        let locked = Locked::of(first).unwrap();
        assert!(matches!(Locked::of(open()), Err((_, TryLockError::WouldBlock))));
        drop(locked);
        let again = Locked::of(open());
        assert!(again.is_ok(), "{again:?}");
        drop(of_a_child);
    }
}
