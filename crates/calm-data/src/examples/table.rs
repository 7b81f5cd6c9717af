//! Rows of tables with a header: CSV and TSV.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use csv::{Reader, ReaderBuilder, StringRecord};
use serde_json::Value;

use super::{Fields, Text};
use crate::DataError;

/// Largest row that is read, so that a lost quote cannot fill the memory.
const LONGEST_ROW: usize = 16 << 20;

/// Rows of a table whose first row names the columns.
pub(super) struct TableRows {
    path: PathBuf,
    reader: Reader<Text>,
    header: Vec<String>,
    record: StringRecord,
}

impl TableRows {
    /// Columns are separated by `delimiter`, or else by what the header has most of.
    pub(super) fn open(
        path: &Path,
        mut text: Text,
        delimiter: Option<u8>,
    ) -> Result<Self, DataError> {
        let begin = text.fill_buf().map_err(DataError::io(path))?;
        let mark = begin.len()
            - calm_files::without_mark(begin)
                .map_err(|error| DataError::file(path, error.to_string()))?
                .len();
        let delimiter = delimiter.unwrap_or_else(|| likeliest(&begin[mark..]));
        text.consume(mark);
        let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(text);
        let header = reader.headers().map_err(|error| failure(path, &error))?;
        let header: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        Ok(Self {
            path: path.to_owned(),
            reader,
            header,
            record: StringRecord::new(),
        })
    }

    /// The next row, and its line.
    pub(super) fn next(&mut self) -> Result<Option<(usize, Fields)>, DataError> {
        let read = self.reader.read_record(&mut self.record);
        if !read.map_err(|error| failure(&self.path, &error))? {
            return Ok(None);
        }
        let line = self
            .record
            .position()
            .map_or(0, |position| position.line() as usize);
        if self.record.as_slice().len() > LONGEST_ROW {
            let reason = format!("is longer than {LONGEST_ROW} bytes; is a quote missing?");
            return Err(DataError::line(&self.path, line, reason));
        }
        let cells = self.header.iter().zip(&self.record);
        let cells = cells.map(|(name, cell)| (name.clone(), Value::String(cell.to_owned())));
        Ok(Some((line, cells.collect())))
    }
}

/// The separator that the first line has most of, outside of quotes.
fn likeliest(bytes: &[u8]) -> u8 {
    let mut is_quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in bytes {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' if !is_quoted => break,
            byte if !is_quoted => {
                let counted = counts.iter_mut().filter(|(separator, _)| separator == byte);
                counted.for_each(|(_, count)| *count += 1);
            }
            _ => {}
        }
    }
    // Of equals the first, the comma.
    let most = counts.iter().rev().max_by_key(|(_, count)| *count);
    most.map_or(b',', |(separator, _)| *separator)
}

fn failure(path: &Path, error: &csv::Error) -> DataError {
    let line = error.position().map(|position| position.line() as usize);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("has {len} columns, and the header {expected_len}; is a quote missing?")
        }
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    };
    match line {
        Some(line) => DataError::line(path, line, reason),
        None => DataError::file(path, reason),
    }
}
