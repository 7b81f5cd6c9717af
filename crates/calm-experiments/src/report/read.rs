//! Tables in files: `table.json`, and pages that hold one.

use std::path::{Path, PathBuf};

use calm_files::FileError;
use serde::Deserialize;

use super::{ReportError, table_of};
use crate::table::{SCHEMA, Table, TableOptions};

/// Name of the table in the directory of an experiment.
pub const FILE: &str = "table.json";

/// The table of these: of an experiment's directory, of its `table.json`, of a page that
/// [`html`](super::html) wrote, or of directories of evaluations and compositions, as many as there
/// are ([`Table::of_runs`]). Several experiments are shown as the evaluations in them.
///
/// # Errors
///
/// [`ReportError`] naming the path that is none of these, or damaged, or of another layout.
pub fn read(paths: &[PathBuf]) -> Result<Table, ReportError> {
    if let [path] = paths {
        let file = path.join(FILE);
        match (file.is_file(), path.is_dir()) {
            (true, _) => return of_file(&file),
            (false, false) => return of_file(path),
            (false, true) => {}
        }
    }
    if let Some(path) = paths.iter().find(|path| path.is_file()) {
        return Err(ReportError::OneFile { path: path.clone() });
    }
    Ok(Table::of_runs(paths, &TableOptions::default())?)
}

fn of_file(path: &Path) -> Result<Table, ReportError> {
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
