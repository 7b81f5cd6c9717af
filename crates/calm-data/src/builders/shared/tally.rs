//! What became of the records, by corpus and language.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Serialize;

use crate::corpus::{CorpusRecord, Judged, LanguageTag, Origin, Record};

/// Examples of each step, language and corpus.
const EXAMPLES: usize = 3;

/// Characters of a text of an example.
const EXAMPLE_CHARS: usize = 200;

/// A record that is counted with others of its kind.
pub(in crate::builders) trait Counted: Record {
    /// What is counted apart, besides corpora.
    type Kind: Debug + Copy + Ord;

    fn kind(&self) -> Self::Kind;

    /// What chance depends on: its texts, and what they are.
    fn identity(&self) -> impl Iterator<Item = &str>;
}

impl Counted for CorpusRecord {
    /// One language of a text, two of a pair.
    type Kind = (LanguageTag, Option<LanguageTag>);

    fn kind(&self) -> Self::Kind {
        let second = self.target.as_ref().map(|target| target.language);
        (self.source.language, second)
    }

    fn identity(&self) -> impl Iterator<Item = &str> {
        self.sides()
            .flat_map(|side| [side.language.as_str(), side.text.as_str()])
    }
}

/// Counts of all records, and what the steps dropped, with the first examples of each.
#[derive(Debug)]
pub(in crate::builders) struct Tally<K> {
    /// Names of the steps, in their order.
    steps: Vec<String>,
    counts: BTreeMap<(u32, K), Counts>,
}

/// Records of a corpus and a kind.
#[derive(Debug, Clone, Default)]
pub(in crate::builders) struct Counts {
    pub(in crate::builders) read: u64,
    pub(in crate::builders) kept: u64,
    pub(in crate::builders) bytes_kept: u64,
    steps: BTreeMap<usize, StepCounts>,
}

/// What a step did.
#[derive(Debug, Clone, Default, Serialize)]
pub(in crate::builders) struct StepCounts {
    /// Records that it changed, and that stayed or were dropped later.
    #[serde(skip_serializing_if = "is_zero")]
    changed: u64,
    /// Records that it dropped, by reason.
    dropped: BTreeMap<String, u64>,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    examples: Vec<Example>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A record that a step dropped.
#[derive(Debug, Clone, Serialize)]
struct Example {
    /// Index of its file in the corpus, and its place there.
    file: u32,
    place: u64,
    reason: String,
    /// Its texts, perhaps cut short.
    texts: Vec<String>,
}

impl<K: Copy + Ord> Tally<K> {
    pub(in crate::builders) fn new(steps: Vec<String>) -> Self {
        Self {
            steps,
            counts: BTreeMap::new(),
        }
    }

    /// Counts a record behind the steps that judge it alone.
    pub(in crate::builders) fn judged<R: Counted<Kind = K>>(&mut self, judged: &Judged<R>) {
        let counts = self.counts(&judged.record);
        counts.read += 1;
        let mut changed = judged.changed;
        while changed != 0 {
            let step = changed.trailing_zeros() as usize;
            counts.steps.entry(step).or_default().changed += 1;
            changed &= changed - 1;
        }
        if let Some((step, reason)) = &judged.dropped {
            counts.drop(*step, reason, &judged.record);
        }
    }

    /// Counts a record that a later step dropped.
    pub(in crate::builders) fn dropped<R: Counted<Kind = K>>(
        &mut self,
        step: usize,
        reason: &str,
        record: &R,
    ) {
        self.counts(record).drop(step, reason, record);
    }

    /// Counts a record that is used.
    pub(in crate::builders) fn kept<R: Counted<Kind = K>>(&mut self, record: &R) {
        let counts = self.counts(record);
        counts.kept += 1;
        counts.bytes_kept += record.bytes() as u64;
    }

    fn counts<R: Counted<Kind = K>>(&mut self, record: &R) -> &mut Counts {
        let key = (record.origin().corpus, record.kind());
        self.counts.entry(key).or_default()
    }

    /// All counts: index of the corpus, kind, counts.
    pub(in crate::builders) fn all(&self) -> impl Iterator<Item = (u32, K, &Counts)> {
        self.counts
            .iter()
            .map(|((corpus, kind), counts)| (*corpus, *kind, counts))
    }

