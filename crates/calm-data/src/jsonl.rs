//! Prompt/target files: one JSON object per line.
//!
//! ```json
//! {"prompt": "10 + 22 - 24 =", "target": "8 0 0 0"}
//! ```
//!
//! Further fields are allowed and ignored.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::DataError;

/// Longest line that is read; a longer one is an error, not a reason to fill the memory.
const LONGEST_LINE: usize = 16 << 20;

/// A text and what is to follow it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptTarget {
    /// What the model reads.
    pub prompt: String,
    /// What it is to write.
    pub target: String,
}

/// Reads every line of a file. Blank lines are skipped.
///
/// # Errors
///
/// [`DataError::Line`] naming the first line that is not UTF-8, not JSON, lacks a field or is too
/// long; [`DataError::Empty`] if there is no example at all.
pub fn read(path: &Path) -> Result<Vec<PromptTarget>, DataError> {
    let io = |source| DataError::Io {
        path: path.to_owned(),
        source,
    };
    let mut reader = BufReader::new(File::open(path).map_err(io)?);
    let mut examples = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let limit = LONGEST_LINE as u64 + 1;
        if reader
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut bytes)
            .map_err(io)?
            == 0
        {
            break;
        }
        match parse(&bytes) {
            Ok(example) => examples.extend(example),
            Err(reason) => {
                return Err(DataError::Line {
                    path: path.to_owned(),
                    line,
                    reason,
                });
            }
        }
    }
    if examples.is_empty() {
        return Err(DataError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(examples)
}

/// The example of a line, nothing for a blank one, or what is wrong with it.
fn parse(bytes: &[u8]) -> Result<Option<PromptTarget>, String> {
    if bytes.len() > LONGEST_LINE {
        return Err(format!("is longer than {LONGEST_LINE} bytes"));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("is not UTF-8 at byte {}", error.valid_up_to()))?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(|error| {
        let column = error.column();
        let message = error.to_string();
        // Its line is the line within this line.
        let what = message.split(" at line ").next().unwrap_or(&message);
        format!(
            "{what} at column {column}; expected an object with the strings `prompt` and `target`"
        )
    })
}

/// Writes records, one JSON object per line. The file appears whole or not at all.
///
/// # Errors
///
/// [`DataError::Io`] if it can't be written.
pub fn write<T: Serialize>(
    path: &Path,
    records: impl IntoIterator<Item = T>,
) -> Result<(), DataError> {
    write_atomically(path, |file| {
        records.into_iter().try_for_each(|record| {
            serde_json::to_writer(&mut *file, &record)?;
            file.write_all(b"\n")
        })
    })
}

/// Writes a file whole or not at all: a temporary sibling, fsync, rename.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), DataError> {
    let io = |source| DataError::Io {
        path: path.to_owned(),
        source,
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let written = File::create(&temporary).and_then(|file| {
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        file.into_inner()?.sync_all()?;
        fs::rename(&temporary, path)
    });
    written.map_err(|source| {
        let _ = fs::remove_file(&temporary);
        io(source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(bytes: &[u8]) -> Result<Vec<PromptTarget>, DataError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.jsonl");
        fs::write(&path, bytes).unwrap();
        read(&path)
    }

    #[test]
    fn extra_fields_and_blank_lines_are_passed_over() {
        let text = b"{\"prompt\": \"a\", \"target\": \"b\", \"n\": 1}\n\n{\"prompt\": \"c\", \"target\": \"d\"}";
        let examples = read_text(text).unwrap();
        assert_eq!(
            examples[1],
            PromptTarget {
                prompt: "c".to_owned(),
                target: "d".to_owned()
            }
        );
        assert_eq!(examples.len(), 2);
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.jsonl");
        let example = |prompt: &str| PromptTarget {
            prompt: prompt.to_owned(),
            target: "two\nlines".to_owned(),
        };
        let examples = [example("a"), example("é")];
        write(&path, &examples).unwrap();
        assert_eq!(read(&path).unwrap(), examples);
    }

    #[test]
    fn a_bad_line_is_named() {
        let good = b"{\"prompt\": \"a\", \"target\": \"b\"}\n";
        for (bad, part) in [
            (&b"{\"prompt\": \"a\"}"[..], "missing field `target`"),
            (b"{\"prompt\": 3, \"target\": \"b\"}", "invalid type"),
            (b"prompt", "expected value"),
            (b"{\"prompt\": \"\xff\"", "not UTF-8 at byte 12"),
        ] {
            let message = read_text(&[good, bad].concat()).unwrap_err().to_string();
            assert!(message.contains("data.jsonl, line 2: "), "{message}");
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_message_has_one_line_number() {
        let message = read_text(b"\n{\"prompt\": \"a\"}").unwrap_err().to_string();
        assert_eq!(message.matches("line ").count(), 1, "{message}");
    }

    #[test]
    fn a_line_without_end_is_not_read_into_memory() {
        let message = read_text(&vec![b' '; LONGEST_LINE + 100])
            .unwrap_err()
            .to_string();
        assert!(message.contains("line 1: is longer than"), "{message}");
    }

    #[test]
    fn an_empty_file_is_an_error() {
        assert!(matches!(read_text(b"\n \n"), Err(DataError::Empty { .. })));
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write_atomically(&path, |file| file.write_all(b"x")).is_err());
        let full = |_: &mut dyn Write| Err(io::Error::from(io::ErrorKind::StorageFull));
        assert!(write_atomically(&dir.path().join("new"), full).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
