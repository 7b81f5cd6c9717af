//! Reading files up to a limit of their size.

use std::io::Read;
use std::path::Path;

use calm_models::{ModelError, open_file};

use crate::ComposeError;

/// The bytes of a file of at most `max_bytes`.
pub(crate) fn read_bytes(path: &Path, max_bytes: u64) -> Result<Vec<u8>, ComposeError> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too long from one that just fits.
    let file = open_file(path).map_err(|error| match error {
        ModelError::Io { path, source } => ComposeError::Io { path, source },
        other => other.into(),
    })?;
    file.take(max_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(io(path))?;
    if bytes.len() as u64 > max_bytes {
        return Err(ComposeError::Malformed {
            path: path.to_owned(),
            reason: format!("is longer than {max_bytes} bytes, the most that it can need"),
        });
    }
    Ok(bytes)
}

/// Names the file in an error of the operating system; for `map_err`.
pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> ComposeError {
    let path = path.to_owned();
    move |source| ComposeError::Io {
        path: path.clone(),
        source,
    }
}
