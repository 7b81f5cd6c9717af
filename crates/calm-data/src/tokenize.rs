//! From texts to token ids.

use serde::Serialize;
use tokenizers::{Encoding, Tokenizer};

use crate::DataError;
use crate::jsonl::{PromptTarget, Record};

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

/// What is done with an example that is longer than the models can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TooLong {
    /// It is an error.
    #[default]
    Error,
    /// The beginning of its prompt is cut off, behind the tokens that the tokenizer puts before
    /// every text: what stands nearest to the target stays. Only if the target does not fit even
    /// so, its end is cut off, and the end of text with it. A plain text loses its end.
    Truncate,
    /// It is left out.
    Skip,
}

/// What became of an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fitted {
    /// It fits as it is.
    Whole(TokenizedExample),
    /// What is left of it fits.
    Truncated(TokenizedExample),
    /// It was too long.
    Skipped,
}

/// How texts become examples.
#[derive(Debug, Clone, Copy)]
pub struct Tokenizing<'a> {
    /// What makes tokens of a text.
    pub tokenizer: &'a Tokenizer,
    /// Id of the token that ends every text.
    pub end_of_text: u32,
    /// The most tokens that an example may have.
    pub context: usize,
    /// What is done with one that has more.
    pub too_long: TooLong,
}

impl Tokenizing<'_> {
    /// Tokenises example number `example`.
    ///
    /// A prompt or a plain text gets the tokenizer's own special tokens (beginning of text); prompt
    /// and target are tokenised apart, so that evaluation, which has only the prompt, sees the same
    /// ids. Of a plain text, all tokens behind the first carry loss: nothing predicts that one.
    ///
    /// # Errors
    ///
    /// [`DataError::UnknownWord`] if a word is not in the vocabulary, [`DataError::EmptyPrompt`],
    /// [`DataError::EmptyTarget`] or [`DataError::EmptyText`] if one of these has no token,
    /// [`DataError::TooLong`] if the example does not fit and that is an error, or if the context
    /// has no room for a token that carries loss.
    pub fn example(&self, example: usize, record: &Record) -> Result<Fitted, DataError> {
        let (tokenized, special) = match record {
            Record::PromptTarget(pair) => self.pair(example, pair)?,
            Record::Text(text) => self.text(example, text)?,
        };
        self.fit(example, tokenized, special)
    }

    /// An example of any length, and how many special tokens it begins with.
    fn pair(
        &self,
        example: usize,
        pair: &PromptTarget,
    ) -> Result<(TokenizedExample, usize), DataError> {
        let prompt = prompt_encoding(self.tokenizer, example, &pair.prompt)?;
        let target = encode(self.tokenizer, example, &pair.target, false)?;
        if target.is_empty() {
            return Err(DataError::EmptyTarget { example });
        }
        let target_start = prompt.len();
        let ids = [prompt.get_ids(), target.get_ids(), &[self.end_of_text]].concat();
        Ok((TokenizedExample { ids, target_start }, special(&prompt)))
    }

    /// The same of a plain text.
    fn text(&self, example: usize, text: &str) -> Result<(TokenizedExample, usize), DataError> {
        let encoding = encode(self.tokenizer, example, text, true)?;
        let special = special(&encoding);
        if special == encoding.len() {
            return Err(DataError::EmptyText { example });
        }
        let mut ids = encoding.get_ids().to_vec();
        // Some tokenizers end every text by themselves.
        if ids.last() != Some(&self.end_of_text) {
            ids.push(self.end_of_text);
        }
        let target_start = 1;
        Ok((TokenizedExample { ids, target_start }, special))
    }

    fn fit(
        &self,
        example: usize,
        mut tokenized: TokenizedExample,
        special: usize,
    ) -> Result<Fitted, DataError> {
        let (tokens, context) = (tokenized.ids.len(), self.context);
        // Something has to stand before the target.
        let shortest_prompt = special.clamp(1, tokenized.target_start);
        if tokens <= context {
            Ok(Fitted::Whole(tokenized))
        } else if self.too_long == TooLong::Skip {
            Ok(Fitted::Skipped)
        } else if self.too_long == TooLong::Truncate && shortest_prompt < context {
            let cut = (tokens - context).min(tokenized.target_start - shortest_prompt);
            tokenized.ids.drain(special..special + cut);
            tokenized.ids.truncate(context);
            tokenized.target_start -= cut;
            Ok(Fitted::Truncated(tokenized))
        } else {
            Err(DataError::TooLong {
                example,
                tokens,
                context,
            })
        }
    }
}

