//! Opening files, and reading small ones, whose size is checked first.

use std::fs::{self, File};
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::ModelError;
use crate::unique::UniqueKeys;

/// Settings of a model.
pub(crate) const CONFIG: &str = "config.json";

/// Its tokenizer.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// Its tokenizer as `SentencePiece` writes it, where there is no `tokenizer.json`.
pub(crate) const SENTENCE_PIECE: &str = "tokenizer.model";

/// Settings are a few kilobytes.
pub(crate) const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// Whether the name exists, even as a dangling link: opening it then gives the error.
pub(crate) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Opens a file to read it. Anything else, such as a directory or a pipe that nobody may ever write
/// to, is an error.
///
/// # Errors
///
/// [`ModelError::Io`] with the file and what is wrong with it.
pub fn open(path: &Path) -> Result<File, ModelError> {
    let is_file = |metadata: fs::Metadata| {
        if metadata.is_file() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidInput, "not a regular file"))
    };
    let file = fs::metadata(path)
        .and_then(is_file)
        .and_then(|()| File::open(path));
    file.map_err(|source| ModelError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Names of the files in a directory, sorted; none if it cannot be read. Names that are no text are
/// left out.
pub(crate) fn file_names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Parses a JSON text, in which no object may have a key twice; `path` is for messages.
pub(crate) fn from_json<T: DeserializeOwned>(json: &str, path: &Path) -> Result<T, ModelError> {
    serde_json::from_str::<UniqueKeys>(json)
        .and_then(|UniqueKeys| serde_json::from_str(json))
        .map_err(|source| ModelError::Json {
            path: path.to_owned(),
            source,
        })
}

/// The text of a file of at most `max_bytes`.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> Result<String, ModelError> {
    let bytes = read_bytes(path, max_bytes)?;
    calm_files::text(bytes).map_err(|error| ModelError::Io {
        path: path.to_owned(),
        source: error.into(),
    })
}

/// The content of a file of at most `max_bytes`.
pub(crate) fn read_bytes(path: &Path, max_bytes: u64) -> Result<Vec<u8>, ModelError> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too long from one that just fits.
    let read = file.take(max_bytes + 1).read_to_end(&mut bytes);
    read.map_err(|source| ModelError::Io {
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() as u64 > max_bytes {
        return Err(ModelError::TooLong {
            path: path.to_owned(),
            max_bytes,
        });
    }
    Ok(bytes)
}
