//! How far the building of a dataset is.

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildPart {
    /// Reading and cleaning, in bytes of the files.
    Reading,
    /// Comparing records with each other, in records.
    Comparing,
    /// Writing rows, in records.
    Writing,
}

/// Is told how far a build is.
pub trait BuildObserver {
    /// So much of a part is done. Returns whether to go on.
    fn advance(&mut self, part: BuildPart, done: u64, total: u64) -> bool;
}

/// Nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl BuildObserver for Unobserved {
    fn advance(&mut self, _part: BuildPart, _done: u64, _total: u64) -> bool {
        true
    }
}
