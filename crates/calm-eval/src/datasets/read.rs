//! Lines and JSON, from plain or packed files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;

use super::DatasetError;

/// The largest file that is read, unpacked; the largest of these datasets is a fifth of it.
const LARGEST_FILE: u64 = 4 << 30;

/// How files begin that gzip has packed.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The lines of a text file. They end at LF alone; the last may lack it.
///
/// # Errors
///
/// [`DatasetError`] if the file cannot be read, naming the first line that is not UTF-8.
pub fn text_lines(path: &Path) -> Result<Vec<String>, DatasetError> {
    let text = text(path)?;
    if text.is_empty() {
        return Err(DatasetError::file(path, "holds no line"));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.split('\n').map(str::to_owned).collect())
}

/// The lines of a text file whose publisher ended each with LF: without the last, the file was cut
/// short, perhaps within a number.
pub(crate) fn whole_lines(path: &Path) -> Result<Vec<String>, DatasetError> {
    let text = text(path)?;
    let Some(text) = text.strip_suffix('\n') else {
        let line = text.matches('\n').count() + 1;
        let reason = "the file ends within this line: it is cut short; fetch it again";
        return Err(DatasetError::line(path, line, reason));
    };
    Ok(text.split('\n').map(str::to_owned).collect())
}

/// One record per line; blank lines are skipped.
pub(crate) fn json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, DatasetError> {
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
            DatasetError::line(path, index + 1, reason)
        })?;
        records.push(record);
    }
    if records.is_empty() {
        return Err(DatasetError::file(path, "holds no record"));
    }
    Ok(records)
}

/// One JSON document.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Result<T, DatasetError> {
    serde_json::from_str(&text(path)?).map_err(|error| {
        let hint = ["", "; the file is cut short, fetch it again"][usize::from(error.is_eof())];
        let reason = format!(
            "{} at column {}{hint}",
            without_place(&error),
            error.column()
        );
        DatasetError::line(path, error.line(), reason)
    })
}

/// Counts must agree where lines of two files belong together.
///
/// # Errors
///
/// [`DatasetError::Counts`] if they do not.
pub fn check_counts(
    path: &Path,
    found: usize,
    other: &Path,
    expected: usize,
) -> Result<(), DatasetError> {
    if found == expected {
        return Ok(());
    }
    Err(DatasetError::Counts {
        path: path.to_owned(),
        found,
        other: other.to_owned(),
        expected,
    })
}

/// The message of an error in JSON, without the place that it ends in.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or(&message);
    what.to_owned()
}

/// The text of a file, unpacked.
pub(crate) fn text(path: &Path) -> Result<String, DatasetError> {
    let bytes = bytes(path)?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..valid];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let start = before.iter().rposition(|&byte| byte == b'\n');
        let column = valid - start.map_or(0, |at| at + 1) + 1;
        DatasetError::line(path, line, format!("is not UTF-8 at byte {column}"))
    })
}

/// The bytes of a file, unpacked.
fn bytes(path: &Path) -> Result<Vec<u8>, DatasetError> {
    let io = |source| DatasetError::io(path, source);
    let mut file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    let limited = |reader: &mut dyn Read, bytes: &mut Vec<u8>| {
        reader.take(LARGEST_FILE + 1).read_to_end(bytes)
    };
    limited(&mut file, &mut bytes).map_err(io)?;
    if bytes.starts_with(&GZIP) {
        let packed = std::mem::take(&mut bytes);
        limited(&mut MultiGzDecoder::new(&*packed), &mut bytes).map_err(|error| {
            let reason =
                format!("cannot be unpacked ({error}); it is cut short or damaged, fetch it again");
            DatasetError::file(path, reason)
        })?;
    }
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(DatasetError::file(
            path,
            "is larger than any of these datasets",
        ));
    }
    Ok(bytes)
}
