//! Advisory locks, which the system gives back however a process ends.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use crate::FileError;

/// Name of the file in a directory that is locked in its place.
const NAME: &str = "lock";

/// The lock of a directory, given back when this is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a directory that exists; `None` if another process or handle holds it.
    ///
    /// # Errors
    ///
    /// [`FileError`] if the directory cannot be written to or its file system has no locks.
    pub fn try_acquire(directory: &Path) -> Result<Option<Self>, FileError> {
        let path = directory.join(NAME);
        let file = File::create(&path).map_err(FileError::at(&path))?;
        let is_locked = try_lock(&file).map_err(FileError::at(&path))?;
        Ok(is_locked.then_some(Self { _file: file }))
    }

    /// Takes the lock of a directory, made if need be, and waits for whoever holds it.
    ///
    /// # Errors
    ///
    /// As [`Self::try_acquire`].
    pub fn acquire(directory: &Path) -> Result<Self, FileError> {
        fs::create_dir_all(directory).map_err(FileError::at(directory))?;
        let path = directory.join(NAME);
        let acquire = || {
            let file = File::create(&path)?;
            file.lock()?;
            Ok(Self { _file: file })
        };
        acquire().map_err(FileError::at(&path))
    }

    /// Whether anybody holds the lock of a directory. It asks by a lock that any number of readers
    /// may hold, and lets it go at once.
    pub fn is_held(directory: &Path) -> bool {
        let lock = File::open(directory.join(NAME)).map(|file| file.try_lock_shared());
        matches!(lock, Ok(Err(TryLockError::WouldBlock)))
    }
}

/// Locks an open file; `false` if another handle holds its lock.
///
/// # Errors
///
/// Any other error of the system; some network file systems have no locks.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert!(!Lock::is_held(path));
        let lock = Lock::acquire(path).unwrap();
        assert!(Lock::is_held(path));
        assert!(Lock::try_acquire(path).unwrap().is_none());
        drop(lock);
        assert!(!Lock::is_held(path));
        assert!(Lock::try_acquire(path).unwrap().is_some());
        let error = Lock::try_acquire(&path.join("absent")).unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
    }
}
