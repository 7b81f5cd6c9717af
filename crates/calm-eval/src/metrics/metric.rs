//! The interface of metrics, and their counts in a corpus.

use rayon::prelude::*;

/// A score of texts against references, computed from whole numbers that add up over sentences.
pub trait Metric: Sync {
    /// Its full name: `chrF1`, never `chrF`.
    fn name(&self) -> String;

    /// All settings, in sacreBLEU's form, for this number of references per hypothesis.
    fn signature(&self, references: usize) -> String;

    /// Length of the statistics of a sentence.
    fn width(&self) -> usize;

    /// Writes the statistics of one sentence into `statistics`, `[width]`, all 0 before.
    fn count(&self, hypothesis: &str, references: &[&str], statistics: &mut [u64]);

    /// Score of a sum of statistics, from 0 to 100.
    fn score(&self, sums: &[u64]) -> f64;
}

/// Why texts cannot be scored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// Hypotheses and references do not belong together.
    #[error(
        "there are {hypotheses} hypotheses and {references} references; every line of one belongs \
         to the same line of the other"
    )]
    Counts {
        /// Hypotheses.
        hypotheses: usize,
        /// References.
        references: usize,
    },
    /// A hypothesis has no reference, not even an empty one.
    #[error("line {line}: there is no reference; give at least an empty one")]
    NoReference {
        /// 1-based line.
        line: usize,
    },
    /// There is nothing to score.
    #[error("there is no text to score, or no reference")]
    Empty,
    /// A setting is out of its range.
    #[error("{setting} is {found}; it must be {expected}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        found: String,
        /// Its range.
        expected: &'static str,
    },
}

/// Statistics of each sentence of a corpus.
pub struct Statistics<'a> {
    metric: &'a dyn Metric,
    /// `[sentences, width]`
    rows: Vec<u64>,
}

/// Sentences that one thread counts at a time.
const CHUNK: usize = 64;

impl<'a> Statistics<'a> {
    /// Counts, on all cores. `references` has one list for each reference of a hypothesis. Texts may
    /// be empty: an empty reference is one of no words, as in sacreBLEU.
    ///
    /// # Errors
    ///
    /// [`ScoreError`] if there are none, or counts differ.
    pub fn of<H: AsRef<str> + Sync, R: AsRef<str> + Sync>(
        metric: &'a dyn Metric,
        hypotheses: &[H],
        references: &[Vec<R>],
    ) -> Result<Self, ScoreError> {
        check(hypotheses.len(), references)?;
        let of_line = |line: usize| references.iter().map(move |texts| texts[line].as_ref());
        Ok(Self::count(metric, hypotheses, of_line))
    }

    /// [`Statistics::of`] where some hypotheses have more references than others: `references` has
    /// one list for each hypothesis. sacreBLEU writes `None` for those that are missing.
    ///
    /// # Errors
    ///
    /// [`ScoreError`] if there are none, counts differ, or a hypothesis has no reference.
    pub fn of_ragged<H: AsRef<str> + Sync, R: AsRef<str> + Sync>(
        metric: &'a dyn Metric,
        hypotheses: &[H],
        references: &[Vec<R>],
    ) -> Result<Self, ScoreError> {
        check(hypotheses.len(), &[references])?;
        if let Some(line) = references.iter().position(Vec::is_empty) {
            return Err(ScoreError::NoReference { line: line + 1 });
        }
        let of_line = |line: usize| references[line].iter().map(AsRef::as_ref);
        Ok(Self::count(metric, hypotheses, of_line))
    }

    /// Counts with the references of each line.
    fn count<'r, H: AsRef<str> + Sync, L: Iterator<Item = &'r str>>(
        metric: &'a dyn Metric,
        hypotheses: &[H],
        references: impl Fn(usize) -> L + Sync,
    ) -> Self {
        let width = metric.width();
        let mut rows = vec![0; hypotheses.len() * width];
        let chunks = rows.par_chunks_mut(CHUNK * width).enumerate();
        chunks.for_each(|(chunk, rows)| {
            let mut of_sentence = Vec::new();
            for (row, statistics) in rows.chunks_mut(width).enumerate() {
                let line = chunk * CHUNK + row;
                of_sentence.clear();
                of_sentence.extend(references(line));
                metric.count(hypotheses[line].as_ref(), &of_sentence, statistics);
            }
        });
        Self { metric, rows }
    }

    /// Statistics that were counted elsewhere, `[sentences, width]`.
    pub(crate) fn of_rows(metric: &'a dyn Metric, rows: Vec<u64>) -> Self {
        Self { metric, rows }
    }

    /// Number of sentences.
    pub fn len(&self) -> usize {
        self.rows.len() / self.metric.width()
    }

    /// Whether there is no sentence: never.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Score of the corpus, which is not the mean of the sentences' scores.
    pub fn corpus(&self) -> f64 {
        self.subset(0..self.len())
    }

