//! Records of a task's files.

use std::path::Path;

use calm_data::corpus::{assignments, check_counts, json, json_lines, whole_lines};
use calm_data::{DataError, ExampleReader};
use serde_json::{Map, Value};

use super::source::{DataSource, Format};

/// Fields of a record.
pub(super) type Fields = Map<String, Value>;

impl DataSource {
    /// Records of a language.
    pub(super) fn records(
        &self,
        directory: &Path,
        language: &str,
    ) -> Result<Vec<Fields>, DataError> {
        let path = self.file_of(directory, language);
        let records = match self.format {
            Format::Lines => self.lines(directory, language)?,
            Format::Tsv => self.rows(&path)?,
            // Records of a file that the user names may be in any format that holds them.
            Format::Json | Format::Jsonl if self.given.is_some() && self.pointer.is_none() => {
                ExampleReader::fields(&path)?
            }
            Format::Json => self.document(&json(&path)?, &path, language)?,
            Format::Python => self.document(&assignments(&path)?, &path, language)?,
            Format::Jsonl => json_lines(&path)?,
        };
        match records.is_empty() {
            true => Err(DataError::file(&path, "holds no record")),
            false => Ok(records),
        }
    }

    /// Records of parallel files.
    fn lines(&self, directory: &Path, language: &str) -> Result<Vec<Fields>, DataError> {
        let mut records: Vec<Fields> = Vec::new();
        let mut first = None;
        for (field, path) in self.files_of(directory, language) {
            let lines = whole_lines(&path)?;
            let (first, count) = first.get_or_insert_with(|| (path.clone(), lines.len()));
            check_counts(&path, lines.len(), first, *count)?;
            records.resize_with(lines.len(), Fields::new);
            for (record, line) in records.iter_mut().zip(lines) {
                record.insert(field.to_owned(), line.into());
            }
        }
        Ok(records)
    }

    /// Records of columns between tabs.
    fn rows(&self, path: &Path) -> Result<Vec<Fields>, DataError> {
        let rows = whole_lines(path)?.into_iter().enumerate();
        let record = |(number, row): (usize, String)| {
            let values: Vec<&str> = row.split('\t').collect();
            let (found, wanted) = (values.len(), self.columns.len());
            if found != wanted {
                let reason = format!("line {}: has {found} columns, not {wanted}", number + 1);
                return Err(DataError::file(path, reason));
            }
            let values = values.into_iter().map(Value::from);
            Ok(self.columns.iter().cloned().zip(values).collect())
        };
        rows.map(record).collect()
    }

    /// Records in a document.
    fn document(
        &self,
        document: &Value,
        path: &Path,
        language: &str,
    ) -> Result<Vec<Fields>, DataError> {
        let pointer = self.pointer.as_deref().unwrap_or_default();
        let pointer = pointer.replace("{language}", language);
        let records = match document.pointer(&pointer) {
            Some(Value::Array(records)) => records.clone(),
            Some(Value::Object(records)) => records.values().cloned().collect(),
            _ => {
                let reason = format!("has no records at '{pointer}'");
                return Err(DataError::file(path, reason));
            }
        };
        let record = |(index, record)| match record {
            Value::Object(record) => Ok(record),
            _ => Err(DataError::file(
                path,
                format!("record {index}: is no object"),
            )),
        };
        records.into_iter().enumerate().map(record).collect()
    }
}
