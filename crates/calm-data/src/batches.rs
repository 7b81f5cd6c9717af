//! Examples to batches, in an order that a seed fixes.

use std::sync::{Mutex, PoisonError};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::packing::Packing;
use crate::{Batch, DataError, Examples, Masking, MaskingShares, TokenizedExample};

/// The batches of a dataset, epoch after epoch, as a function of their number.
///
/// A row is an example, or several that are packed into it. Every epoch is shuffled anew, then rows
/// of one length are put together so that little padding is computed, then the batches are shuffled.
/// That takes four bytes for each row, besides the index of the examples, and two more while an
/// epoch is shuffled.
#[derive(Debug)]
pub struct Batches {
    examples: Examples,
    /// None if every row is an example.
    packing: Option<Packing>,
    rows: usize,
    padding: u32,
    seed: u64,
    epoch: Mutex<Option<Epoch>>,
}

/// The order of an epoch.
#[derive(Debug)]
struct Epoch {
    number: usize,
    /// Rows by length; consecutive ones are a batch.
    rows: Vec<u32>,
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
            packing: None,
            rows,
            padding,
            seed,
            epoch: Mutex::new(None),
        }
    }

    /// Batches of `rows` rows, each of as many examples as fit into `length` tokens that are read.
    ///
    /// # Panics
    ///
    /// As [`Batches::new`].
    pub fn packed(examples: Examples, rows: usize, length: usize, padding: u32, seed: u64) -> Self {
        let mut batches = Self::new(examples, rows, padding, seed);
        let numbers = 0..batches.examples.len();
        let tokens: Vec<u32> = numbers.map(|one| batches.inputs_of(one) as u32).collect();
        batches.packing = Some(Packing::new(&tokens, length, seed));
        batches
    }

    /// All examples, by the numbers that [`Batch::examples`] holds.
    pub fn examples(&self) -> &Examples {
        &self.examples
    }

    /// Rows in an epoch: as many as examples, unless these are packed.
    pub fn row_count(&self) -> usize {
        let packed = self.packing.as_ref().map(Packing::rows);
        packed.unwrap_or_else(|| self.examples.len())
    }

    /// Batches in an epoch.
    pub fn per_epoch(&self) -> usize {
        self.row_count().div_ceil(self.rows)
    }

    /// Batch `number`, counted from 0 over all epochs.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] if the examples are in a file that cannot be read any more.
    pub fn batch(&self, number: usize) -> Result<Batch, DataError> {
        Ok(self.collated(&self.examples_of(number)?))
    }

    /// Batch `number`, in which models do not see all words: these shares of those that masking may
    /// hide. What is hidden of an example depends on how often it was seen before, and on nothing
    /// that it shares a batch with.
    ///
    /// # Errors
    ///
    /// As [`Batches::batch`].
    pub fn masked(
        &self,
        number: usize,
        masking: &Masking,
        shares: MaskingShares,
    ) -> Result<Batch, DataError> {
        let rows = self.examples_of(number)?;
        let epoch = number / self.per_epoch();
        let (of_anchor, of_augmenting): (Vec<_>, Vec<_>) = rows
            .iter()
            .map(|row| {
                let shown = row.iter().map(|(number, example)| {
                    let of = [self.examples.place(*number), epoch];
                    let [anchor, augmenting] = masking.show(example, of, shares);
                    ((*number, anchor), (*number, augmenting))
                });
                shown.unzip::<_, _, Vec<_>, Vec<_>>()
            })
            .unzip();
        let mut batch = self.collated(&rows);
        let masked = |rows| Some(self.collated(rows).ids).filter(|shown| *shown != batch.ids);
        let (anchor_ids, augmenting_ids) = (masked(&of_anchor), masked(&of_augmenting));
        (batch.anchor_ids, batch.augmenting_ids) = (anchor_ids, augmenting_ids);
        Ok(batch)
    }

    /// The examples of the rows of a batch, with their numbers.
    fn examples_of(&self, number: usize) -> Result<Vec<Vec<(usize, TokenizedExample)>>, DataError> {
        let rows = self.rows_of(number).into_iter();
        rows.map(|row| self.row(row as usize)).collect()
    }

    fn collated(&self, rows: &[Vec<(usize, TokenizedExample)>]) -> Batch {
        let rows = rows.iter().map(|row| {
            let examples = row.iter().map(|(number, example)| (*number, example));
            examples.collect::<Vec<_>>()
        });
        Batch::collate_rows(&rows.collect::<Vec<_>>(), self.padding)
    }

    /// The examples of a row, with their numbers.
    fn row(&self, row: usize) -> Result<Vec<(usize, TokenizedExample)>, DataError> {
        let read = |number: usize| Ok((number, self.examples.get(number)?));
        match &self.packing {
            None => Ok(vec![read(row)?]),
            Some(packing) => {
                let numbers = packing.row(row).iter();
                numbers.map(|number| read(*number as usize)).collect()
            }
        }
    }

    /// Tokens of an example that a model reads.
    fn inputs_of(&self, example: usize) -> usize {
        self.examples.tokens_of(example).saturating_sub(1)
    }

    /// Tokens of a row that a model reads.
    fn inputs_of_row(&self, row: usize) -> usize {
        match &self.packing {
            None => self.inputs_of(row),
            Some(packing) => {
                let examples = packing.row(row).iter();
                examples.map(|one| self.inputs_of(*one as usize)).sum()
            }
        }
    }

    /// Share of the positions of an epoch that is padding, from 0 to 1. It is the same in every
    /// epoch, since shuffling changes which rows of a length meet, but not the lengths.
    pub fn padding_share(&self) -> f64 {
        let rows = 0..self.row_count();
        let mut lengths: Vec<usize> = rows.map(|row| self.inputs_of_row(row)).collect();
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
        let mut batches = epoch.rows.chunks(self.rows);
        let rows = batches.nth(epoch.batches[within] as usize);
        rows.expect("there are as many chunks as batches").to_vec()
    }

    fn order(&self, number: usize) -> Epoch {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number as u64);
        let mut rows: Vec<u32> = (0..self.row_count() as u32).collect();
        rows.shuffle(&mut rng);
        rows.sort_by_key(|&row| self.inputs_of_row(row as usize));
        let mut batches: Vec<u32> = (0..self.per_epoch() as u32).collect();
        batches.shuffle(&mut rng);
        Epoch {
            number,
            rows,
            batches,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenizedExample;

    fn example(length: usize) -> TokenizedExample {
        TokenizedExample::new((10..10 + length as u32).collect(), 2)
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
    fn an_epoch_of_packed_rows_sees_every_example_once() {
        let lengths = || (0..100).map(|i| 2 + i * i % 17);
        let packed = Batches::packed(lengths().map(example).collect(), 4, 32, 0, 1);
        assert!(packed.padding_share() < 0.03, "{}", packed.padding_share());
        assert!(packed.row_count() < 30);
        for number in 0..2 {
            let drawn = epoch(&packed, number);
            assert!(drawn.iter().all(|batch| batch.length <= 32));
            let count = |of: fn(&Batch) -> usize| drawn.iter().map(of).sum::<usize>();
            // Nothing predicts the first two tokens of these examples.
            let targets: usize = lengths().map(|length| length - 2).sum();
            assert_eq!(count(Batch::target_tokens), targets);
            assert_eq!(count(|batch| batch.starts.len()), 100 - packed.row_count());
            let mut seen: Vec<usize> = drawn.into_iter().flat_map(|b| b.examples).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..100));
        }
    }

    #[test]
    fn examples_of_one_length_need_no_padding() {
        assert_eq!(batches((0..9).map(|_| 5), 4, 1).padding_share(), 0.0);
    }
}
