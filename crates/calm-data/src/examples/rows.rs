//! Rows of one file, whatever its format.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::parquet::fields;
use super::table::TableRows;
use super::{Fields, Text, parts};
use crate::DataError;
use crate::corpus::{ParquetRows, Tap, open_text};
use crate::jsonl::Lines;

/// Largest JSON array, in bytes: all of it is in memory.
const LARGEST_ARRAY: u64 = 1 << 30;

/// Rows of a file.
pub(super) struct Rows {
    path: PathBuf,
    tap: Tap,
    format: Format,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Place of a row in its file, counted from 1.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Line(usize),
    Row(usize),
}

enum Format {
    Lines(Lines<Text>),
    List(std::iter::Enumerate<std::vec::IntoIter<Value>>),
    Table(TableRows),
    Parquet(ParquetRows),
}

impl Rows {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let (mut text, tap) = open_text(path)?;
        let io = DataError::io(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ending = parts::ending(&name);
        let format = if begins(&mut text, b"PAR1").map_err(&io)? {
            Format::Parquet(ParquetRows::open(path, None)?)
        } else {
            match ending {
                Some("parquet") => {
                    return Err(DataError::file(
                        path,
                        "is no Parquet file, as its name says",
                    ));
                }
                Some("csv") => Format::Table(TableRows::open(path, text, None)?),
                Some("tsv" | "tab") => Format::Table(TableRows::open(path, text, Some(b'\t'))?),
                _ if is_array(&mut text).map_err(&io)? => Format::List(array(path, text)?),
                _ => Format::Lines(Lines::new(path, text)),
            }
        };
        Ok(Self {
            path: path.to_owned(),
            tap,
            format,
        })
    }

    /// The fields of the next row, and its place.
    pub(super) fn next(&mut self) -> Result<Option<(Place, Fields)>, DataError> {
        match &mut self.format {
            Format::Lines(lines) => {
                let row = lines.next(of_line)?;
                Ok(row.map(|row| (Place::Line(lines.line()), row)))
            }
            Format::Table(rows) => {
                let row = rows.next()?;
                Ok(row.map(|(line, row)| (Place::Line(line), row)))
            }
            Format::List(rows) => match rows.next() {
                None => Ok(None),
                Some((index, Value::Object(row))) => Ok(Some((Place::Row(index + 1), row))),
                Some((index, _)) => Err(DataError::row(&self.path, index + 1, "is no JSON object")),
            },
            Format::Parquet(rows) => {
                let row = rows.next().transpose()?;
                Ok(row.map(|(index, row)| (Place::Row(index + 1), fields(&row))))
            }
        }
    }

    /// Says what is wrong with a row.
    pub(super) fn wrong(&self, place: Place, reason: String) -> DataError {
        match place {
            Place::Line(line) => DataError::line(&self.path, line, reason),
            Place::Row(row) => DataError::row(&self.path, row, reason),
        }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        match &self.format {
            Format::Parquet(rows) => rows.bytes(),
            _ => self.tap.taken(),
        }
    }

    /// SHA-256 of the file.
    pub(super) fn finish(self) -> Result<String, DataError> {
        self.tap.sha256().map_err(DataError::io(&self.path))
    }
}

/// Whether a text begins with these bytes.
fn begins(text: &mut Text, bytes: &[u8]) -> io::Result<bool> {
    Ok(text.fill_buf()?.starts_with(bytes))
}

/// Whether the first character that is no space is a bracket.
fn is_array(text: &mut Text) -> io::Result<bool> {
    let bytes = text.fill_buf()?;
    let bytes = calm_files::without_mark(bytes).unwrap_or(bytes);
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    Ok(first == Some(&b'['))
}

fn array(
    path: &Path,
    text: Text,
) -> Result<std::iter::Enumerate<std::vec::IntoIter<Value>>, DataError> {
    let mut bytes = Vec::new();
    let mut limited = text.take(LARGEST_ARRAY + 1);
    limited
        .read_to_end(&mut bytes)
        .map_err(DataError::io(path))?;
    if bytes.len() as u64 > LARGEST_ARRAY {
        return Err(DataError::file(
            path,
            "is a JSON array larger than 1 GiB; write one object per line",
        ));
    }
    let text = calm_files::text(bytes).map_err(|error| DataError::file(path, error.to_string()))?;
    let rows: Vec<Value> = serde_json::from_str(&text).map_err(|error| {
        let message = error.to_string();
        let what = message.split(" at line ").next().unwrap_or(&message);
        DataError::line(
            path,
            error.line(),
            format!("{what} at column {}", error.column()),
        )
    })?;
    Ok(rows.into_iter().enumerate())
}

/// Fields of a line of JSON.
fn of_line(line: &str) -> Result<Fields, String> {
    match serde_json::from_str(line) {
        Ok(Value::Object(row)) => Ok(row),
        Ok(_) => Err("is no JSON object".to_owned()),
        Err(error) => {
            let message = error.to_string();
            // Its line number counts within this line.
            let what = message.split(" at line ").next().unwrap_or(&message);
            Err(format!(
                "{what} at column {}; expected one JSON object per line, or a list of them",
                error.column()
            ))
        }
    }
}
