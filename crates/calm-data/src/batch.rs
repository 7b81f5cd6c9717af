//! From texts to batches of token ids.

use std::sync::Mutex;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tokenizers::Tokenizer;

use crate::DataError;

/// An example as token ids: the prompt, then the target, then the end of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizedExample {
    /// All ids.
    pub ids: Vec<u32>,
    /// Where the target begins; it carries the loss together with the end of text.
    pub target_start: usize,
}

impl TokenizedExample {
    /// What a model reads of it: all tokens but the last, which is only ever a target.
    pub fn inputs(&self) -> &[u32] {
        &self.ids[..self.ids.len().saturating_sub(1)]
    }
}

/// Tokenises example number `example`.
///
/// The prompt gets the tokenizer's own special tokens (beginning of text); prompt and target are
/// tokenised apart, so that evaluation, which has only the prompt, sees the same ids.
///
/// # Errors
///
/// [`DataError::UnknownWord`] if a word is not in the vocabulary, [`DataError::EmptyPrompt`] or
/// [`DataError::EmptyTarget`] if one of the two has no token, [`DataError::TooLong`] if both do
/// not fit `context`.
pub fn tokenize(
    tokenizer: &Tokenizer,
    example: usize,
    prompt: &str,
    target: &str,
    end_of_text: u32,
    context: usize,
) -> Result<TokenizedExample, DataError> {
    let mut ids = encode_prompt(tokenizer, example, prompt)?;
    let target_start = ids.len();
    ids.extend(encode(tokenizer, example, target, false)?);
    if ids.len() == target_start {
        return Err(DataError::EmptyTarget { example });
    }
    ids.push(end_of_text);
    if ids.len() > context {
        return Err(DataError::TooLong {
            example,
            tokens: ids.len(),
            context,
        });
    }
    Ok(TokenizedExample { ids, target_start })
}

/// The ids that a model reads of the prompt of example number `example`, with the tokenizer's own
/// special tokens.
///
/// # Errors
///
/// [`DataError::UnknownWord`] if a word is not in the vocabulary, [`DataError::EmptyPrompt`] if
/// there is no token.
pub fn encode_prompt(
    tokenizer: &Tokenizer,
    example: usize,
    prompt: &str,
) -> Result<Vec<u32>, DataError> {
    let ids = encode(tokenizer, example, prompt, true)?;
    if ids.is_empty() {
        return Err(DataError::EmptyPrompt { example });
    }
    Ok(ids)
}

fn encode(
    tokenizer: &Tokenizer,
    example: usize,
    text: &str,
    with_special: bool,
) -> Result<Vec<u32>, DataError> {
    let encoding = tokenizer
        .encode(text, with_special)
        .map_err(|error| DataError::Tokenizer {
            example,
            reason: error.to_string(),
        })?;
    reject_unknown(tokenizer, &encoding, text, example)?;
    Ok(encoding.get_ids().to_vec())
}

/// A word-level vocabulary without the word would train on noise; say which one it is.
fn reject_unknown(
    tokenizer: &Tokenizer,
    encoding: &tokenizers::Encoding,
    text: &str,
    example: usize,
) -> Result<(), DataError> {
    let Some(unknown) = tokenizer.token_to_id(crate::kv::UNKNOWN) else {
        return Ok(());
    };
    match encoding.get_ids().iter().position(|&id| id == unknown) {
        Some(position) => {
            let (start, end) = encoding.get_offsets()[position];
            let word = text.get(start..end).unwrap_or_default().to_owned();
            Err(DataError::UnknownWord { example, word })
        }
        None => Ok(()),
    }
}

/// Rows of token ids, right-padded to one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// `[rows, length]`, row-major.
    pub ids: Vec<u32>,
    /// `[rows, length]`, `false` at padding.
    pub real: Vec<bool>,
    /// Number of rows.
    pub rows: usize,
    /// Tokens in a row, padding included.
    pub length: usize,
    /// Positions of the flattened `[rows * length]` whose next token carries loss.
    pub loss_positions: Vec<u32>,
    /// That next token, for each of them.
    pub targets: Vec<u32>,
    /// Which examples the rows are.
    pub examples: Vec<usize>,
}

