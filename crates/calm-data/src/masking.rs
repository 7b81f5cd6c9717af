//! Masking: words of prompts that one side of a composition is not shown.
//!
//! What an anchor understands by itself needs no bridge, and so no bridge learns it. Where the anchor
//! reads placeholders and the augmenting models the true text, only bridges can tell what stands there.
//! Where the augmenting models read placeholders, bridges tell what is wrong: they learn to say nothing
//! about words that the anchor knows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use calm_files::{Digest, Sha256, hex};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use crate::seeded::seeded;
use crate::tokens::encode_words;
use crate::{DataError, Examples, Tokenize, TokenizedExample};

/// Shares of the words that are hidden, of those that may be, from 0 to 1. No word is hidden from both
/// sides, so that together they are at most 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskingShares {
    /// From the anchor.
    pub anchor: f64,
    /// From the augmenting models.
    pub augmenting: f64,
}

/// Hides words of prompts.
///
/// The words of an example that are hidden, and what is shown in their place, are a function of the
/// seed, of the example's place in its file and of how often it was seen before.
#[derive(Debug, Clone)]
pub struct Masking {
    placeholders: Placeholders,
    seed: u64,
}

impl Masking {
    /// Masking by these placeholders.
    pub fn new(placeholders: Placeholders, seed: u64) -> Self {
        Self { placeholders, seed }
    }

    /// What is shown in place of words.
    pub fn placeholders(&self) -> &Placeholders {
        &self.placeholders
    }

    /// The example as the anchor and as the augmenting models are shown it, with placeholders in place
    /// of words: of those that may be hidden, each is so with the probability of its share. An example
    /// keeps its length. With a smaller share, fewer of the same words are hidden.
    pub(crate) fn show(
        &self,
        example: &TokenizedExample,
        of: [usize; 2],
        shares: MaskingShares,
    ) -> [TokenizedExample; 2] {
        let mut rng = self.rng(of);
        let words = example.words.iter().filter(|word| word.may_be_hidden);
        let draws: Vec<(f64, Range<usize>)> =
            words.map(|word| (rng.random(), word.tokens())).collect();
        let mut shown = |is_hidden: &dyn Fn(f64) -> bool| {
            let mut shown = example.clone();
            for (_, tokens) in draws.iter().filter(|(draw, _)| is_hidden(*draw)) {
                self.placeholders
                    .fill(&mut shown.ids[tokens.clone()], &mut rng);
            }
            shown
        };
        [
            shown(&|draw| draw < shares.anchor),
            shown(&|draw| draw >= 1.0 - shares.augmenting),
        ]
    }

    /// A generator of its own for every example and epoch.
    fn rng(&self, [example, epoch]: [usize; 2]) -> ChaCha8Rng {
        let purpose = u64::from_le_bytes(*b"masking\0");
        seeded([self.seed, purpose, example as u64, epoch as u64])
    }
}

/// Words that are shown in place of others, each as likely as any other. A word of some tokens is
/// replaced by one of as many, or by several one behind the other where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholders {
    /// Different words, the shorter ones first.
    words: Vec<Vec<u32>>,
}

/// Most words of a dataset that serve as placeholders.
const MOST_WORDS: usize = 1 << 16;
/// Largest file of placeholders, in bytes.
const LARGEST_FILE: u64 = 16 << 20;

impl Placeholders {
    /// These words; none if there is none.
    pub fn new(words: impl IntoIterator<Item = Vec<u32>>) -> Option<Self> {
        let words = words.into_iter().filter(|word| !word.is_empty());
        let mut words: Vec<Vec<u32>> = words.collect();
        words.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
        words.dedup();
        (!words.is_empty()).then_some(Self { words })
    }

