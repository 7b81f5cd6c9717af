//! Files of prompts and targets, as this program writes them: one JSON object per line.
//!
//! ```json
//! {"prompt": "10 + 22 - 24 =", "target": "8 0 0 0"}
//! ```
//!
//! Further fields are ignored. Files of other formats and forms are read by
//! [`ExampleReader`](crate::ExampleReader).

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::DataError;

/// Longest line that is read, so that no file can fill the memory.
pub(crate) const LONGEST_LINE: usize = 16 << 20;

/// A prompt, and the text that should follow it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptTarget {
    /// Text that the model reads.
    pub prompt: String,
    /// Text that it should write.
    pub target: String,
    /// Parts of the prompt that masking may hide, from their first character to the one behind their
    /// last; none if it is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Vec<[usize; 2]>>,
}

/// Reads every line of a file of prompts and targets. Blank lines are skipped.
///
/// # Errors
///
/// [`DataError::Line`] naming the first line that is not UTF-8, not JSON, lacks a field or is too
/// long; [`DataError::Empty`] if there is no example at all.
pub fn read(path: &Path) -> Result<Vec<PromptTarget>, DataError> {
    let mut lines = Lines::new(path, File::open(path).map_err(DataError::io(path))?);
    let mut examples = Vec::new();
    while let Some(example) = lines.next(prompt_target)? {
        examples.push(example);
    }
    if examples.is_empty() {
        return Err(DataError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(examples)
}

/// Reader of the lines of a file that are not blank.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    path: PathBuf,
    reader: BufReader<R>,
    /// The current line, and its number.
    bytes: Vec<u8>,
    line: usize,
}

impl<R: Read> Lines<R> {
    /// `path` is for messages.
    pub(crate) fn new(path: &Path, reader: R) -> Self {
        Self {
            path: path.to_owned(),
            reader: BufReader::with_capacity(1 << 18, reader),
            bytes: Vec::new(),
            line: 0,
        }
    }

    /// Number of the line that was read last, from 1.
    pub(crate) fn line(&self) -> usize {
        self.line
    }

    /// The next line, parsed; `None` at the end.
    pub(crate) fn next<T>(
        &mut self,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, DataError> {
        loop {
            self.bytes.clear();
            self.line += 1;
            let mut within = self.reader.by_ref().take(LONGEST_LINE as u64 + 1);
            let read = within.read_until(b'\n', &mut self.bytes);
            if read.map_err(DataError::io(&self.path))? == 0 {
                return Ok(None);
            }
            let found = text(&self.bytes).and_then(|text| match text.trim() {
                "" => Ok(None),
                _ => parse(text).map(Some),
            });
            match found {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(reason) => {
                    return Err(DataError::Line {
                        path: self.path.clone(),
                        line: self.line,
                        reason,
                    });
                }
            }
        }
    }
}

/// A line without the byte order mark that it may begin with: the first of a file, and of each file
/// that was joined to it.
fn text(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > LONGEST_LINE {
        return Err(format!("is longer than {LONGEST_LINE} bytes"));
    }
    let bytes = calm_files::without_mark(bytes).map_err(|error| error.to_string())?;
    std::str::from_utf8(bytes)
        .map_err(|error| format!("is not UTF-8 at byte {}", error.valid_up_to()))
}

fn prompt_target(text: &str) -> Result<PromptTarget, String> {
    let expected = "an object with the strings `prompt` and `target`";
    serde_json::from_str(text).map_err(|error| explain(&error, expected))
}

fn explain(error: &serde_json::Error, expected: &str) -> String {
    let message = error.to_string();
    // Its line number counts within this line.
    let what = message.split(" at line ").next().unwrap_or(&message);
    format!("{what} at column {}; expected {expected}", error.column())
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
    calm_files::write_with(path, |file| {
        records.into_iter().try_for_each(|record| {
            serde_json::to_writer(&mut *file, &record)?;
            file.write_all(b"\n")
        })
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

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
                target: "d".to_owned(),
                mask: None,
            }
        );
        assert_eq!(examples.len(), 2);
    }

    #[test]
    fn byte_order_marks_are_skipped_or_named() {
        let line = "{\"prompt\": \"a\", \"target\": \"b\"}\n";
        let marked = format!("\u{feff}{line}\u{feff}{line}");
        assert_eq!(read_text(marked.as_bytes()).unwrap().len(), 2);
        let wide: Vec<u8> = format!("\u{feff}{line}")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let message = read_text(&wide).unwrap_err().to_string();
        assert!(message.contains("line 1: is UTF-16"), "{message}");
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.jsonl");
        let example = |prompt: &str| PromptTarget {
            prompt: prompt.to_owned(),
            target: "two\nlines".to_owned(),
            mask: None,
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
}
