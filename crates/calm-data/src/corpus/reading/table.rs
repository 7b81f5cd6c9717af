//! Tables whose columns are separated by tabs.

use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use super::bytes::{to_text, without_mark};
use super::lines::{InvalidUtf8, not_utf8};
use super::metered::Metered;
use super::sides::SideRules;
use super::source::{Tap, Text, open_text};
use super::{Found, InputFile, RecordReader, Skip};
use crate::DataError;
use crate::bundle::no_such_name;
use crate::corpus::CorpusSpec;

/// Rows of a table. A quotation mark is a part of its cell, unless the manifest says that cells may be
/// quoted.
pub(super) struct TableReader {
    path: PathBuf,
    tap: Tap,
    rows: Reader<Metered<Text>>,
    row: ByteRecord,
    columns: Vec<String>,
    /// Columns of the texts and of the languages.
    texts: Vec<usize>,
    codes: Vec<usize>,
    rules: SideRules,
    invalid: InvalidUtf8,
}

impl TableReader {
    pub(super) fn open(
        path: &Path,
        corpus: &CorpusSpec,
        invalid: InvalidUtf8,
    ) -> Result<Self, DataError> {
        let (mut text, tap) = open_text(path)?;
        without_mark(path, &mut text)?;
        let rows = ReaderBuilder::new()
            .delimiter(b'\t')
            .quoting(corpus.quoting)
            .terminator(Terminator::Any(b'\n'))
            .has_headers(false)
            .flexible(true)
            .from_reader(Metered::new(text));
        let mut reader = Self {
            path: path.to_owned(),
            tap,
            rows,
            row: ByteRecord::new(),
            columns: corpus.header.clone(),
            texts: Vec::new(),
            codes: Vec::new(),
            rules: SideRules::new(corpus),
            invalid,
        };
        if reader.columns.is_empty() && reader.next_row()? {
            reader.columns = (0..reader.row.len())
                .map(|column| reader.cell(column).map(|name| name.trim().to_owned()))
                .collect::<Result<_, _>>()?;
        }
        let find = |name: &String| {
            let found = reader.columns.iter().position(|column| column == name);
            found.ok_or_else(|| {
                let hint = match corpus.header.is_empty() {
                    true => "; if its first line is no header, name its columns by `header`",
                    false => "",
                };
                let columns: Vec<&str> = reader.columns.iter().map(String::as_str).collect();
                let reason = no_such_name("column", name, &columns);
                DataError::line(path, 1, format!("{reason}{hint}"))
            })
        };
        // An empty file has no columns, and no rows either.
        if !reader.columns.is_empty() {
            reader.texts = corpus.fields.iter().map(find).collect::<Result<_, _>>()?;
            reader.codes = corpus
                .language_fields
                .iter()
                .map(find)
                .collect::<Result<_, _>>()?;
        }
        Ok(reader)
    }

    /// Reads the next row; `false` at the end.
    fn next_row(&mut self) -> Result<bool, DataError> {
        self.rows.get_mut().begin_record();
        let line = self.rows.position().line() as usize;
        let read = self.rows.read_byte_record(&mut self.row);
        read.map_err(|error| {
            let reason = match error.into_kind() {
                csv::ErrorKind::Io(error) => error.to_string(),
                other => format!("is no row of a table: {other:?}"),
            };
            DataError::line(&self.path, line, reason)
        })
    }

    fn line(&self) -> u64 {
        self.row.position().map_or(1, csv::Position::line)
    }

    fn wrong(&self, reason: impl Into<String>) -> DataError {
        DataError::line(&self.path, self.line() as usize, reason)
    }

    fn check_count(&self) -> Result<(), DataError> {
        let (found, expected) = (self.row.len(), self.columns.len());
        if found == expected {
            return Ok(());
        }
        let reason = format!(
            "has {found} columns, and the header {expected}; is a tab too much or missing?"
        );
        Err(self.wrong(reason))
    }

    /// The bytes of a cell; the last of a line may end in CR.
    fn bytes(&self, column: usize) -> &[u8] {
        let cell = self.row.get(column).unwrap_or_default();
        match column + 1 == self.row.len() {
            true => cell.strip_suffix(b"\r").unwrap_or(cell),
            false => cell,
        }
    }

    fn cell(&self, column: usize) -> Result<String, DataError> {
        to_text(self.bytes(column).to_vec()).map_err(|byte| {
            let reason = not_utf8(byte);
            self.wrong(format!("column {}: {reason}", column + 1))
        })
    }

    fn cells(&self, columns: &[usize]) -> Result<Vec<String>, DataError> {
        columns.iter().map(|&column| self.cell(column)).collect()
    }

    fn is_valid(&self) -> bool {
        let mut columns = self.texts.iter().chain(&self.codes);
        columns.all(|&column| std::str::from_utf8(self.bytes(column)).is_ok())
    }
}

impl RecordReader for TableReader {
    fn next(&mut self) -> Result<Option<Found>, DataError> {
        if !self.next_row()? {
            return Ok(None);
        }
        self.check_count()?;
        let place = self.line();
        let content = match self.invalid == InvalidUtf8::Skip && !self.is_valid() {
            true => Err(Skip::InvalidUtf8),
            false => {
                let codes = self.cells(&self.codes)?;
                let mut texts = self.cells(&self.texts)?;
                self.rules.sides(&mut texts, &codes)
            }
        };
        Ok(Some(Found { place, content }))
    }

    fn taken(&self) -> u64 {
        self.tap.taken()
    }

    fn finish(self: Box<Self>) -> Result<Vec<InputFile>, DataError> {
        Ok(vec![InputFile::read(&self.path, &self.tap)?])
    }
}
