//! Reading small files whose size is checked first.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::ModelError;

/// Whether there is something of this name, be it a link that leads nowhere: opening that tells
/// what is wrong with it.
pub(crate) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The text of a file of at most `max_bytes`.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> Result<String, ModelError> {
    let as_io = |source| ModelError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(as_io)?;
    let mut text = String::new();
    // One byte more than allowed tells a file that is too long from one that just fits.
    file.take(max_bytes + 1)
        .read_to_string(&mut text)
        .map_err(as_io)?;
    if text.len() as u64 > max_bytes {
        return Err(ModelError::TooLong {
            path: path.to_owned(),
            max_bytes,
        });
    }
    Ok(text)
}
