//! Records that are in a benchmark.

use std::sync::Arc;

use crate::cleaning::Contamination;
use crate::corpus::{Record, Step, Verdict};

/// Drops records of which a text, or an n-gram of one, is in a benchmark.
#[derive(Debug, Clone)]
pub struct Decontaminate(pub Arc<Contamination>);

impl<R: Record> Step<R> for Decontaminate {
    fn name(&self) -> &'static str {
        "decontaminate"
    }

    fn apply(&self, record: &mut R) -> Verdict {
        match record.texts().find_map(|text| self.0.find(text)) {
            Some(benchmark) => Verdict::Drop(format!("in {benchmark}").into()),
            None => Verdict::Keep,
        }
    }
}
