//! Bounds of the time and memory of one rendering.

use std::cell::Cell;

use crate::error::{ErrorKind, Outcome};

/// Units of one rendering. Each step takes one; long conversations take a few ten thousand.
const UNITS: u64 = 2_000_000;

/// Bytes of text that one unit pays for.
const BYTES: usize = 64;

/// Values of a list that one unit pays for.
const ITEMS: usize = 2;

/// Calls and expressions within each other.
const MAX_DEPTH: usize = 2000;

#[derive(Debug)]
pub(crate) struct Budget {
    left: Cell<u64>,
    depth: Cell<usize>,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            left: Cell::new(UNITS),
            depth: Cell::new(0),
        }
    }

    fn spend(&self, units: usize) -> Outcome<()> {
        let left = self.left.get().checked_sub(units as u64);
        self.left.set(left.ok_or(ErrorKind::Exhausted)?);
        Ok(())
    }

    pub(crate) fn step(&self) -> Outcome<()> {
        self.spend(1)
    }

    /// Pays for a text before it is made.
    pub(crate) fn text(&self, bytes: usize) -> Outcome<()> {
        self.spend(1 + bytes / BYTES)
    }

    /// Pays for values of a list before they are made.
    pub(crate) fn items(&self, count: usize) -> Outcome<()> {
        self.spend(1 + count / ITEMS)
    }

    /// Runs what may run itself.
    pub(crate) fn nested<T>(&self, run: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        if self.depth.get() == MAX_DEPTH {
            return Err(ErrorKind::Exhausted);
        }
        self.depth.set(self.depth.get() + 1);
        let found = run();
        self.depth.set(self.depth.get() - 1);
        found
    }
}