    /// Score of a sentence.
    ///
    /// # Panics
    ///
    /// If there is no such sentence.
    pub fn sentence(&self, index: usize) -> f64 {
        self.metric.score(self.row(index))
    }

    /// Score of some sentences as a corpus; they may repeat.
    ///
    /// # Panics
    ///
    /// If there is no such sentence.
    pub fn subset(&self, sentences: impl IntoIterator<Item = usize>) -> f64 {
        self.metric.score(&self.sums(sentences))
    }

    /// Sum of the statistics of some sentences.
    ///
    /// # Panics
    ///
    /// If there is no such sentence.
    pub fn sums(&self, sentences: impl IntoIterator<Item = usize>) -> Vec<u64> {
        let mut sums = vec![0; self.metric.width()];
        for index in sentences {
            add(&mut sums, self.row(index));
        }
        sums
    }

    /// The metric that counted.
    pub fn metric(&self) -> &'a dyn Metric {
        self.metric
    }

    /// Statistics of some sentences; they may repeat.
    ///
    /// # Panics
    ///
    /// If there is no such sentence.
    #[must_use]
    pub fn select(&self, sentences: impl IntoIterator<Item = usize>) -> Self {
        let rows = sentences.into_iter();
        Self {
            metric: self.metric,
            rows: rows
                .flat_map(|index| self.row(index).iter().copied())
                .collect(),
        }
    }

    /// Sums of the statistics of several outputs for the same sentences, such as those of several
    /// seeds. Its score is that of all outputs together.
    ///
    /// # Errors
    ///
    /// [`ScoreError`] if there are none, or they have different numbers of sentences.
    pub fn pooled<'s>(outputs: impl IntoIterator<Item = &'s Self>) -> Result<Self, ScoreError>
    where
        'a: 's,
    {
        let mut outputs = outputs.into_iter();
        let first = outputs.next().ok_or(ScoreError::Empty)?;
        let (metric, mut rows) = (first.metric, first.rows.clone());
        for output in outputs {
            check_pair(first, output)?;
            add(&mut rows, &output.rows);
        }
        Ok(Self { metric, rows })
    }

    /// The same as if every output were there so many times.
    #[must_use]
    pub fn times(mut self, factor: u64) -> Self {
        self.rows.iter_mut().for_each(|count| *count *= factor);
        self
    }

    /// Statistics of a sentence, `[width]`.
    ///
    /// # Panics
    ///
    /// If there is no such sentence.
    pub fn row(&self, index: usize) -> &[u64] {
        let width = self.metric.width();
        &self.rows[index * width..(index + 1) * width]
    }
}

pub(super) fn add(sums: &mut [u64], row: &[u64]) {
    for (sum, count) in sums.iter_mut().zip(row) {
        *sum += count;
    }
}

/// Checks that two belong to the same sentences.
pub(super) fn check_pair(
    baseline: &Statistics<'_>,
    system: &Statistics<'_>,
) -> Result<(), ScoreError> {
    if baseline.len() == system.len() {
        return Ok(());
    }
    Err(ScoreError::Counts {
        hypotheses: system.len(),
        references: baseline.len(),
    })
}

fn check<T>(hypotheses: usize, references: &[impl AsRef<[T]>]) -> Result<(), ScoreError> {
    if hypotheses == 0 || references.is_empty() {
        return Err(ScoreError::Empty);
    }
    for texts in references.iter().map(AsRef::as_ref) {
        if texts.len() != hypotheses {
            return Err(ScoreError::Counts {
                hypotheses,
                references: texts.len(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Chrf;

    #[test]
    fn outputs_of_several_seeds_are_scored_together() {
        let chrf = Chrf::chrf1();
        let references = [vec!["the cat sat", "on the mat"]];
        let of = |texts: [&str; 2]| Statistics::of(&chrf, &texts, &references).unwrap();
        let (one, two) = (of(["the cat", "on a mat"]), of(["a dog sat", ""]));
        let pooled = Statistics::pooled([&one, &two]).unwrap();
        let all = ["the cat", "a dog sat", "on a mat", ""];
        let twice = [vec![
            "the cat sat",
            "the cat sat",
            "on the mat",
            "on the mat",
        ]];
        let expected = Statistics::of(&chrf, &all, &twice).unwrap();
        assert_eq!(pooled.corpus(), expected.corpus());
        assert_eq!(pooled.sentence(0), expected.subset([0, 1]));
        assert_eq!(pooled.select([1]).corpus(), pooled.sentence(1));
        assert_eq!(pooled.select([1, 1]).corpus(), pooled.sentence(1));
        assert_eq!(one.select([0, 1]).times(3).corpus(), one.corpus());
        let short = one.select([0]);
        assert!(Statistics::pooled([&one, &short]).is_err());
        assert_eq!(Statistics::pooled([]).err(), Some(ScoreError::Empty));
    }
}
