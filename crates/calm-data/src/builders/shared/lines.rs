//! Files of JSON Lines that are hashed while they are written.

use std::io::Write;
use std::path::{Path, PathBuf};

use calm_files::{AtomicFile, Hashed, hex};
use serde::Serialize;

use crate::DataError;

/// A file that appears under its name when it is committed.
#[derive(Debug)]
pub(in crate::builders) struct LinesFile {
    path: PathBuf,
    file: Hashed<AtomicFile>,
    line: Vec<u8>,
    written: WrittenFile,
}

/// A file that was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WrittenFile {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

impl LinesFile {
    pub(in crate::builders) fn create(directory: &Path, name: &str) -> Result<Self, DataError> {
        let path = directory.join(name);
        Ok(Self {
            file: Hashed::new(AtomicFile::create(&path)?),
            path,
            line: Vec::new(),
            written: WrittenFile {
                name: name.to_owned(),
                ..WrittenFile::default()
            },
        })
    }

    pub(in crate::builders) fn push(&mut self, row: &impl Serialize) -> Result<(), DataError> {
        self.line.clear();
        let line = serde_json::to_writer(&mut self.line, row).map_err(Into::into);
        self.line.push(b'\n');
        let written = line.and_then(|()| self.file.write_all(&self.line));
        written.map_err(DataError::io(&self.path))?;
        self.written.rows += 1;
        self.written.bytes += self.line.len() as u64;
        Ok(())
    }

    /// Number of its rows so far.
    pub(in crate::builders) fn rows(&self) -> u64 {
        self.written.rows
    }

    pub(in crate::builders) fn commit(mut self) -> Result<WrittenFile, DataError> {
        self.written.sha256 = hex(self.file.sha256());
        self.file.into_inner().commit()?;
        Ok(self.written)
    }
}