    /// Counts of the steps that did something, by their names, in their order.
    pub(in crate::builders) fn steps<'a>(
        &'a self,
        counts: &'a Counts,
    ) -> Vec<(&'a str, &'a StepCounts)> {
        let named = |(step, counts): (&usize, &'a StepCounts)| (self.steps[*step].as_str(), counts);
        counts.steps.iter().map(named).collect()
    }

    /// The same, for a manifest.
    pub(in crate::builders) fn named_steps(&self, counts: &Counts) -> BTreeMap<String, StepCounts> {
        let steps = self.steps(counts).into_iter();
        steps
            .map(|(name, counts)| (name.to_owned(), counts.clone()))
            .collect()
    }

    /// What dropped most of some records, in words.
    pub(in crate::builders) fn causes<'a>(&self, all: impl Iterator<Item = &'a Counts>) -> String {
        let mut sums: BTreeMap<usize, u64> = BTreeMap::new();
        for (step, counts) in all.flat_map(|counts| &counts.steps) {
            *sums.entry(*step).or_default() += counts.dropped();
        }
        let mut sums: Vec<(usize, u64)> = sums.into_iter().filter(|(_, sum)| *sum > 0).collect();
        sums.sort_by_key(|(step, sum)| (std::cmp::Reverse(*sum), *step));
        let parts = sums
            .iter()
            .map(|(step, sum)| format!("`{}` dropped {sum}", self.steps[*step]));
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// Records that each step dropped, of all that dropped some.
pub(in crate::builders) fn dropped<'a>(
    all: impl Iterator<Item = &'a BTreeMap<String, StepCounts>>,
) -> BTreeMap<&'a str, u64> {
    let mut dropped: BTreeMap<&str, u64> = BTreeMap::new();
    for (step, counts) in all.flatten() {
        *dropped.entry(step).or_default() += counts.dropped();
    }
    dropped.retain(|_, count| *count > 0);
    dropped
}

impl StepCounts {
    /// Records that it dropped.
    fn dropped(&self) -> u64 {
        self.dropped.values().sum()
    }
}

impl Counts {
    fn drop(&mut self, step: usize, reason: &str, record: &impl Record) {
        let counts = self.steps.entry(step).or_default();
        *counts.dropped.entry(reason.to_owned()).or_default() += 1;
        if counts.examples.len() < EXAMPLES {
            let Origin { file, place, .. } = record.origin();
            let texts = record.texts().map(cut).collect();
            let reason = reason.to_owned();
            counts.examples.push(Example {
                file,
                place,
                reason,
                texts,
            });
        }
    }
}

/// The beginning of a text.
fn cut(text: &str) -> String {
    match text.char_indices().nth(EXAMPLE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Segment;

    #[test]
    fn what_was_dropped_is_counted_with_its_first_examples() {
        let mut tally = Tally::new(vec!["unicode".to_owned(), "script".to_owned()]);
        let record = |number: u64| CorpusRecord {
            source: Segment {
                language: "npi_Deva".parse().unwrap(),
                text: number.to_string().repeat(300),
            },
            target: None,
            origin: Origin {
                corpus: 2,
                file: 0,
                place: number,
            },
        };
        for number in 1..=9 {
            let dropped = (number > 4).then(|| (1, "not in Deva".into()));
            let judged = Judged {
                record: record(number),
                changed: 1,
                dropped,
            };
            tally.judged(&judged);
            if judged.dropped.is_none() {
                tally.kept(&judged.record);
            }
        }
        let [(2, languages, counts)] = tally.all().collect::<Vec<_>>()[..] else {
            panic!("there is one corpus with one language");
        };
        assert_eq!(languages, ("npi_Deva".parse().unwrap(), None));
        assert_eq!((counts.read, counts.kept, counts.bytes_kept), (9, 4, 1200));
        let steps = tally.steps(counts);
        assert_eq!((steps[0].0, steps[0].1.changed), ("unicode", 9));
        let script = steps[1].1;
        assert_eq!(script.dropped["not in Deva"], 5);
        let places: Vec<u64> = script
            .examples
            .iter()
            .map(|example| example.place)
            .collect();
        assert_eq!(places, [5, 6, 7]);
        assert_eq!(script.examples[0].texts[0].chars().count(), 201);
        assert_eq!(tally.causes([counts].into_iter()), "`script` dropped 5");
    }
}