/// Tokenises example number `example`, which is an error if it is too long; see
/// [`Tokenizing::example`].
///
/// # Errors
///
/// As [`Tokenizing::example`].
pub fn tokenize(
    tokenizer: &Tokenizer,
    example: usize,
    prompt: &str,
    target: &str,
    end_of_text: u32,
    context: usize,
) -> Result<TokenizedExample, DataError> {
    let tokenizing = Tokenizing {
        tokenizer,
        end_of_text,
        context,
        too_long: TooLong::Error,
    };
    let pair = PromptTarget {
        prompt: prompt.to_owned(),
        target: target.to_owned(),
    };
    match tokenizing.example(example, &Record::PromptTarget(pair))? {
        Fitted::Whole(tokenized) | Fitted::Truncated(tokenized) => Ok(tokenized),
        Fitted::Skipped => unreachable!("nothing is skipped"),
    }
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
    Ok(prompt_encoding(tokenizer, example, prompt)?
        .get_ids()
        .to_vec())
}

fn prompt_encoding(
    tokenizer: &Tokenizer,
    example: usize,
    prompt: &str,
) -> Result<Encoding, DataError> {
    let encoding = encode(tokenizer, example, prompt, true)?;
    if encoding.is_empty() {
        return Err(DataError::EmptyPrompt { example });
    }
    Ok(encoding)
}

/// How many of the first tokens the tokenizer puts before every text.
fn special(encoding: &Encoding) -> usize {
    let mask = encoding.get_special_tokens_mask().iter();
    mask.take_while(|&&special| special == 1).count()
}

fn encode(
    tokenizer: &Tokenizer,
    example: usize,
    text: &str,
    with_special: bool,
) -> Result<Encoding, DataError> {
    let encoding = tokenizer
        .encode(text, with_special)
        .map_err(|error| DataError::Tokenizer {
            example,
            reason: error.to_string(),
        })?;
    reject_unknown(tokenizer, &encoding, text, example)?;
    Ok(encoding)
}