    /// The words of a file, as they are within a text.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] and [`DataError::File`] for a file that cannot be read or has no word,
    /// [`DataError::Example`] for a line that the tokenizer refuses.
    pub fn of_file(path: &Path, tokenizer: &dyn Tokenize) -> Result<Self, DataError> {
        let bytes = std::fs::metadata(path).map_err(DataError::io(path))?.len();
        if bytes > LARGEST_FILE {
            let reason =
                "is larger than 16 MiB; placeholders need no more than some thousand words";
            return Err(DataError::file(path, reason));
        }
        let text = calm_files::read_text(path).map_err(DataError::io(path))?;
        let mut words = Vec::new();
        let lines = text.lines().enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let found = encode_words(tokenizer, number, line);
            words.extend(found.map_err(|source| DataError::Example {
                path: path.to_owned(),
                source: Box::new(source),
            })?);
        }
        Self::new(words)
            .ok_or_else(|| DataError::file(path, "has no word to show as a placeholder"))
    }

    /// The words of prompts of which nothing may be hidden: text that the anchor does not know. Where
    /// all prompts have something that may be hidden, the words of all of them. None if there is no
    /// word. Of more than 65 536 different words a part that depends on nothing but the words.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] if the examples are in a file that cannot be read any more.
    pub fn of_examples(examples: &Examples) -> Result<Option<Self>, DataError> {
        let (mut of_all, mut of_unmasked) = (Sketch::default(), Sketch::default());
        for example in examples.iter() {
            let example = example?;
            let is_unmasked = example.words.iter().all(|word| !word.may_be_hidden);
            for word in &example.words {
                let ids = &example.ids[word.tokens()];
                of_all.add(ids);
                if is_unmasked {
                    of_unmasked.add(ids);
                }
            }
        }
        let unmasked = Self::new(of_unmasked.words.into_values());
        Ok(unmasked.or_else(|| Self::new(of_all.words.into_values())))
    }

    /// Number of words.
    pub fn count(&self) -> usize {
        self.words.len()
    }

    /// SHA-256 of the words.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for word in &self.words {
            hash.update((word.len() as u64).to_le_bytes());
            word.iter().for_each(|id| hash.update(id.to_le_bytes()));
        }
        hex(hash.finalize())
    }

    /// Puts placeholders in place of the tokens of a word.
    fn fill(&self, tokens: &mut [u32], rng: &mut impl Rng) {
        let up_to = |length: usize| self.words.partition_point(|word| word.len() <= length);
        let of_length = up_to(tokens.len() - 1)..up_to(tokens.len());
        let chosen = match of_length.is_empty() {
            true => 0..self.words.len(),
            false => of_length,
        };
        let mut left = tokens;
        while !left.is_empty() {
            let word = &self.words[rng.random_range(chosen.clone())];
            let (filled, rest) = left.split_at_mut(word.len().min(left.len()));
            filled.copy_from_slice(&word[..filled.len()]);
            left = rest;
        }
    }
}

/// Different words, of too many those with the least hashes.
#[derive(Default)]
struct Sketch {
    words: BTreeMap<u64, Vec<u32>>,
}

impl Sketch {
    fn add(&mut self, word: &[u32]) {
        // FNV-1a: any mixing of the ids will do.
        let bytes = word.iter().flat_map(|id| id.to_le_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let is_full = self.words.len() == MOST_WORDS;
        let is_beyond = self
            .words
            .last_key_value()
            .is_some_and(|(last, _)| hash > *last);
        if is_full && is_beyond || self.words.contains_key(&hash) {
            return;
        }
        self.words.insert(hash, word.to_vec());
        if is_full {
            self.words.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_word_is_replaced_by_one_of_its_length_or_by_several() {
        let words = [vec![1], vec![2], vec![3, 4], vec![5, 6, 7, 8, 9], vec![]];
        let placeholders = Placeholders::new(words).unwrap();
        assert_eq!(placeholders.count(), 4);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut filled = |length| {
            let mut tokens = vec![0; length];
            placeholders.fill(&mut tokens, &mut rng);
            tokens
        };
        let single: Vec<Vec<u32>> = (0..20).map(|_| filled(1)).collect();
        assert!(single.iter().all(|word| [1, 2].contains(&word[0])));
        assert!(single.contains(&vec![1]) && single.contains(&vec![2]));
        assert_eq!([filled(2), filled(5)], [vec![3, 4], vec![5, 6, 7, 8, 9]]);
        let starts = [1, 2, 3, 5];
        for _ in 0..20 {
            let three = filled(3);
            assert!(
                starts.contains(&three[0]) && !three.contains(&0),
                "{three:?}"
            );
        }
        assert_eq!(Placeholders::new([vec![]]), None);
    }

    #[test]
    fn of_too_many_words_those_stay_that_their_hashes_choose() {
        let words = 0..MOST_WORDS as u32 + 500;
        let sketch = |words: &mut dyn Iterator<Item = u32>| {
            let mut sketch = Sketch::default();
            words.for_each(|word| sketch.add(&[word]));
            sketch.words
        };
        let found = sketch(&mut words.clone());
        assert_eq!(found.len(), MOST_WORDS);
        assert_eq!(
            sketch(&mut words.clone().rev().chain(words)),
            found,
            "in any order"
        );
    }
}
