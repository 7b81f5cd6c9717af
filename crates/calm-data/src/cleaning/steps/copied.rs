//! Sides that are copies of each other.

use std::collections::HashMap;

use crate::cleaning::Words;
use crate::corpus::{CopiedConfig, CorpusRecord, Step, Verdict};

/// Drops pairs whose sides are the same but for case, punctuation and white space, or have most of
/// their words in common.
#[derive(Debug, Clone, Copy)]
pub struct Copied(pub CopiedConfig);

/// Share of the words of two texts that both have, a word as often as it stands in both: Dice's
/// coefficient, from 0 to 1. Texts without words have nothing in common.
///
/// ```
/// use calm_data::cleaning::steps::overlap;
///
/// assert_eq!(overlap("Home, page!", "HOME PAGE"), 1.0);
/// assert_eq!(overlap("a b c", "a d"), 0.4);
/// ```
pub fn overlap(one: &str, other: &str) -> f64 {
    let [one, other] = [one, other].map(Words::of);
    if one.is_empty() || other.is_empty() {
        return 0.0;
    }
    if one.text() == other.text() {
        return 1.0;
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut all = 0;
    for word in one.iter() {
        *counts.entry(word).or_default() += 1;
        all += 1;
    }
    let mut common = 0;
    for word in other.iter() {
        all += 1;
        if let Some(count) = counts.get_mut(word)
            && *count > 0
        {
            *count -= 1;
            common += 1;
        }
    }
    2.0 * f64::from(common) / f64::from(all)
}

impl Step for Copied {
    fn name(&self) -> &'static str {
        "copied"
    }

    fn apply(&self, record: &mut CorpusRecord) -> Verdict {
        let Some(target) = &record.target else {
            return Verdict::Keep;
        };
        let overlap = overlap(&record.source.text, &target.text);
        let is_blank = || record.sides().all(|side| Words::of(&side.text).is_empty());
        if overlap >= 1.0 || (record.source.text == target.text && is_blank()) {
            return Verdict::Drop("both sides are the same".into());
        }
        match overlap >= self.0.overlap {
            true => Verdict::Drop("both sides are almost the same".into()),
            false => Verdict::Keep,
        }
    }
}
