//! Empty texts.

use crate::corpus::{CorpusRecord, Step, Verdict};

/// Drops records of which a side has nothing but white space and control characters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Empty;

impl Step for Empty {
    fn name(&self) -> &'static str {
        "empty"
    }

    fn apply(&self, record: &mut CorpusRecord) -> Verdict {
        let is_empty = |text: &str| text.chars().all(|c| c.is_whitespace() || c.is_control());
        let sides = record.sides().count();
        let empty = record.sides().filter(|side| is_empty(&side.text)).count();
        match (empty, sides) {
            (0, _) => Verdict::Keep,
            (1, 2) => Verdict::Drop("only one side has a text".into()),
            _ => Verdict::Drop("no text".into()),
        }
    }
}
