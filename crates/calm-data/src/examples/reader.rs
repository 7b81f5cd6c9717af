//! Reader of the examples of a data set, file after file.

use std::path::{Path, PathBuf};
use std::vec;

use calm_files::sha256;

use super::rows::Rows;
use super::{ExampleForm, Fields, Record, parts};
use crate::DataError;

/// Reads the examples of a file, of all files in a directory, or of those whose names begin alike.
///
/// The format is told by the content, and for tables by the name. No more than a row of JSON Lines,
/// CSV and TSV is in memory at a time, a row group of Parquet, and all of a JSON array.
#[derive(Debug)]
pub struct ExampleReader {
    form: ExampleForm,
    files: vec::IntoIter<PathBuf>,
    current: Option<Rows>,
    /// Hashes of the files that are read to their ends, and their bytes.
    hashes: Vec<String>,
    bytes: u64,
    rows: usize,
}

impl ExampleReader {
    /// Endings of the names of files that can be read, before `.gz`.
    pub const ENDINGS: [&str; 7] = parts::ENDINGS;

    /// Opens a data set.
    ///
    /// # Errors
    ///
    /// [`DataError`] if there is no file.
    pub fn open(path: &Path, form: &ExampleForm) -> Result<Self, DataError> {
        Ok(Self {
            form: form.clone(),
            files: parts::files(path)?.into_iter(),
            current: None,
            hashes: Vec::new(),
            bytes: 0,
            rows: 0,
        })
    }

    /// The examples of the next row; none at the end.
    ///
    /// # Errors
    ///
    /// [`DataError::Line`] or [`DataError::Row`] naming the row that is no example.
    pub fn next_row(&mut self) -> Result<Option<Vec<Record>>, DataError> {
        let form = self.form.clone();
        self.next_of(|row| form.records(row))
    }

    /// The next row, as `of` makes it of the fields; none at the end.
    pub(crate) fn next_of<T>(
        &mut self,
        of: impl Fn(&Fields) -> Result<T, String>,
    ) -> Result<Option<T>, DataError> {
        loop {
            let rows = match &mut self.current {
                Some(rows) => rows,
                None => match self.files.next() {
                    Some(path) => self.current.insert(Rows::open(&path)?),
                    None => return Ok(None),
                },
            };
            if let Some((place, row)) = rows.next()? {
                self.rows += 1;
                return match of(&row) {
                    Ok(found) => Ok(Some(found)),
                    Err(reason) => Err(rows.wrong(place, reason)),
                };
            }
            self.bytes += rows.bytes_read();
            if let Some(rows) = self.current.take() {
                self.hashes.push(rows.finish()?);
            }
        }
    }

    /// Bytes of the files so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes + self.current.as_ref().map_or(0, Rows::bytes_read)
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// SHA-256 of the file, or of the hashes of several, once all is read.
    pub fn sha256(&self) -> String {
        joined(&self.hashes)
    }

    /// The same, without reading rows.
    ///
    /// # Errors
    ///
    /// [`DataError`] if a file cannot be read.
    pub fn sha256_of(path: &Path) -> Result<String, DataError> {
        let hashes = parts::files(path)?.into_iter().map(calm_files::sha256_file);
        Ok(joined(&hashes.collect::<Result<Vec<_>, _>>()?))
    }

    /// The fields of all rows of a data set that is small, whatever form they have.
    ///
    /// # Errors
    ///
    /// [`DataError`] if a file cannot be read.
    pub fn fields(path: &Path) -> Result<Vec<Fields>, DataError> {
        let mut reader = Self::open(path, &ExampleForm::default())?;
        let mut rows = Vec::new();
        while let Some(row) = reader.next_of(|row| Ok(row.clone()))? {
            rows.push(row);
        }
        Ok(rows)
    }

    /// All examples of a data set that is small, at most `limit` rows of it.
    ///
    /// # Errors
    ///
    /// As [`ExampleReader::next_row`], and [`DataError::Empty`] if there is none.
    pub fn read(
        path: &Path,
        form: &ExampleForm,
        limit: Option<usize>,
    ) -> Result<Vec<Record>, DataError> {
        let mut reader = Self::open(path, form)?;
        let mut records = Vec::new();
        while limit.is_none_or(|limit| reader.rows < limit) {
            match reader.next_row()? {
                Some(found) => records.extend(found),
                None => break,
            }
        }
        match records.is_empty() {
            true => Err(DataError::Empty {
                path: path.to_owned(),
            }),
            false => Ok(records),
        }
    }
}

fn joined(hashes: &[String]) -> String {
    match hashes {
        [one] => one.clone(),
        several => sha256(several.concat()),
    }
}
