//! The directory of a sandbox's files, which is removed even if its process is killed.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Prefix of the name of a working directory.
const PREFIX: &str = "calm-sandbox-";

/// Prefix of the name before the directory is locked.
const UNLOCKED: &str = "calm-unlocked-";

/// A temporary directory that is removed when dropped. If its process is killed instead, the next
/// working directory that is made removes it.
///
/// The owner holds a lock on the directory, which the system releases however the owner exits. A
/// directory gets its final name once it is locked: one of that name without a lock has no owner.
#[derive(Debug)]
pub(crate) struct WorkingDirectory {
    path: PathBuf,
    _lock: Option<File>,
}

impl WorkingDirectory {
    /// Makes one in the temporary directory of this process.
    pub(crate) fn new() -> io::Result<Self> {
        Self::in_directory(&env::temp_dir())
    }

    fn in_directory(parent: &Path) -> io::Result<Self> {
        remove_abandoned(parent);
        let unfinished = tempfile::Builder::new()
            .prefix(UNLOCKED)
            .tempdir_in(parent)?;
        let lock = lock(unfinished.path());
        let name = unfinished.path().file_name().unwrap_or_default();
        let name = name.to_string_lossy().replace(UNLOCKED, PREFIX);
        let path = parent.join(name);
        fs::rename(unfinished.path(), &path)?;
        // Its path has another name now.
        let _ = unfinished.keep();
        Ok(Self { path, _lock: lock })
    }

    /// A new directory in it for one program.
    pub(crate) fn for_program(&self) -> io::Result<TempDir> {
        tempfile::tempdir_in(&self.path)
    }
}

impl Drop for WorkingDirectory {
    fn drop(&mut self) {
        // A program may still be writing a file; the next sandbox removes what is left.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The lock of a directory, on file systems that have locks.
fn lock(directory: &Path) -> Option<File> {
    let file = File::open(directory).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

/// Removes working directories without an owner. Those that cannot be removed, for instance
/// because they belong to another user, stay.
fn remove_abandoned(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        let has_prefix = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // A link may point to anybody's directory.
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if has_prefix && is_directory && is_abandoned(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(directory: &Path) -> bool {
    let Ok(directory) = File::open(directory) else {
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
    fn a_working_directory_goes_with_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let sandbox = WorkingDirectory::in_directory(parent.path()).unwrap();
        let program = sandbox.for_program().unwrap();
        fs::write(program.path().join("file"), "x").unwrap();
        assert!(program.path().starts_with(&sandbox.path));
        // Another owner leaves it alone.
        let other = WorkingDirectory::in_directory(parent.path()).unwrap();
        assert_eq!(names(parent.path()).len(), 2);
        drop(other);
        assert!(program.path().join("file").exists());
        drop(sandbox);
        assert!(names(parent.path()).is_empty());
    }

    #[test]
    fn only_working_directories_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), parent.path().join("calm-sandbox-link"))
            .unwrap();
        fs::create_dir_all(parent.path().join("calm-sandbox-abc/work")).unwrap();
        fs::write(parent.path().join("calm-sandbox-abc/work/file"), "x").unwrap();
        fs::write(parent.path().join("calm-sandbox-file"), "x").unwrap();
        fs::create_dir(parent.path().join("another")).unwrap();
        let sandbox = WorkingDirectory::in_directory(parent.path()).unwrap();
        drop(sandbox);
        let mut names = names(parent.path());
        names.sort();
        assert_eq!(names, ["another", "calm-sandbox-file", "calm-sandbox-link"]);
        assert!(outside.path().join("kept").exists());
    }
}