impl Batch {
    /// Puts examples, each with its number, into one batch.
    ///
    /// The last token of a row is only ever a target, so a row has one position fewer than its
    /// example has tokens. A target at the very beginning has no position that predicts its first
    /// token, which then carries no loss.
    pub fn collate<'a>(
        examples: impl IntoIterator<Item = (usize, &'a TokenizedExample)>,
        padding: u32,
    ) -> Self {
        let rows: Vec<_> = examples.into_iter().collect();
        let length = rows
            .iter()
            .map(|(_, row)| row.inputs().len())
            .max()
            .unwrap_or(0);
        let mut batch = Self {
            ids: Vec::with_capacity(rows.len() * length),
            real: Vec::with_capacity(rows.len() * length),
            rows: rows.len(),
            length,
            loss_positions: Vec::new(),
            targets: Vec::new(),
            examples: rows.iter().map(|(number, _)| *number).collect(),
        };
        for (row, (_, example)) in rows.iter().enumerate() {
            batch.ids.extend(example.inputs());
            batch.real.resize(batch.ids.len(), true);
            batch.ids.resize((row + 1) * length, padding);
            batch.real.resize((row + 1) * length, false);
            for target in example.target_start.max(1)..example.ids.len() {
                batch
                    .loss_positions
                    .push((row * length + target - 1) as u32);
                batch.targets.push(example.ids[target]);
            }
        }
        batch
    }

    /// The real ids of every row.
    pub fn texts(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.rows).map(|row| {
            let places = row * self.length..(row + 1) * self.length;
            let real = self.real[places.clone()].iter().filter(|real| **real);
            &self.ids[places.start..places.start + real.count()]
        })
    }

    /// Tokens of every row's prompt: those up to the first position whose next token carries loss,
    /// or all.
    pub fn prompts(&self) -> impl Iterator<Item = usize> {
        let mut ends: Vec<usize> = self.texts().map(<[u32]>::len).collect();
        for position in self.loss_positions.iter().rev() {
            let position = *position as usize;
            ends[position / self.length] = position % self.length + 1;
        }
        ends.into_iter()
    }

    /// Share of the positions that is padding, from 0 to 1: what is computed for nothing.
    pub fn padding_share(&self) -> f64 {
        let padding = self.real.iter().filter(|&&real| !real).count();
        padding as f64 / self.real.len().max(1) as f64
    }

    /// Number of tokens that carry loss.
    pub fn target_tokens(&self) -> usize {
        self.targets.len()
    }
}

/// The batches of a dataset, epoch after epoch, as a function of their number.
///
/// Every epoch is shuffled anew, then examples of one length are put together so that little
/// padding is computed, then the batches are shuffled.
#[derive(Debug)]
pub struct Batches {
    examples: Vec<TokenizedExample>,
    rows: usize,
    padding: u32,
    seed: u64,
    epoch: Mutex<Option<(usize, Vec<Vec<usize>>)>>,
}

impl Batches {
    /// Batches of `rows` examples; the last one of an epoch may have fewer.
    ///
    /// # Panics
    ///
    /// If there is no example or no row.
    pub fn new(examples: Vec<TokenizedExample>, rows: usize, padding: u32, seed: u64) -> Self {
        assert!(
            !examples.is_empty() && rows > 0,
            "batches need examples and rows"
        );
        Self {
            examples,
            rows,
            padding,
            seed,
            epoch: Mutex::new(None),
        }
    }

    /// All examples, in the order of the numbers that batches name them by.
    pub fn examples(&self) -> &[TokenizedExample] {
        &self.examples
    }

    /// Batches in an epoch.
    pub fn per_epoch(&self) -> usize {
        self.examples.len().div_ceil(self.rows)
    }

    /// Batch `number`, counted from 0 over all epochs.
    pub fn batch(&self, number: usize) -> Batch {
        let (epoch, within) = (number / self.per_epoch(), number % self.per_epoch());
        let mut order = self
            .epoch
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let batches = match &*order {
            Some((current, batches)) if *current == epoch => batches,
            _ => &order.insert((epoch, self.order(epoch))).1,
        };
        let rows = batches[within]
            .iter()
            .map(|&index| (index, &self.examples[index]));
        Batch::collate(rows, self.padding)
    }

    fn order(&self, epoch: usize) -> Vec<Vec<usize>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(epoch as u64);
        let mut indices: Vec<usize> = (0..self.examples.len()).collect();
        indices.shuffle(&mut rng);
        indices.sort_by_key(|&index| self.examples[index].ids.len());
        let mut batches: Vec<Vec<usize>> =
            indices.chunks(self.rows).map(<[usize]>::to_vec).collect();
        batches.shuffle(&mut rng);
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{EOS, KeyPool, KvConfig, KvDataset, PAD, Task};

    fn tokenizer(dataset: &KvDataset) -> Tokenizer {
        Tokenizer::from_bytes(dataset.tokenizer_json()).unwrap()
    }

    fn example(length: usize) -> TokenizedExample {
        TokenizedExample {
            ids: (10..10 + length as u32).collect(),
            target_start: 2,
        }
    }

