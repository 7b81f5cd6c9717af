//! Files that appear under their name only when they are whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::FileError;

/// Writes a file whole or not at all, and through to the disk.
///
/// A path that is neither a file nor a directory, `/dev/stdout` for instance, is written to as it is.
///
/// # Errors
///
/// [`FileError`] if it cannot be written; what was there before is then still there.
pub fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Result<(), FileError> {
    let path = path.as_ref();
    let is_special = |found: fs::Metadata| !found.is_file() && !found.is_dir();
    if fs::metadata(path).is_ok_and(is_special) {
        return fs::write(path, bytes).map_err(FileError::at(path));
    }
    write_with(path, |file| file.write_all(bytes.as_ref()))
}

/// [`write()`] of what is not in memory at once.
///
/// # Errors
///
/// [`FileError`] if the file cannot be written, or with the error that `fill` returns.
pub fn write_with(
    path: impl AsRef<Path>,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    let path = path.as_ref();
    let mut file = AtomicFile::create(path)?;
    fill(&mut file).map_err(FileError::at(path))?;
    file.commit()?;
    Ok(())
}

/// A file that is written piece by piece under a temporary name, `NAME.*.tmp` in the same directory.
/// [`commit`](Self::commit) gives it its name. Dropped before, it is removed.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
}

impl AtomicFile {
    /// Opens a temporary file beside `path`.
    ///
    /// # Errors
    ///
    /// [`FileError`] if the directory cannot be written to.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let path = path.into();
        let mut prefix = path.file_name().unwrap_or_default().to_owned();
        prefix.push(".");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".tmp");
        // As of any new file; a temporary one is otherwise its owner's alone.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder
            .tempfile_in(directory_of(&path))
            .map_err(FileError::at(&path))?;
        let file = BufWriter::with_capacity(1 << 18, file);
        Ok(Self { path, file })
    }

    /// Writes everything through to the disk and gives the file its name. Returns it open for
    /// reading and writing.
    ///
    /// # Errors
    ///
    /// [`FileError`] if something cannot be written; the temporary file is then removed.
    pub fn commit(self) -> Result<File, FileError> {
        let Self { path, file } = self;
        let finish = || {
            let file = file.into_inner()?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(io::Error::from)
        };
        let file = finish().map_err(FileError::at(&path))?;
        sync_directory(directory_of(&path))?;
        Ok(file)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes the names of a directory through to the disk, so that new ones outlast a power failure.
/// Does nothing on systems that cannot open a directory.
///
/// # Errors
///
/// [`FileError`] if the directory cannot be opened or written.
pub fn sync_directory(path: &Path) -> Result<(), FileError> {
    if cfg!(unix) {
        let directory = File::open(path);
        let synced = directory.and_then(|directory| directory.sync_all());
        synced.map_err(FileError::at(path))?;
    }
    Ok(())
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let taken = directory.path().join("taken");
        fs::create_dir(&taken).unwrap();
        let error = write(&taken, "x").unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        let mut dropped = AtomicFile::create(directory.path().join("dropped")).unwrap();
        dropped.write_all(b"x").unwrap();
        drop(dropped);
        let full = |_: &mut dyn Write| Err(io::Error::from(io::ErrorKind::StorageFull));
        assert!(write_with(directory.path().join("full"), full).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn writers_of_one_path_do_not_meet() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut slow = AtomicFile::create(&path).unwrap();
        slow.write_all(b"slow").unwrap();
        write(&path, "fast").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "fast");
        slow.commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "slow");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let [ours, plain] = ["ours", "plain"].map(|name| directory.path().join(name));
        write(&ours, "").unwrap();
        fs::write(&plain, "").unwrap();
        let permissions = |path| fs::metadata(path).unwrap().permissions();
        assert_eq!(permissions(ours), permissions(plain));
        write("/dev/null", "goes nowhere").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
