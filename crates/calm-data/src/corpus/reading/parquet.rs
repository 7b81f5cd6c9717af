//! Parquet files, of which named columns are read.

use std::path::{Path, PathBuf};

use parquet::record::{Field, Row};

use super::lines::{InvalidUtf8, not_utf8};
use super::rows::{BETWEEN, RowFields};
use super::{Found, InputFile, RecordReader, Skip};
use crate::DataError;
use crate::bundle::no_such_name;
use crate::corpus::ParquetRows;

/// Rows of a file. A row group is in memory at a time.
pub(super) struct ParquetReader<F> {
    path: PathBuf,
    rows: ParquetRows,
    fields: F,
    invalid: InvalidUtf8,
}

impl<F: RowFields> ParquetReader<F> {
    pub(super) fn open(path: &Path, fields: F, invalid: InvalidUtf8) -> Result<Self, DataError> {
        let columns = fields.paths().iter().map(|path| path[0].as_str());
        let columns: Vec<&str> = columns.collect();
        Ok(Self {
            path: path.to_owned(),
            rows: ParquetRows::open(path, Some(&columns))?,
            fields,
            invalid,
        })
    }
}

impl<F: RowFields> RecordReader<F::Content> for ParquetReader<F> {
    fn next(&mut self) -> Result<Option<Found<F::Content>>, DataError> {
        let Some((index, row)) = self.rows.next().transpose()? else {
            return Ok(None);
        };
        let list = self.fields.list();
        let paths = self.fields.paths().iter().enumerate();
        let values = paths.map(|(place, path)| text(&row, path, Some(place) == list));
        let content = match values.collect::<Result<Vec<String>, _>>() {
            Err(Fault::NotUtf8(_)) if self.invalid == InvalidUtf8::Skip => Err(Skip::InvalidUtf8),
            Err(fault) => return Err(DataError::row(&self.path, index + 1, fault.reason())),
            Ok(values) => self.fields.content(values),
        };
        let place = index as u64 + 1;
        Ok(Some(Found { place, content }))
    }

    fn taken(&self) -> u64 {
        self.rows.bytes()
    }

    fn finish(self: Box<Self>) -> Result<Vec<InputFile>, DataError> {
        let io = DataError::io(&self.path);
        Ok(vec![InputFile {
            bytes: std::fs::metadata(&self.path).map_err(io)?.len(),
            sha256: calm_files::sha256_file(&self.path)?,
            path: self.path,
        }])
    }
}

/// Why there is no text in a row.
enum Fault {
    NotUtf8(u64),
    Other(String),
}

impl Fault {
    fn reason(self) -> String {
        match self {
            Self::NotUtf8(byte) => not_utf8(byte),
            Self::Other(reason) => reason,
        }
    }
}

/// The text at a path, where there may be a list of them; that of null is empty.
fn text(row: &Row, path: &[String], is_list: bool) -> Result<String, Fault> {
    let Some((name, rest)) = path.split_first() else {
        return Err(Fault::Other(
            "is a group of columns; name one of them".to_owned(),
        ));
    };
    let Some((_, field)) = row.get_column_iter().find(|(column, _)| *column == name) else {
        let known: Vec<&str> = row
            .get_column_iter()
            .map(|(name, _)| name.as_str())
            .collect();
        return Err(Fault::Other(no_such_name("column", name, &known)));
    };
    match field {
        Field::Null => Ok(String::new()),
        Field::Group(inner) => text(inner, rest, is_list),
        _ if !rest.is_empty() => Err(Fault::Other(format!(
            "column '{name}' has no columns in it"
        ))),
        Field::Str(text) => Ok(text.clone()),
        Field::ListInternal(list) if is_list => {
            let texts = list.elements().iter().filter_map(|element| match element {
                Field::Str(text) => Some(text.as_str()),
                _ => None,
            });
            Ok(texts.collect::<Vec<_>>().join(BETWEEN))
        }
        Field::Bytes(bytes) => super::bytes::to_text(bytes.data().to_vec()).map_err(Fault::NotUtf8),
        _ => Err(Fault::Other(format!("column '{name}' holds no texts"))),
    }
}
