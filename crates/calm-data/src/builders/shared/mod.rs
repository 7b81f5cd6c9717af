//! What builders of corpora have in common, be it languages or code.

mod chance;
mod comparing;
mod drive;
mod inputs;
mod lines;
mod manifest;
mod selection;
mod store;
mod tally;

/// Bytes that sorting may take. No result depends on them.
pub(super) const SORTING: usize = 64 << 20;

pub(super) use chance::Chance;
pub(super) use comparing::{advance, near_duplicates};
pub(super) use drive::{Skipped, drive};
pub use inputs::Inputs;
pub(super) use lines::LinesFile;
pub use lines::WrittenFile;
pub(super) use manifest::{MANIFEST, input_files, write_manifest};
pub(super) use selection::{GroupCounts, Selection};
pub(super) use store::{Store, Stored, read_origin, read_text, write_origin, write_text};
pub(super) use tally::{Counted, Counts, StepCounts, Tally, dropped};
