//! Records that are in a benchmark.

use std::sync::Arc;

use crate::cleaning::Contamination;
use crate::corpus::{CorpusRecord, Step, Verdict};

/// Drops records of which a side, or an n-gram of one, is in a benchmark.
#[derive(Debug, Clone)]
pub struct Decontaminate(pub Arc<Contamination>);

impl Step for Decontaminate {
    fn name(&self) -> &'static str {
        "decontaminate"
    }

    fn apply(&self, record: &mut CorpusRecord) -> Verdict {
        match record.sides().find_map(|side| self.0.find(&side.text)) {
            Some(benchmark) => Verdict::Drop(format!("in {benchmark}").into()),
            None => Verdict::Keep,
        }
    }
}
