//! Examples to batches, in an order that a seed fixes.

use std::sync::{Mutex, PoisonError};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::{Batch, DataError, Examples};

/// The batches of a dataset, epoch after epoch, as a function of their number.
///
/// Every epoch is shuffled anew, then examples of one length are put together so that little
/// padding is computed, then the batches are shuffled. That takes four bytes for each example,
/// besides their index, and two more while an epoch is shuffled.
#[derive(Debug)]
pub struct Batches {
    examples: Examples,
    rows: usize,
    padding: u32,
    seed: u64,
    epoch: Mutex<Option<Epoch>>,
}

/// The order of an epoch.
#[derive(Debug)]
struct Epoch {
    number: usize,
    /// Examples by length; consecutive ones are a batch.
    examples: Vec<u32>,
    /// Order of these batches.
    batches: Vec<u32>,
}

impl Batches {
    /// Batches of `rows` examples; the last one of an epoch may have fewer.
    ///
    /// # Panics
    ///
    /// If there is no example or no row, or if there are more than four thousand million examples.
    pub fn new(examples: Examples, rows: usize, padding: u32, seed: u64) -> Self {
        assert!(
            !examples.is_empty() && rows > 0,
            "batches need examples and rows"
        );
        assert!(
            u32::try_from(examples.len()).is_ok(),
            "examples have numbers of 32 bits"
        );
        Self {
            examples,
            rows,
            padding,
            seed,
            epoch: Mutex::new(None),
        }
    }

    /// All examples, by the numbers that [`Batch::examples`] holds.
    pub fn examples(&self) -> &Examples {
        &self.examples
    }

    /// Batches in an epoch.
    pub fn per_epoch(&self) -> usize {
        self.examples.len().div_ceil(self.rows)
    }

    /// Batch `number`, counted from 0 over all epochs.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] if the examples are in a file that cannot be read any more.
    pub fn batch(&self, number: usize) -> Result<Batch, DataError> {
        let rows = self
            .rows_of(number)
            .into_iter()
            .map(|number| Ok((number as usize, self.examples.get(number as usize)?)))
            .collect::<Result<Vec<_>, DataError>>()?;
        let rows = rows.iter().map(|(number, example)| (*number, example));
        Ok(Batch::collate(rows, self.padding))
    }

    /// Share of the positions of an epoch that is padding, from 0 to 1. It is the same in every
    /// epoch, since shuffling changes which examples of a length meet, but not the lengths.
    pub fn padding_share(&self) -> f64 {
        let inputs = |number| self.examples.tokens_of(number).saturating_sub(1);
        let mut lengths: Vec<usize> = (0..self.examples.len()).map(inputs).collect();
        lengths.sort_unstable();
        let batches = lengths.chunks(self.rows);
        let computed: usize = batches
            .map(|batch| batch.last().map_or(0, |longest| batch.len() * longest))
            .sum();
        let real: usize = lengths.iter().sum();
        (computed - real) as f64 / computed.max(1) as f64
    }

    fn rows_of(&self, number: usize) -> Vec<u32> {
        let (epoch, within) = (number / self.per_epoch(), number % self.per_epoch());
        let mut current = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = match &*current {
            Some(current) if current.number == epoch => current,
            _ => {
                // The old order goes before there is a new one.
                *current = None;
                current.insert(self.order(epoch))
            }
        };
        let mut batches = epoch.examples.chunks(self.rows);
        let rows = batches.nth(epoch.batches[within] as usize);
        rows.expect("there are as many chunks as batches").to_vec()
    }

    fn order(&self, number: usize) -> Epoch {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number as u64);
        let mut examples: Vec<u32> = (0..self.examples.len() as u32).collect();
        examples.shuffle(&mut rng);
        examples.sort_by_key(|&number| self.examples.tokens_of(number as usize));
        let mut batches: Vec<u32> = (0..self.per_epoch() as u32).collect();
        batches.shuffle(&mut rng);
        Epoch {
            number,
            examples,
            batches,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenizedExample;

    fn example(length: usize) -> TokenizedExample {
        TokenizedExample {
            ids: (10..10 + length as u32).collect(),
            target_start: 2,
        }
    }

    fn batches(lengths: impl Iterator<Item = usize>, rows: usize, seed: u64) -> Batches {
        Batches::new(lengths.map(example).collect(), rows, 0, seed)
    }

    fn epoch(batches: &Batches, number: usize) -> Vec<Batch> {
        let numbers = number * batches.per_epoch()..(number + 1) * batches.per_epoch();
        numbers
            .map(|number| batches.batch(number).unwrap())
            .collect()
    }

    #[test]
    fn an_epoch_sees_every_example_once_and_batches_have_one_length() {
        let batches = batches((0..100).map(|i| 3 + i % 2), 10, 1);
        assert_eq!(batches.per_epoch(), 10);
        for number in 0..2 {
            let drawn = epoch(&batches, number);
            assert!(
                drawn
                    .iter()
                    .all(|batch| batch.real.iter().all(|&real| real))
            );
            let mut seen: Vec<usize> = drawn.into_iter().flat_map(|b| b.examples).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..100));
        }
    }

    #[test]
    fn a_batch_is_a_function_of_its_number() {
        let make = |seed| batches((0..50).map(|i| 3 + i % 5), 8, seed);
        let (one, two) = (make(1), make(1));
        let forwards: Vec<_> = (0..20).map(|i| one.batch(i).unwrap()).collect();
        let backwards: Vec<_> = (0..20).rev().map(|i| two.batch(i).unwrap()).collect();
        assert!(forwards.iter().eq(backwards.iter().rev()));
        assert_ne!(
            forwards[0].examples,
            make(2).batch(0).unwrap().examples,
            "another seed, another order"
        );
    }

    /// Runs that were begun before are gone on with, so the order of a seed stays what it is.
    #[test]
    fn the_order_of_a_seed_is_what_it_always_was() {
        let batches = batches((0..11).map(|i| 3 + i % 4), 3, 4);
        let rows = |number| batches.batch(number).unwrap().examples;
        let expected: [&[usize]; 8] = [
            &[4, 0, 8],
            &[6, 2, 10],
            &[7, 3],
            &[9, 1, 5],
            &[0, 8, 4],
            &[6, 10, 2],
            &[3, 7],
            &[1, 9, 5],
        ];
        assert_eq!((0..8).map(rows).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_share_of_padding_is_that_of_all_batches_of_any_epoch() {
        let batches = batches((0..23).map(|i| 3 + i * i % 17), 4, 1);
        for number in 0..2 {
            let drawn = epoch(&batches, number);
            let real = drawn.iter().flat_map(|batch| &batch.real);
            let padding = real.clone().filter(|&&real| !real).count();
            let share = padding as f64 / real.count() as f64;
            assert!(share > 0.0);
            assert_eq!(batches.padding_share(), share);
        }
    }

    #[test]
    fn examples_of_one_length_need_no_padding() {
        assert_eq!(batches((0..9).map(|_| 5), 4, 1).padding_share(), 0.0);
    }
}
