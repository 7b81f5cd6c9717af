//! Lines of text files, each of bounded length.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use super::bytes::without_mark;
use super::source::{Tap, Text, open_text};
use crate::DataError;
use crate::jsonl::LONGEST_LINE;

/// What to do about a text that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InvalidUtf8 {
    /// Say where it is.
    Error,
    /// Leave its record out.
    Skip,
}

/// Lines of a file. They end at LF alone, or CR and LF; the last may lack it.
pub(super) struct LineReader {
    path: PathBuf,
    text: Text,
    tap: Tap,
    invalid: InvalidUtf8,
    bytes: Vec<u8>,
    line: u64,
}

impl LineReader {
    pub(super) fn open(path: &Path, invalid: InvalidUtf8) -> Result<Self, DataError> {
        let (mut text, tap) = open_text(path)?;
        without_mark(path, &mut text)?;
        Ok(Self {
            path: path.to_owned(),
            text,
            tap,
            invalid,
            bytes: Vec::new(),
            line: 0,
        })
    }

    /// Number of the line that was read last, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn tap(&self) -> &Tap {
        &self.tap
    }

    /// The error about the line that was read last.
    pub(super) fn wrong(&self, reason: impl Into<String>) -> DataError {
        DataError::line(&self.path, self.line as usize, reason)
    }

    /// The next line; `Some(None)` if it is not UTF-8 and such lines are skipped.
    pub(super) fn next(&mut self) -> Result<Option<Option<&str>>, DataError> {
        if !self.read_bytes()? {
            return Ok(None);
        }
        let line = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match (std::str::from_utf8(line), self.invalid) {
            (Ok(text), _) => Ok(Some(Some(text))),
            (Err(_), InvalidUtf8::Skip) => Ok(Some(None)),
            (Err(error), InvalidUtf8::Error) => {
                Err(self.wrong(not_utf8(error.valid_up_to() as u64 + 1)))
            }
        }
    }

    /// Number of all lines, of which the rest is not kept.
    pub(super) fn count(mut self) -> Result<u64, DataError> {
        while self.read_bytes()? {}
        Ok(self.line)
    }

    /// Reads the bytes of the next line; `false` at the end.
    fn read_bytes(&mut self) -> Result<bool, DataError> {
        self.bytes.clear();
        let mut within = self.text.by_ref().take(LONGEST_LINE as u64 + 1);
        let read = within.read_until(b'\n', &mut self.bytes);
        self.line += 1;
        match read {
            Ok(0) => {
                self.line -= 1;
                Ok(false)
            }
            Ok(_) if self.bytes.len() > LONGEST_LINE => {
                Err(self.wrong(format!("is longer than {LONGEST_LINE} bytes")))
            }
            Ok(_) => Ok(true),
            Err(error) => Err(self.wrong(error.to_string())),
        }
    }
}

/// What is said of a text that is not UTF-8 from this byte on, counted from 1.
pub(super) fn not_utf8(byte: u64) -> String {
    format!(
        "is not UTF-8 at byte {byte}; convert the file, or have such records left out by \
         `invalid-utf8 = true` in the `[steps]` of the manifest"
    )
}
