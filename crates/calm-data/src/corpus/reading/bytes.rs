//! Bytes of files as texts.

use std::io::BufRead;
use std::path::Path;

use super::source::Text;
use crate::DataError;

/// Bytes as a text, or the number of the first byte, from 1, that is not UTF-8.
pub(super) fn to_text(bytes: Vec<u8>) -> Result<String, u64> {
    String::from_utf8(bytes).map_err(|error| error.utf8_error().valid_up_to() as u64 + 1)
}

/// Passes over the byte order mark of UTF-8.
///
/// # Errors
///
/// [`DataError`] naming another encoding by its mark.
pub(super) fn without_mark(path: &Path, text: &mut Text) -> Result<(), DataError> {
    let begin = text.fill_buf().map_err(DataError::io(path))?;
    let marked = match calm_files::without_mark(begin) {
        Ok(rest) => begin.len() - rest.len(),
        Err(error) => return Err(DataError::file(path, error.to_string())),
    };
    text.consume(marked);
    Ok(())
}
