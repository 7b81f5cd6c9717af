//! SHA-256 of bytes, readers and files, and hexadecimal text.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

pub use sha2::{Digest, Sha256};

use crate::FileError;

/// Two lower-case hexadecimal digits per byte.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    let digits =
        |byte: &u8| [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[digit as usize]);
    let text = bytes.as_ref().iter().flat_map(digits);
    text.map(char::from).collect()
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex(Sha256::digest(bytes))
}

/// SHA-256 in hexadecimal of what a reader has left.
///
/// # Errors
///
/// Errors of the reader.
pub fn sha256_reader(reader: impl Read) -> io::Result<String> {
    let mut reader = io::BufReader::with_capacity(1 << 20, Hashed::new(reader));
    io::copy(&mut reader, &mut io::sink())?;
    Ok(hex(reader.into_inner().sha256()))
}

/// SHA-256 in hexadecimal of a file, as `sha256sum` prints it.
///
/// # Errors
///
/// [`FileError`] if it cannot be read.
pub fn sha256_file(path: impl AsRef<Path>) -> Result<String, FileError> {
    let path = path.as_ref();
    let hash = File::open(path).and_then(sha256_reader);
    hash.map_err(FileError::at(path))
}

/// A reader or writer that hashes all that goes through it.
#[derive(Debug)]
pub struct Hashed<T> {
    inner: T,
    hash: Sha256,
}

impl<T> Hashed<T> {
    /// Wraps `inner`, of which nothing is hashed yet.
    pub fn new(inner: T) -> Self {
        let hash = Sha256::new();
        Self { inner, hash }
    }

    /// SHA-256 of everything so far.
    pub fn sha256(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// The reader or writer itself.
    pub fn into_inner(self) -> T {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        // The first example of FIPS 180-2.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256("abc"), expected);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("abc");
        crate::write(&path, "abc").unwrap();
        assert_eq!(sha256_file(&path).unwrap(), expected);
        let mut written = Hashed::new(Vec::new());
        written.write_all(b"ab").unwrap();
        written.write_all(b"c").unwrap();
        assert_eq!(hex(written.sha256()), expected);
    }
}
