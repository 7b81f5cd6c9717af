//! Steps that judge records one by one, and what takes the records behind them.

use std::borrow::Cow;

use super::CorpusRecord;
use crate::DataError;

/// What a step says of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It stays as it is.
    Keep,
    /// It stays, and the step has changed it.
    Changed,
    /// It goes, for this reason. Few reasons are different, so that they can be counted.
    Drop(Cow<'static, str>),
}

/// A step that judges each record by itself: what it says depends on nothing but the record and the
/// settings, so that records are judged by any number of threads.
///
/// Steps that compare records, such as deduplication, come later, in a [`Sink`].
pub trait Step<R = CorpusRecord>: Send + Sync {
    /// The name, as the manifest has it.
    fn name(&self) -> &'static str;

    /// Judges a record, and may change its texts.
    fn apply(&self, record: &mut R) -> Verdict;
}

/// A record behind the steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged<R = CorpusRecord> {
    /// The record, as the steps left it; of a dropped one, as the step that dropped it saw it.
    pub record: R,
    /// Bit `i` is set if step `i` changed it.
    pub changed: u64,
    /// The index of the step that dropped it, and the reason.
    pub dropped: Option<(usize, Cow<'static, str>)>,
}

impl<R> Judged<R> {
    /// Applies steps in their order, until one drops the record.
    pub fn by(steps: &[Box<dyn Step<R>>], mut record: R) -> Self {
        let mut changed = 0;
        for (index, step) in steps.iter().enumerate() {
            match step.apply(&mut record) {
                Verdict::Keep => {}
                Verdict::Changed => changed |= 1 << index,
                Verdict::Drop(reason) => {
                    return Self {
                        record,
                        changed,
                        dropped: Some((index, reason)),
                    };
                }
            }
        }
        Self {
            record,
            changed,
            dropped: None,
        }
    }
}

/// Takes records behind all [`Step`]s, in the order in which they were read, whatever the number of
/// threads. It must not hold them all: corpora are larger than memory.
pub trait Sink<R = CorpusRecord> {
    /// The next records.
    ///
    /// # Errors
    ///
    /// [`DataError`] if they cannot be written; reading then ends.
    fn take(&mut self, chunk: Vec<Judged<R>>) -> Result<(), DataError>;
}
