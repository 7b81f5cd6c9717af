//! Examples that are kept away from training, to tell what was learnt from what is known by heart.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::{DataError, Examples};

/// Fixes the choice. It is not the seed of a run, so that all runs on the same data hold out the
/// same, and can be compared.
const SEED: u64 = 0x5eed;

/// Examples in two parts.
#[derive(Debug)]
pub struct HeldOutSplit {
    /// Examples to train on, in their order.
    pub train: Examples,
    /// Examples that are held out, in their order.
    pub held_out: Examples,
    /// Their numbers before.
    pub numbers: Vec<u32>,
    /// Copies of held-out texts, which are in neither part.
    pub copies: usize,
}

/// The texts of a dataset: consecutive examples that are pieces of one, each different text once.
struct Texts {
    /// Number of the text that each example belongs to.
    of: Vec<u32>,
    /// Examples of each different text where it occurs for the first time.
    firsts: Vec<Range<u32>>,
}

impl Examples {
    /// Holds out as many different texts as `count` says of their number; none if that is 0.
    ///
    /// All pieces of a text are on one side, and a text that is held out is not trained on, however
    /// often it occurs. `piece_tokens` are those of a whole piece where long texts were cut.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] if the examples are in a file that cannot be read any more.
    pub fn hold_out(
        &self,
        piece_tokens: Option<usize>,
        count: impl FnOnce(usize) -> usize,
    ) -> Result<Option<HeldOutSplit>, DataError> {
        let texts = Texts::of(self, piece_tokens)?;
        let count = count(texts.firsts.len());
        if count == 0 {
            return Ok(None);
        }
        let mut order: Vec<u32> = (0..texts.firsts.len() as u32).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(SEED));
        order.truncate(count);
        order.sort_unstable();
        let (mut train, mut held_out, mut copies) = (Vec::new(), Vec::new(), 0);
        for (number, text) in (0u32..).zip(&texts.of) {
            let is_held_out = order.binary_search(text).is_ok();
            match is_held_out {
                false => train.push(number),
                true if texts.firsts[*text as usize].contains(&number) => held_out.push(number),
                true => copies += 1,
            }
        }
        Ok(Some(HeldOutSplit {
            train: self.chosen(train),
            held_out: self.chosen(held_out.clone()),
            numbers: held_out,
            copies,
        }))
    }
}

impl Texts {
    fn of(examples: &Examples, piece_tokens: Option<usize>) -> Result<Self, DataError> {
        let mut texts = Self {
            of: Vec::with_capacity(examples.len()),
            firsts: Vec::new(),
        };
        let mut known: HashMap<u64, u32> = HashMap::new();
        let mut hasher = DefaultHasher::new();
        let mut begin = 0;
        for number in 0..examples.len() as u32 {
            let example = examples.get(number as usize)?;
            (&example.ids, example.target_start).hash(&mut hasher);
            let goes_on = match piece_tokens {
                Some(whole) if example.ids.len() == whole => {
                    examples.begins_with(number as usize + 1, example.ids.last())?
                }
                _ => false,
            };
            if goes_on {
                continue;
            }
            let occurrence = begin..number + 1;
            begin = number + 1;
            let text = match known.entry(std::mem::take(&mut hasher).finish()) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    texts.firsts.push(occurrence.clone());
                    *new.insert(texts.firsts.len() as u32 - 1)
                }
            };
            texts.of.extend(occurrence.map(|_| text));
        }
        Ok(texts)
    }
}

impl Examples {
    /// Whether example `number` may be the next piece of a text that ends with this token. To take
    /// two texts for one does no harm.
    fn begins_with(&self, number: usize, last: Option<&u32>) -> Result<bool, DataError> {
        if number >= self.len() {
            return Ok(false);
        }
        let next = self.get(number)?;
        Ok(next.target_start == 1 && next.ids.first() == last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenizedExample;

    fn examples(ids: impl IntoIterator<Item = Vec<u32>>) -> Examples {
        let example = |ids| TokenizedExample::new(ids, 1);
        ids.into_iter().map(example).collect()
    }

    fn numbers(examples: &Examples) -> Vec<u32> {
        examples.iter().map(|one| one.unwrap().ids[0]).collect()
    }

    #[test]
    fn the_choice_depends_on_the_data_alone() {
        let all = examples((0..100).map(|n| vec![n, 7]));
        let split = all.hold_out(None, |texts| texts / 20).unwrap().unwrap();
        assert_eq!(
            split.numbers,
            [4, 21, 35, 73, 95],
            "as runs of before chose"
        );
        assert_eq!(numbers(&split.held_out), split.numbers);
        let train = numbers(&split.train);
        assert_eq!(train.len(), 95);
        assert!(train.is_sorted() && !train.contains(&split.numbers[0]));
        assert_eq!(split.train.tokens(), 190);
        assert!(all.hold_out(None, |_| 0).unwrap().is_none());
    }

    #[test]
    fn copies_of_what_is_held_out_are_not_trained_on() {
        let all = examples(
            (0..60)
                .map(|n| vec![n % 20, 7])
                .chain([vec![3, 7], vec![3, 7]]),
        );
        let split = all.hold_out(None, |texts| {
            assert_eq!(texts, 20, "different ones");
            10
        });
        let split = split.unwrap().unwrap();
        let held_out = numbers(&split.held_out);
        assert_eq!(held_out.len(), 10, "each once");
        assert!(
            numbers(&split.train)
                .iter()
                .all(|id| !held_out.contains(id))
        );
        assert_eq!(split.train.len() + 10 + split.copies, 62);
    }

    #[test]
    fn pieces_of_a_text_stay_together() {
        // Twelve texts of three pieces: each begins with the last token of the one before.
        let pieces = (0..12).flat_map(|text| {
            let at = 10 * text;
            [
                vec![at, 1, at + 1],
                vec![at + 1, 2, at + 2],
                vec![at + 2, 3],
            ]
        });
        let all = examples(pieces);
        let split = all.hold_out(Some(3), |texts| {
            assert_eq!(texts, 12);
            4
        });
        let split = split.unwrap().unwrap();
        assert_eq!(split.held_out.len(), 12);
        let texts: Vec<u32> = numbers(&split.held_out).iter().map(|id| id / 10).collect();
        assert!(
            texts.chunks(3).all(|three| three[0] == three[2]),
            "{texts:?}"
        );
        assert_eq!(split.train.len(), 24);
    }
}
