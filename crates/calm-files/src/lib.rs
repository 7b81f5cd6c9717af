//! Files: written whole or not at all, hashed, locked; their texts, without byte order marks; and
//! panics of libraries that read them as errors.
//!
//! [`write()`] and [`AtomicFile`] are the only way in which the other crates put a file that somebody
//! may read at the same time, or that a killed process must not leave half-written.
//!
//! ```
//! # let directory = tempfile::tempdir()?;
//! let path = directory.path().join("results.json");
//! calm_files::write(&path, "{}")?;
//! assert_eq!(calm_files::sha256_file(&path)?, calm_files::sha256("{}"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod atomic;
mod difference;
mod guard;
mod hash;
mod lock;
mod text;

use std::io;
use std::path::{Path, PathBuf};

pub use atomic::{AtomicFile, sync_directory, write, write_with};
pub use difference::{Difference, first_difference};
pub use guard::guard;
pub use hash::{Digest, Hashed, Sha256, hex, sha256, sha256_file, sha256_reader};
pub use lock::{Lock, try_lock};
pub use text::{TextError, read_text, text, without_mark};

/// A file or directory that could not be read, written or locked.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct FileError {
    /// Path of the file or directory.
    pub path: PathBuf,
    /// Error of the operating system.
    pub source: io::Error,
}

impl FileError {
    /// Names the path in an error of the operating system; for `map_err`.
    fn at(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self {
            path: path.clone(),
            source,
        }
    }
}
