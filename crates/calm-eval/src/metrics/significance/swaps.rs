//! Differences of systems that are swapped at random, sentence by sentence.

use std::collections::BTreeMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::super::metric::{Metric, ScoreError, Statistics, check_pair};

/// Bits of a random number, one for each sentence.
const BITS: usize = 64;

/// Two systems on the same sentences.
///
/// A swap moves a row of differences from one sum to the other. Sentences in which the systems are
/// alike move nothing. Many sentences may move the same, such as one right answer: of these only the
/// number of swaps counts. Everything is added up as whole numbers, so that no order matters;
/// differences wrap around.
pub(super) struct Swaps<'a> {
    metric: &'a dyn Metric,
    /// Sums of the baseline, and of the system.
    sums: [Vec<u64>; 2],
    /// The system's statistics minus those of the baseline, `[sentences, width]`.
    differences: Vec<u64>,
    /// Sentences that are moved one by one, as bits.
    single: Vec<u64>,
    /// A difference, and its sentences as bits.
    many: Vec<(Vec<u64>, Vec<u64>)>,
}

/// Memory of a trial.
pub(super) struct Buffer {
    bits: Vec<u64>,
    moved: Vec<u64>,
    sums: Vec<u64>,
}

impl<'a> Swaps<'a> {
    pub(super) fn new(
        baseline: &Statistics<'a>,
        system: &Statistics<'a>,
    ) -> Result<Self, ScoreError> {
        check_pair(baseline, system)?;
        let (metric, count) = (baseline.metric(), baseline.len());
        let words = count.div_ceil(BITS);
        let mut differences = Vec::with_capacity(count * metric.width());
        let mut alike: BTreeMap<Vec<u64>, Vec<usize>> = BTreeMap::new();
        for index in 0..count {
            let pair = system.row(index).iter().zip(baseline.row(index));
            let difference: Vec<u64> = pair.map(|(a, b)| a.wrapping_sub(*b)).collect();
            differences.extend(&difference);
            if difference.iter().any(|count| *count != 0) {
                alike.entry(difference).or_default().push(index);
            }
        }
        let mut single = vec![0; words];
        let mut many = Vec::new();
        for (difference, sentences) in alike {
            // To count bits takes a look at every word.
            if sentences.len() > words.max(2) {
                let mut mask = vec![0; words];
                sentences.iter().for_each(|&index| set(&mut mask, index));
                many.push((difference, mask));
            } else {
                sentences.iter().for_each(|&index| set(&mut single, index));
            }
        }
        Ok(Self {
            metric,
            sums: [baseline, system].map(|statistics| statistics.sums(0..count)),
            differences,
            single,
            many,
        })
    }

    pub(super) fn buffer(&self) -> Buffer {
        let width = self.metric.width();
        Buffer {
            bits: vec![0; self.single.len()],
            moved: vec![0; width],
            sums: vec![0; width],
        }
    }

    /// Score of the system minus that of the baseline after random swaps.
    pub(super) fn difference(&self, buffer: &mut Buffer, random: &mut ChaCha8Rng) -> f64 {
        let width = self.metric.width();
        let Buffer { bits, moved, sums } = buffer;
        bits.fill_with(|| random.random());
        moved.fill(0);
        for (word, (bits, mask)) in bits.iter().zip(&self.single).enumerate() {
            let mut left = bits & mask;
            while left != 0 {
                let index = word * BITS + left.trailing_zeros() as usize;
                let row = &self.differences[index * width..(index + 1) * width];
                for (moved, count) in moved.iter_mut().zip(row) {
                    *moved = moved.wrapping_add(*count);
                }
                left &= left - 1;
            }
        }
        for (difference, mask) in &self.many {
            let swapped = bits.iter().zip(mask);
            let swapped: u32 = swapped.map(|(bits, mask)| (bits & mask).count_ones()).sum();
            for (moved, count) in moved.iter_mut().zip(difference) {
                *moved = moved.wrapping_add(count.wrapping_mul(u64::from(swapped)));
            }
        }
        let [baseline, system] = &self.sums;
        let mut score = |from: &[u64], signed: fn(u64, u64) -> u64| {
            for ((sum, from), moved) in sums.iter_mut().zip(from).zip(&*moved) {
                *sum = signed(*from, *moved);
            }
            self.metric.score(sums)
        };
        score(system, u64::wrapping_sub) - score(baseline, u64::wrapping_add)
    }
}

fn set(bits: &mut [u64], index: usize) {
    bits[index / BITS] |= 1 << (index % BITS);
}

#[cfg(test)]
mod tests {
    use super::super::stream;
    use super::*;
    use crate::metrics::metric::add;
    use crate::{AnswerMatch, Chrf};

    /// Swaps rows as they are.
    fn by_rows(baseline: &Statistics<'_>, system: &Statistics<'_>, random: &mut ChaCha8Rng) -> f64 {
        let metric = baseline.metric();
        let mut sums = [vec![0; metric.width()], vec![0; metric.width()]];
        let mut bits = 0_u64;
        for index in 0..baseline.len() {
            if index % BITS == 0 {
                bits = random.random();
            }
            let swap = (bits >> (index % BITS) & 1) as usize;
            add(&mut sums[swap], baseline.row(index));
            add(&mut sums[1 - swap], system.row(index));
        }
        metric.score(&sums[1]) - metric.score(&sums[0])
    }

    fn check(baseline: &Statistics<'_>, system: &Statistics<'_>) {
        let swaps = Swaps::new(baseline, system).unwrap();
        let mut buffer = swaps.buffer();
        for trial in 0..50 {
            let found = swaps.difference(&mut buffer, &mut stream(3, trial));
            let expected = by_rows(baseline, system, &mut stream(3, trial));
            assert_eq!(found, expected, "trial {trial}");
        }
    }

    #[test]
    fn moved_differences_give_the_sums_of_swapped_rows() {
        let chrf = Chrf::chrf1();
        let references = [(0..150).map(|i| format!("text {i}")).collect()];
        let texts = |wrong: usize| -> Vec<String> {
            let text = |i: usize| match (i % 7 < wrong, i % 3) {
                (false, _) => format!("text {i}"),
                (true, 0) => String::new(),
                (true, _) => format!("{i} or so"),
            };
            (0..150).map(text).collect()
        };
        let [a, b] = [2, 5].map(|wrong| Statistics::of(&chrf, &texts(wrong), &references).unwrap());
        check(&a, &b);
        check(&a, &a);
        let share = AnswerMatch::Exact { lowercase: false };
        for (length, seeds) in [(1, 1), (64, 1), (65, 2), (1000, 5)] {
            let rows = |by: u64| (0..length).flat_map(move |i| [i * by % 7 % (seeds + 1), seeds]);
            let [a, b] = [3, 5].map(|by| Statistics::of_rows(&share, rows(by).collect()));
            check(&a, &b);
        }
    }
}
