//! Small models, tokenizers and checkpoints for the tests of all crates. Only tests depend on it.
//!
//! ```
//! use calm_testing::{llama, model, tokenizer};
//!
//! let decoder = llama(48, [16, 3, 4], 0);
//! assert_eq!(decoder.block_count(), 3);
//! let whole = model(tokenizer("byte-level"), [16, 3, 4], 0);
//! assert!(whole.tokenizer.encode("a text", true).is_ok());
//! ```

#![expect(
    clippy::missing_panics_doc,
    reason = "whatever does not work fails the test"
)]

mod checkpoint;
mod models;
mod tensors;
mod tokenizers;

use std::path::{Path, PathBuf};

pub use self::checkpoint::{Checkpoint, joined, offsets};
pub use self::models::{decoder, halves, llama, model};
pub use self::tensors::{assert_close, bits, ids, relative_error, values};
pub use self::tokenizers::{tokenizer, words, words_json};

/// The fixtures of a crate.
pub fn fixtures(of: &str) -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let crates = crates.expect("the crate is in a directory");
    crates.join(of).join("tests/fixtures")
}
