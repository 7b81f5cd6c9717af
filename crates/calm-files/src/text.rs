//! Text of files: UTF-8, behind a byte order mark or not.

use std::path::Path;
use std::{fs, io};

/// Byte order mark: editors and exports of some systems write it before UTF-8. It is no part of the text.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Marks of other encodings. That of UTF-32 begins like that of UTF-16, so it stands first.
const OTHER_MARKS: [(&[u8], &str); 4] = [
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
];

/// Bytes that are no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The byte order mark of another encoding.
    #[error("is {encoding}, by the byte order mark that it begins with; save it as UTF-8")]
    Encoding {
        /// The encoding.
        encoding: &'static str,
    },
    /// No UTF-8.
    #[error("is not UTF-8 at byte {} of line {line}", byte + 1)]
    NotUtf8 {
        /// 1-based line.
        line: usize,
        /// 0-based byte in the line.
        byte: usize,
    },
}

impl From<TextError> for io::Error {
    fn from(error: TextError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// The bytes of a file behind the byte order mark of UTF-8, if they begin with it.
///
/// # Errors
///
/// [`TextError::Encoding`] if they begin with that of another encoding.
pub fn without_mark(bytes: &[u8]) -> Result<&[u8], TextError> {
    let other = OTHER_MARKS.iter().find(|(mark, _)| bytes.starts_with(mark));
    match other {
        Some(&(_, encoding)) => Err(TextError::Encoding { encoding }),
        None => Ok(bytes.strip_prefix(MARK).unwrap_or(bytes)),
    }
}

/// The bytes of a file as its text, without the byte order mark.
///
/// # Errors
///
/// [`TextError`] if they are no UTF-8.
pub fn text(bytes: Vec<u8>) -> Result<String, TextError> {
    let skipped = bytes.len() - without_mark(&bytes)?.len();
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let start = before.iter().rposition(|&byte| byte == b'\n');
        TextError::NotUtf8 {
            line: before.iter().filter(|&&byte| byte == b'\n').count() + 1,
            byte: before.len() - start.map_or(0, |at| at + 1),
        }
    })?;
    text.drain(..skipped);
    Ok(text)
}

/// The text of a file.
///
/// # Errors
///
/// Those of the operating system, and [`TextError`] of the kind `InvalidData`.
pub fn read_text(path: &Path) -> io::Result<String> {
    Ok(text(fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_no_part_of_the_text() {
        for (bytes, expected) in [
            (&b"\xef\xbb\xbfa\n"[..], "a\n"),
            (b"a\n", "a\n"),
            (b"\xef\xbb\xbf", ""),
            (b"", ""),
            // One alone: the second is a character.
            (b"\xef\xbb\xbf\xef\xbb\xbfa", "\u{feff}a"),
        ] {
            assert_eq!(text(bytes.to_vec()).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn other_encodings_are_named() {
        for (bytes, part) in [
            (&b"\xff\xfea\0"[..], "is UTF-16,"),
            (b"\xfe\xff\0a", "is UTF-16,"),
            (b"\xff\xfe\0\0a\0\0\0", "is UTF-32,"),
            (b"\0\0\xfe\xff\0\0\0a", "is UTF-32,"),
            (b"one\ntw\xff", "is not UTF-8 at byte 3 of line 2"),
            (b"\xe9t\xe9", "is not UTF-8 at byte 1 of line 1"),
        ] {
            let message = text(bytes.to_vec()).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
