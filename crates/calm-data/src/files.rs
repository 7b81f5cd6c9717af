//! Files: hashed on the way, and written whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::DataError;

/// What is read from `inner` or written to it, with the SHA-256 of all that went through.
#[derive(Debug)]
pub(crate) struct Hashed<T> {
    inner: T,
    hash: Sha256,
}

impl<T> Hashed<T> {
    pub(crate) fn new(inner: T) -> Self {
        let hash = Sha256::new();
        Self { inner, hash }
    }

    /// Of what went through so far.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    pub(crate) fn into_inner(self) -> T {
        self.inner
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
///
/// [`DataError::Io`] if it can't be read.
pub fn file_sha256(path: &Path) -> Result<String, DataError> {
    let read = || {
        let mut file = io::BufReader::with_capacity(1 << 20, Hashed::new(File::open(path)?));
        io::copy(&mut file, &mut io::sink())?;
        Ok(hex(&file.into_inner().sha256()))
    };
    read().map_err(DataError::io(path))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file whole or not at all: a temporary sibling, fsync, rename.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), DataError> {
    try_write_atomically(path, |file| write(file).map_err(DataError::io(path)))
}

/// The same where not only writing may fail.
pub(crate) fn try_write_atomically<T>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T, DataError>,
) -> Result<T, DataError> {
    let io = DataError::io(path);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(TEMPORARY);
    let temporary = path.with_file_name(name);
    let finish = |file: BufWriter<File>| {
        file.into_inner()?.sync_all()?;
        fs::rename(&temporary, path)
    };
    let written = File::create(&temporary).map_err(&io).and_then(|file| {
        let mut file = BufWriter::with_capacity(1 << 18, file);
        let value = write(&mut file)?;
        finish(file).map_err(&io)?;
        Ok(value)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// What the name of a file ends with until it is whole.
pub(crate) const TEMPORARY: &str = ".tmp";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write_atomically(&path, |file| file.write_all(b"x")).is_err());
        let full = |_: &mut dyn Write| Err(io::Error::from(io::ErrorKind::StorageFull));
        assert!(write_atomically(&dir.path().join("new"), full).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        write_atomically(&path, |file| file.write_all(b"abc")).unwrap();
        // The first example of FIPS 180-2.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(file_sha256(&path).unwrap(), expected);
        let mut written = Hashed::new(Vec::new());
        written.write_all(b"ab").unwrap();
        written.write_all(b"c").unwrap();
        assert_eq!(hex(&written.sha256()), expected);
    }
}