/// A word-level vocabulary without the word would train on noise; say which one it is.
fn reject_unknown(
    tokenizer: &Tokenizer,
    encoding: &Encoding,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batch;
    use crate::kv::{EOS, KeyPool, KvConfig, KvDataset, PAD, Task};

    fn tokenizer(dataset: &KvDataset) -> Tokenizer {
        Tokenizer::from_bytes(dataset.tokenizer_json()).unwrap()
    }

    fn words() -> Tokenizer {
        tokenizer(&KvDataset::new(KvConfig::laptop()).unwrap())
    }

    /// One that puts nothing before a text.
    fn bare() -> Tokenizer {
        let mut bare = words();
        bare.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
        bare
    }

    fn pair(prompt: &str, target: &str) -> Record {
        Record::PromptTarget(PromptTarget {
            prompt: prompt.to_owned(),
            target: target.to_owned(),
        })
    }

    /// The tokens that an example has with this context, up to its target and from there.
    fn fitted(
        tokenizer: &Tokenizer,
        record: &Record,
        context: usize,
        too_long: TooLong,
    ) -> Result<Option<[String; 2]>, DataError> {
        let tokenizing = Tokenizing {
            tokenizer,
            end_of_text: tokenizer.token_to_id(EOS).unwrap(),
            context,
            too_long,
        };
        let example = match tokenizing.example(3, record)? {
            Fitted::Whole(example) | Fitted::Truncated(example) => example,
            Fitted::Skipped => return Ok(None),
        };
        let text = |ids: &[u32]| {
            let words = ids.iter().map(|id| tokenizer.id_to_token(*id).unwrap());
            words.collect::<Vec<String>>().join(" ")
        };
        let (prompt, target) = example.ids.split_at(example.target_start);
        Ok(Some([text(prompt), text(target)]))
    }

    #[test]
    fn loss_is_on_the_target_and_the_end_of_text() {
        let tokenizer = words();
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
    fn loss_is_on_all_of_a_plain_text_that_something_predicts() {
        let text = Record::Text("1 + 2".to_owned());
        let whole = |tokenizer: &Tokenizer| fitted(tokenizer, &text, 64, TooLong::Error).unwrap();
        assert_eq!(whole(&words()).unwrap(), ["<s>", "1 + 2 </s>"]);
        assert_eq!(whole(&bare()).unwrap(), ["1", "+ 2 </s>"]);
        let ended = Record::Text("1 + 2 </s>".to_owned());
        let once = fitted(&words(), &ended, 64, TooLong::Error).unwrap();
        assert_eq!(once.unwrap(), ["<s>", "1 + 2 </s>"]);
    }

    #[test]
    fn texts_that_cannot_be_learnt_are_refused() {
        let tokenizer = words();
        let refuse = |record: &Record, context: usize| {
            let refused = fitted(&tokenizer, record, context, TooLong::Error);
            refused.unwrap_err().to_string()
        };
        assert!(refuse(&pair("1 + zzzzzzz =", "3"), 64).contains("\"zzzzzzz\" is not one token"));
        assert!(refuse(&pair("1 =", ""), 64).contains("example 3: the target has no token"));
        let empty = Record::Text(" ".to_owned());
        assert!(refuse(&empty, 64).contains("example 3: the text has no token"));
        assert!(refuse(&pair("1 + 2 =", "3"), 6).contains("7 tokens do not fit the context of 6"));
    }

    #[test]
    fn what_is_cut_off_is_what_stands_farthest_from_the_target() {
        let cut = |tokenizer: &Tokenizer, context| {
            let record = pair("1 + 2 =", "3 0 0 0");
            let found = fitted(tokenizer, &record, context, TooLong::Truncate);
            found.map(|found| found.unwrap())
        };
        let words = words();
        assert_eq!(cut(&words, 10).unwrap(), ["<s> 1 + 2 =", "3 0 0 0 </s>"]);
        assert_eq!(cut(&words, 9).unwrap(), ["<s> + 2 =", "3 0 0 0 </s>"]);
        assert_eq!(cut(&words, 7).unwrap(), ["<s> =", "3 0 0 0 </s>"]);
        assert_eq!(cut(&words, 6).unwrap(), ["<s>", "3 0 0 0 </s>"]);
        assert_eq!(cut(&words, 5).unwrap(), ["<s>", "3 0 0 0"]);
        assert_eq!(cut(&words, 2).unwrap(), ["<s>", "3"]);
        assert!(matches!(cut(&words, 1), Err(DataError::TooLong { .. })));
        let bare = bare();
        assert_eq!(cut(&bare, 6).unwrap(), ["=", "3 0 0 0 </s>"]);
        assert_eq!(cut(&bare, 3).unwrap(), ["=", "3 0"]);
    }

    #[test]
    fn a_plain_text_loses_its_end() {
        let text = Record::Text("1 + 2 =".to_owned());
        let cut = |context| fitted(&words(), &text, context, TooLong::Truncate).unwrap();
        assert_eq!(cut(6).unwrap(), ["<s>", "1 + 2 = </s>"]);
        assert_eq!(cut(4).unwrap(), ["<s>", "1 + 2"]);
    }

    #[test]
    fn what_is_too_long_may_be_left_out() {
        let kept = |context| fitted(&words(), &pair("1 =", "3"), context, TooLong::Skip).unwrap();
        assert!(kept(5).is_some());
        assert_eq!(kept(4), None);
    }

    #[test]
    fn a_first_token_that_nothing_predicts_is_refused() {
        let refused = tokenize(&bare(), 4, "", "3 0 0 0", 2, 64);
        assert!(matches!(
            refused,
            Err(DataError::EmptyPrompt { example: 4 })
        ));
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
