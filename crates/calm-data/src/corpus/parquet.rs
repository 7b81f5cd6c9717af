//! Rows of Parquet files.

use std::fs::File;
use std::iter::Enumerate;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Row;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use crate::DataError;
use crate::bundle::no_such_name;

/// Rows of a file, with their numbers from 0.
pub(crate) struct ParquetRows {
    path: PathBuf,
    rows: Enumerate<RowIter<'static>>,
    total_rows: u64,
    bytes: u64,
    read: u64,
}

impl ParquetRows {
    /// Opens a file, to read these columns of it or all.
    ///
    /// # Errors
    ///
    /// [`DataError`] if it cannot be read, or has no such column.
    pub(crate) fn open(path: &Path, columns: Option<&[&str]>) -> Result<Self, DataError> {
        let io = DataError::io(path);
        let file = File::open(path).map_err(&io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let damaged = |error: ParquetError| failure(path, &error);
        let reader = guarded(|| SerializedFileReader::new(file)).map_err(damaged)?;
        let total_rows = reader.metadata().file_metadata().num_rows().unsigned_abs();
        let schema = reader.metadata().file_metadata().schema();
        let schema = columns
            .map(|columns| only(path, schema, columns))
            .transpose()?;
        let rows = guarded(|| RowIter::from_file_into(Box::new(reader)).project(schema));
        let rows = rows.map_err(damaged)?;
        Ok(Self {
            path: path.to_owned(),
            rows: rows.enumerate(),
            total_rows: total_rows.max(1),
            bytes,
            read: 0,
        })
    }

    /// Bytes of the rows so far, about.
    pub(crate) fn bytes(&self) -> u64 {
        (self.bytes as f64 * (self.read as f64 / self.total_rows as f64)) as u64
    }
}

impl Iterator for ParquetRows {
    type Item = Result<(usize, Row), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = guarded(|| {
            self.rows
                .next()
                .map(|(index, row)| Ok((index, row?)))
                .transpose()
        });
        self.read += 1;
        row.map_err(|error| failure(&self.path, &error)).transpose()
    }
}

/// The schema with these columns only.
fn only(path: &Path, schema: &Type, columns: &[&str]) -> Result<Type, DataError> {
    let all = schema.get_fields();
    let known: Vec<&str> = all.iter().map(|field| field.name()).collect();
    if let Some(absent) = columns.iter().find(|column| !known.contains(column)) {
        return Err(DataError::file(
            path,
            no_such_name("column", absent, &known),
        ));
    }
    let wanted = all.iter().filter(|field| columns.contains(&field.name()));
    let wanted = wanted.map(Arc::clone).collect();
    let schema = Type::group_type_builder(schema.name()).with_fields(wanted);
    schema.build().map_err(|error| failure(path, &error))
}

/// A call of the library, which panics at some damaged files.
fn guarded<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    let broken = || ParquetError::General("it contradicts itself".to_owned());
    calm_files::guard(call).unwrap_or_else(|_| Err(broken()))
}

fn failure(path: &Path, error: &ParquetError) -> DataError {
    let reason = error.to_string();
    let reason = match reason.contains("feature") || reason.contains("compression") {
        true => "is compressed by something else than Snappy or LZ4; write it with one of these, or as JSON Lines".to_owned(),
        false => format!("is a damaged Parquet file: {reason}"),
    };
    DataError::file(path, reason)
}
