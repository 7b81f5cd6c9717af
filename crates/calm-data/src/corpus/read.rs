//! Lines and JSON, from plain or packed files.

use std::io::Read;
use std::path::Path;

use calm_files::TextError;
use serde::de::DeserializeOwned;

use crate::DataError;
use crate::corpus::reading::open_text;

/// Largest file that is read, unpacked. The largest known dataset is a fifth of it.
const LARGEST_FILE: u64 = 4 << 30;

/// Lines of a text file. They end at LF alone; the last may lack it.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read, naming the first line that is not UTF-8.
pub fn text_lines(path: &Path) -> Result<Vec<String>, DataError> {
    let text = text(path)?;
    if text.is_empty() {
        return Err(DataError::file(path, "holds no line"));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.split('\n').map(str::to_owned).collect())
}

/// Lines of a text file whose publisher ends each with LF. A file without the last LF is cut short,
/// perhaps within a number.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read or is cut short, naming the first line that is not UTF-8.
pub fn whole_lines(path: &Path) -> Result<Vec<String>, DataError> {
    let text = text(path)?;
    let Some(text) = text.strip_suffix('\n') else {
        let line = text.matches('\n').count() + 1;
        let reason = "the file ends within this line: it is cut short; fetch it again";
        return Err(DataError::line(path, line, reason));
    };
    Ok(text.split('\n').map(str::to_owned).collect())
}

/// Records of a JSON Lines file, packed by gzip or not. Blank lines are skipped.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read or holds no record, or naming the line that is none.
pub fn json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, DataError> {
    let text = text(path)?;
    let mut records = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let record = serde_json::from_str(line).map_err(|error| {
            let what = without_place(&error);
            let at_end = error.is_eof() && text[text.len() - line.len()..] == *line;
            let hint = ["", "; the file is cut short, fetch it again"][usize::from(at_end)];
            let reason = format!("{what} at column {}{hint}", error.column());
            DataError::line(path, index + 1, reason)
        })?;
        records.push(record);
    }
    if records.is_empty() {
        return Err(DataError::file(path, "holds no record"));
    }
    Ok(records)
}

/// A JSON document.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read, or naming the line that is not as it should be.
pub fn json<T: DeserializeOwned>(path: &Path) -> Result<T, DataError> {
    serde_json::from_str(&text(path)?).map_err(|error| {
        let hint = ["", "; the file is cut short, fetch it again"][usize::from(error.is_eof())];
        let reason = format!(
            "{} at column {}{hint}",
            without_place(&error),
            error.column()
        );
        DataError::line(path, error.line(), reason)
    })
}

/// Checks that two files whose lines belong together have equally many.
///
/// # Errors
///
/// [`DataError::Counts`] if they do not.
pub fn check_counts(
    path: &Path,
    found: usize,
    other: &Path,
    expected: usize,
) -> Result<(), DataError> {
    if found == expected {
        return Ok(());
    }
    Err(DataError::Counts {
        path: path.to_owned(),
        found,
        other: other.to_owned(),
        expected,
    })
}

/// Message of a JSON error without its position.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or(&message);
    what.to_owned()
}

/// Text of a file, unpacked and without its byte order mark.
pub(super) fn text(path: &Path) -> Result<String, DataError> {
    calm_files::text(bytes(path)?).map_err(|error| match error {
        TextError::NotUtf8 { line, byte } => {
            DataError::line(path, line, format!("is not UTF-8 at byte {}", byte + 1))
        }
        other @ TextError::Encoding { .. } => DataError::file(path, other.to_string()),
    })
}

/// Bytes of a file, unpacked.
fn bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    let (text, _) = open_text(path)?;
    let mut bytes = Vec::new();
    let read = text.take(LARGEST_FILE + 1).read_to_end(&mut bytes);
    read.map_err(DataError::io(path))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(DataError::file(
            path,
            "is larger than any of these datasets",
        ));
    }
    Ok(bytes)
}
