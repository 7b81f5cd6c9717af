//! Tables in files: `table.json`, and pages that hold one.

use std::path::Path;

use calm_files::FileError;
use serde::Deserialize;

use super::{ReportError, table_of};
use crate::table::{SCHEMA, Table};

/// Name of the table in the directory of an experiment.
pub const FILE: &str = "table.json";

/// The table of an experiment's directory, of its `table.json`, or of a page that
/// [`html`](super::html) wrote.
///
/// # Errors
///
/// [`ReportError`] if there is none, or a damaged one, or one of another layout.
pub fn read(path: &Path) -> Result<Table, ReportError> {
    if path.is_dir() {
        let file = path.join(FILE);
        return match file.is_file() {
            true => read(&file),
            false => Err(ReportError::NoTable {
                path: path.to_owned(),
            }),
        };
    }
    let text = calm_files::read_text(path);
    let text = text.map_err(|source| FileError {
        path: path.to_owned(),
        source,
    })?;
    match text.trim_start().starts_with('{') {
        true => parse(path, text.as_bytes()),
        false => table_of(path, &text),
    }
}

/// The table in JSON, as in `table.json`.
///
/// # Errors
///
/// [`ReportError`] if memory fails.
pub fn json(table: &Table) -> Result<String, ReportError> {
    let json = serde_json::to_string(table).map_err(std::io::Error::from)?;
    Ok(json + "\n")
}

/// A table in JSON; `path` is for messages.
pub(super) fn parse(path: &Path, json: &[u8]) -> Result<Table, ReportError> {
    #[derive(Deserialize)]
    struct Layout {
        schema: u64,
    }
    let damaged = |error: serde_json::Error| ReportError::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let Layout { schema } = serde_json::from_slice(json).map_err(damaged)?;
    if schema != u64::from(SCHEMA) {
        return Err(ReportError::Layout {
            path: path.to_owned(),
            found: schema,
            expected: SCHEMA,
        });
    }
    serde_json::from_slice(json).map_err(damaged)
}