    #[test]
    fn loss_is_on_the_target_and_the_end_of_text() {
        let dataset = KvDataset::new(KvConfig::laptop()).unwrap();
        let tokenizer = tokenizer(&dataset);
        let id = |word: &str| tokenizer.token_to_id(word).unwrap();
        let example = tokenize(&tokenizer, 0, "1 + 2 =", "3 0 0 0", id(EOS), 64).unwrap();
        let batch = Batch::collate([(0, &example)], id(PAD));
        assert_eq!(
            (batch.rows, batch.length),
            (1, 9),
            "<s> 1 + 2 = 3 0 0 0, and </s> is a target"
        );
        assert_eq!(batch.loss_positions, [4, 5, 6, 7, 8]);
        assert_eq!(batch.targets, ["3", "0", "0", "0", EOS].map(id));
    }

    #[test]
    fn rows_are_padded_on_the_right() {
        let batch = Batch::collate([(5, &example(3)), (7, &example(4))], 0);
        assert_eq!(batch.ids, [10, 11, 0, 10, 11, 12]);
        assert_eq!(batch.real, [true, true, false, true, true, true]);
        assert_eq!(batch.loss_positions, [1, 4, 5]);
        assert_eq!(batch.targets, [12, 12, 13]);
        assert_eq!(batch.examples, [5, 7]);
        assert_eq!(batch.padding_share(), 1.0 / 6.0);
    }

    #[test]
    fn texts_that_cannot_be_learnt_are_refused() {
        let dataset = KvDataset::new(KvConfig::laptop()).unwrap();
        let tokenizer = tokenizer(&dataset);
        let refuse = |prompt: &str, target: &str, context: usize| {
            tokenize(&tokenizer, 3, prompt, target, 2, context)
                .unwrap_err()
                .to_string()
        };
        assert!(refuse("1 + zzzzzzz =", "3", 64).contains("\"zzzzzzz\" is not one token"));
        assert!(refuse("1 =", "", 64).contains("example 3: the target has no token"));
        assert!(refuse("1 + 2 =", "3", 6).contains("7 tokens do not fit the context of 6"));
    }

    #[test]
    fn a_first_token_that_nothing_predicts_is_refused_or_carries_no_loss() {
        let mut bare = tokenizer(&KvDataset::new(KvConfig::laptop()).unwrap());
        bare.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
        let refused = tokenize(&bare, 4, "", "3 0 0 0", 2, 64);
        assert!(matches!(
            refused,
            Err(DataError::EmptyPrompt { example: 4 })
        ));

        let example = TokenizedExample {
            ids: vec![7, 8, 9],
            target_start: 0,
        };
        let batch = Batch::collate([(0, &example)], 0);
        assert_eq!(
            (batch.loss_positions, batch.targets),
            (vec![0, 1], vec![8, 9])
        );
        let nothing = TokenizedExample {
            ids: vec![],
            target_start: 0,
        };
        assert_eq!(Batch::collate([(0, &nothing)], 0).padding_share(), 0.0);
    }

    #[test]
    fn an_epoch_sees_every_example_once_and_batches_have_one_length() {
        let examples: Vec<_> = (0..100).map(|i| example(3 + i % 2)).collect();
        let batches = Batches::new(examples, 10, 0, 1);
        assert_eq!(batches.per_epoch(), 10);
        for epoch in 0..2 {
            let drawn: Vec<Batch> = (0..10).map(|i| batches.batch(epoch * 10 + i)).collect();
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
        let make = |seed| Batches::new((0..50).map(|i| example(3 + i % 5)).collect(), 8, 0, seed);
        let (one, two) = (make(1), make(1));
        let forwards: Vec<_> = (0..20).map(|i| one.batch(i)).collect();
        let backwards: Vec<_> = (0..20).rev().map(|i| two.batch(i)).collect();
        assert!(forwards.iter().eq(backwards.iter().rev()));
        assert_ne!(forwards[0].examples, make(2).batch(0).examples);
    }

    #[test]
    fn real_examples_survive_tokenising() {
        let dataset = KvDataset::new(KvConfig::laptop()).unwrap();
        let tokenizer = tokenizer(&dataset);
        let drawn = dataset.example(Task::KvSubstitution, KeyPool::HeldIn, 0);
        let example = tokenize(&tokenizer, 0, &drawn.prompt, &drawn.target, 2, 64).unwrap();
        let target = &example.ids[example.target_start..example.ids.len() - 1];
        assert_eq!(tokenizer.decode(target, true).unwrap(), drawn.target);
    }
}
