//! Where the files of programs are, and what becomes of those of a harness that was killed.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// How the name of a den begins.
const PREFIX: &str = "calm-cage-";

/// How it begins before anybody may take it for one.
const UNFINISHED: &str = "calm-unlocked-";

/// A temporary directory that goes with its owner. Dropped, it is removed; if its owner is killed
/// instead, the next den that is made removes it.
///
/// The owner holds a lock on the directory, which the system gives back however the owner ends. A
/// directory gets its name once it is locked: one of that name without a lock has no owner.
#[derive(Debug)]
pub(super) struct Den {
    path: PathBuf,
    /// Held as long as this lives.
    _lock: Option<File>,
}

impl Den {
    /// Makes one in the temporary directory of this process.
    pub(super) fn new() -> io::Result<Self> {
        Self::in_directory(&env::temp_dir())
    }

    fn in_directory(parent: &Path) -> io::Result<Self> {
        remove_abandoned(parent);
        let unfinished = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(parent)?;
        let lock = lock(unfinished.path());
        let name = unfinished.path().file_name().unwrap_or_default();
        let name = name.to_string_lossy().replace(UNFINISHED, PREFIX);
        let path = parent.join(name);
        fs::rename(unfinished.path(), &path)?;
        // What it would remove has another name now.
        let _ = unfinished.keep();
        Ok(Self { path, _lock: lock })
    }

    /// A new directory in it for one program.
    pub(super) fn chamber(&self) -> io::Result<TempDir> {
        tempfile::tempdir_in(&self.path)
    }
}

impl Drop for Den {
    fn drop(&mut self) {
        // A program's file may be on its way; the next den removes what is left.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The lock of a directory, where directories can have any.
fn lock(directory: &Path) -> Option<File> {
    let file = File::open(directory).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

/// Removes the dens that nobody owns. What can't be removed, for instance because it is another
/// user's, stays.
fn remove_abandoned(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        let is_den = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // Not that of a link: whoever made one may mean another's directory.
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_den && is_directory && is_abandoned(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(den: &Path) -> bool {
    let Ok(directory) = File::open(den) else {
        return false;
    };
    match directory.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn names(parent: &Path) -> Vec<String> {
        let entries = fs::read_dir(parent).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_den_goes_with_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let den = Den::in_directory(parent.path()).unwrap();
        let chamber = den.chamber().unwrap();
        fs::write(chamber.path().join("file"), "x").unwrap();
        assert!(chamber.path().starts_with(&den.path));
        // Another owner leaves it alone.
        let other = Den::in_directory(parent.path()).unwrap();
        assert_eq!(names(parent.path()).len(), 2);
        drop(other);
        assert!(chamber.path().join("file").exists());
        drop(den);
        assert!(names(parent.path()).is_empty());
    }

    #[test]
    fn only_what_is_a_den_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), parent.path().join("calm-cage-link")).unwrap();
        fs::create_dir_all(parent.path().join("calm-cage-abc/work")).unwrap();
        fs::write(parent.path().join("calm-cage-abc/work/file"), "x").unwrap();
        fs::write(parent.path().join("calm-cage-file"), "x").unwrap();
        fs::create_dir(parent.path().join("another")).unwrap();
        let den = Den::in_directory(parent.path()).unwrap();
        drop(den);
        let mut names = names(parent.path());
        names.sort();
        assert_eq!(names, ["another", "calm-cage-file", "calm-cage-link"]);
        assert!(outside.path().join("kept").exists());
    }
}
