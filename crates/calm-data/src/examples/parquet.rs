//! Rows of Parquet files.

use std::fs::File;
use std::iter::Enumerate;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, List, Map as ParquetMap, Row};
use serde_json::{Number, Value};

use super::Fields;
use crate::DataError;

/// Rows of a file, with their numbers from 0.
pub(super) struct ParquetRows {
    path: PathBuf,
    rows: Enumerate<RowIter<'static>>,
    total_rows: u64,
    bytes: u64,
    read: u64,
}

impl ParquetRows {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let io = DataError::io(path);
        let file = File::open(path).map_err(&io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let damaged = |error: ParquetError| failure(path, &error);
        let reader = guarded(|| SerializedFileReader::new(file)).map_err(damaged)?;
        let total_rows = reader.metadata().file_metadata().num_rows().unsigned_abs();
        Ok(Self {
            path: path.to_owned(),
            rows: RowIter::from_file_into(Box::new(reader)).enumerate(),
            total_rows: total_rows.max(1),
            bytes,
            read: 0,
        })
    }

    /// Bytes of the rows so far, about.
    pub(super) fn bytes(&self) -> u64 {
        (self.bytes as f64 * (self.read as f64 / self.total_rows as f64)) as u64
    }
}

impl Iterator for ParquetRows {
    type Item = Result<(usize, Fields), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = guarded(|| {
            self.rows
                .next()
                .map(|(index, row)| Ok((index, row?)))
                .transpose()
        });
        self.read += 1;
        let row = row
            .map_err(|error| failure(&self.path, &error))
            .transpose()?;
        Some(row.map(|(index, row)| (index, fields(&row))))
    }
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

fn fields(row: &Row) -> Fields {
    let columns = row.get_column_iter();
    columns
        .map(|(name, field)| (name.clone(), value(field)))
        .collect()
}

/// The value as JSON has it. What JSON has no number for is a text.
fn value(field: &Field) -> Value {
    let float = |number: f64| Number::from_f64(number).map_or(Value::Null, Value::Number);
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Byte(number) => (*number).into(),
        Field::Short(number) => (*number).into(),
        Field::Int(number) => (*number).into(),
        Field::Long(number) => (*number).into(),
        Field::UByte(number) => (*number).into(),
        Field::UShort(number) => (*number).into(),
        Field::UInt(number) => (*number).into(),
        Field::ULong(number) => (*number).into(),
        Field::Float16(number) => float(f64::from(*number)),
        Field::Float(number) => float(f64::from(*number)),
        Field::Double(number) => float(*number),
        Field::Str(text) => text.clone().into(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned().into(),
        Field::Group(row) => fields(row).into(),
        Field::ListInternal(list) => list_value(list),
        Field::MapInternal(map) => map_value(map),
        other => other.to_string().into(),
    }
}

fn list_value(list: &List) -> Value {
    list.elements().iter().map(value).collect()
}

fn map_value(map: &ParquetMap) -> Value {
    let entries = map.entries().iter().map(|(key, field)| {
        let key = match key {
            Field::Str(text) => text.clone(),
            other => other.to_string(),
        };
        (key, value(field))
    });
    Value::Object(entries.collect())
}
