//! A directory that is filled elsewhere and published when it is whole.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::DataError;

/// A temporary directory beside the one that it becomes. Dropped before it is published, it is
/// removed, and nothing has changed.
#[derive(Debug)]
pub(crate) struct Staging {
    target: PathBuf,
    temporary: TempDir,
}

impl Staging {
    /// A temporary directory beside `target`, on the same file system.
    ///
    /// # Errors
    ///
    /// [`DataError`] if `target` is a file, or the directory above it cannot be written to.
    pub(crate) fn beside(target: &Path) -> Result<Self, DataError> {
        if fs::metadata(target).is_ok_and(|found| !found.is_dir()) {
            let reason = "is a file; name a directory to write to";
            return Err(DataError::file(target, reason));
        }
        let target = std::path::absolute(target).map_err(DataError::io(target))?;
        let parent = target.parent().unwrap_or(&target);
        fs::create_dir_all(parent).map_err(DataError::io(parent))?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let mut builder = tempfile::Builder::new();
        let prefix = format!(".{name}.");
        builder.prefix(&prefix).suffix(".tmp");
        // As of any new directory; a temporary one is otherwise its owner's alone.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let temporary = builder.tempdir_in(parent).map_err(DataError::io(parent))?;
        Ok(Self { target, temporary })
    }

    /// A temporary directory beside this one, or without one for what is not kept.
    ///
    /// # Errors
    ///
    /// As [`Self::beside`].
    pub(crate) fn for_output(directory: Option<&Path>) -> Result<Self, DataError> {
        directory.map_or_else(Self::never_published, Self::beside)
    }

    /// A temporary directory where the system has such, for what is not kept.
    ///
    /// # Errors
    ///
    /// [`DataError`] if there can be none.
    fn never_published() -> Result<Self, DataError> {
        let target = std::env::temp_dir();
        let temporary = tempfile::tempdir_in(&target).map_err(DataError::io(&target))?;
        Ok(Self { target, temporary })
    }

    /// The temporary directory.
    pub(crate) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the directory its name. If there is one of that name already, its files stay, but for
    /// those that have new ones; `last` is the file that says that all others are there, so an old one
    /// of that name goes first and the new one comes last.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] if something cannot be moved.
    pub(crate) fn publish(self, last: &str) -> Result<(), DataError> {
        let Self { target, temporary } = self;
        if !target.exists() {
            let path = temporary.keep();
            fs::rename(&path, &target).map_err(DataError::io(&target))?;
            return Ok(calm_files::sync_directory(
                target.parent().unwrap_or(&target),
            )?);
        }
        let record = target.join(last);
        if record.exists() {
            fs::remove_file(&record).map_err(DataError::io(&record))?;
        }
        merge(temporary.path(), &target, last)?;
        let staged = temporary.path().join(last);
        if staged.exists() {
            fs::rename(&staged, &record).map_err(DataError::io(&record))?;
        }
        Ok(calm_files::sync_directory(&target)?)
    }
}

/// Moves the files of a directory into another, below it too, but for one.
fn merge(from: &Path, to: &Path, last: &str) -> Result<(), DataError> {
    for entry in fs::read_dir(from).map_err(DataError::io(from))? {
        let entry = entry.map_err(DataError::io(from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == last {
            continue;
        }
        if path.is_dir() {
            fs::create_dir_all(&target).map_err(DataError::io(&target))?;
            merge(&path, &target, "")?;
        } else {
            fs::rename(&path, &target).map_err(DataError::io(&target))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .flat_map(|path| match path.is_dir() {
                true => files(&path),
                false => {
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    vec![(name, fs::read_to_string(&path).unwrap())]
                }
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn nothing_is_there_before_all_is() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("deep/out");
        for round in ["1", "2"] {
            let staging = Staging::beside(&target).unwrap();
            fs::create_dir(staging.path().join("text")).unwrap();
            fs::write(staging.path().join("text/a"), round).unwrap();
            fs::write(staging.path().join("record"), round).unwrap();
            // What somebody else put there stays.
            if round == "2" {
                fs::write(target.join("mine"), "0").unwrap();
                drop(Staging::beside(&target).unwrap());
                assert_eq!(files(&target)[0].1, "1");
            }
            staging.publish("record").unwrap();
        }
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            files(&target),
            [pair("a", "2"), pair("mine", "0"), pair("record", "2")]
        );
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
        let error = Staging::beside(&target.join("mine"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("is a file; name a directory"), "{error}");
    }
}
