//! Texts to examples of token ids.

use std::error::Error;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use super::chat::RenderChat;
use super::words::{Word, words};
use crate::jsonl::PromptTarget;
use crate::{ChatTurn, DataError, Record};

/// A tokenizer, as far as data needs one. Models implement it, since data knows no models.
pub trait Tokenize: Debug + Sync {
    /// Encodes a text. `with_special` adds the tokens that the tokenizer puts around every text.
    ///
    /// # Errors
    ///
    /// The tokenizer's own.
    fn encode(&self, text: &str, with_special: bool) -> Result<EncodedText, TokenizeError>;

    /// Whether an id is that of a special token, which stands for no text.
    fn is_special(&self, id: u32) -> bool;

    /// The file of the tokenizer, on which all ids depend.
    fn json(&self) -> &str;
}

/// Error of a tokenizer.
pub type TokenizeError = Box<dyn Error + Send + Sync>;

/// Tokens of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncodedText {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Each token's bytes in the text, start and end; empty for tokens that stand for no text.
    pub offsets: Vec<(usize, usize)>,
    /// Number of tokens at the beginning that the tokenizer puts before every text.
    pub special: usize,
    /// First word outside a vocabulary of words.
    pub unknown_word: Option<String>,
}

/// An example as token ids: the prompt, then the target, then the end of text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenizedExample {
    /// All ids.
    pub ids: Vec<u32>,
    /// Position of the target, which carries the loss together with the end of text.
    pub target_start: usize,
    /// Words of the prompt; none unless they were asked for ([`Tokenizing::finds_words`]).
    pub words: Vec<Word>,
}

impl TokenizedExample {
    /// An example of which no words are known.
    pub fn new(ids: Vec<u32>, target_start: usize) -> Self {
        Self {
            ids,
            target_start,
            words: Vec::new(),
        }
    }

    /// Ids that a model reads: all but the last, which is only ever a target.
    pub fn inputs(&self) -> &[u32] {
        &self.ids[..self.ids.len().saturating_sub(1)]
    }
}

/// Policy for an example that is longer than the context of the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TooLong {
    /// It is an error.
    #[default]
    Error,
    /// The prompt loses its beginning, behind the tokens that the tokenizer puts before every text.
    /// If the target still does not fit, it loses its end, and the end of text with it. A plain text
    /// loses its end.
    Truncate,
    /// It is left out.
    Skip,
}

/// An example after [`TooLong`] was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fitted {
    /// The example, which fits.
    Whole(TokenizedExample),
    /// The rest of an example, which fits.
    Truncated(TokenizedExample),
    /// A long text in consecutive pieces: the last token of one, which is only a target there, begins
    /// the next.
    Pieces(Vec<TokenizedExample>),
    /// It was too long.
    Skipped,
}

/// How texts become examples.
#[derive(Debug, Clone, Copy)]
pub struct Tokenizing<'a> {
    /// Tokenizer of the models.
    pub tokenizer: &'a dyn Tokenize,
    /// Id of the token that ends every text.
    pub end_of_text: u32,
    /// Largest number of tokens of an example.
    pub context: usize,
    /// Policy for longer ones.
    pub too_long: TooLong,
    /// Whether plain texts of which a model reads more than `context` tokens are cut into pieces, in
    /// which nothing is lost; then the policy is for pairs alone.
    pub cut_texts: bool,
    /// Chat templates of the models, for conversations.
    pub chat: Option<&'a dyn RenderChat>,
    /// Whether the words of prompts are found, which [`Masking`](crate::Masking) hides.
    pub finds_words: bool,
}

impl Tokenizing<'_> {
    /// Tokenises example number `example`.
    ///
    /// A prompt or a plain text gets the tokenizer's own special tokens (beginning of text). Prompt
    /// and target are tokenised apart, so that evaluation, which has only the prompt, sees the same
    /// ids. All tokens of a plain text but the first, which nothing predicts, carry loss. A
    /// conversation is written by chat templates, which hold their special tokens themselves.
    ///
    /// # Errors
    ///
    /// [`DataError::UnknownWord`] if a word is not in the vocabulary, [`DataError::EmptyPrompt`],
    /// [`DataError::EmptyTarget`] or [`DataError::EmptyText`] if one of these has no token,
    /// [`DataError::TooLong`] if the example does not fit and that is an error, or if the context
    /// has no room for a token that carries loss; [`DataError::NoChat`] for a conversation without
    /// chat templates, [`DataError::Tokenizer`] if these refuse it.
    pub fn example(&self, example: usize, record: &Record) -> Result<Fitted, DataError> {
        let (tokenized, special) = self.unfitted(example, record)?;
        match record {
            Record::Text(_) if self.cut_texts => Ok(self.pieces(tokenized)),
            _ => self.fit(example, tokenized, special),
        }
    }

    /// Example number `example` as it is, however long.
    ///
    /// # Errors
    ///
    /// As [`Tokenizing::example`], except for what does not fit.
    pub fn whole(&self, example: usize, record: &Record) -> Result<TokenizedExample, DataError> {
        Ok(self.unfitted(example, record)?.0)
    }

    /// An example of any length, and the number of its leading special tokens.
    fn unfitted(
        &self,
        example: usize,
        record: &Record,
    ) -> Result<(TokenizedExample, usize), DataError> {
        match record {
            Record::PromptTarget(pair) => self.pair(example, pair),
            Record::Text(text) => self.text(example, text),
            Record::Chat(turn) => self.turn(example, turn),
        }
    }

    /// [`Tokenizing::unfitted`] of a prompt and its target.
    fn pair(
        &self,
        example: usize,
        pair: &PromptTarget,
    ) -> Result<(TokenizedExample, usize), DataError> {
        let prompt = encode_nonempty_prompt(self.tokenizer, example, &pair.prompt)?;
        let target = encode(self.tokenizer, example, &pair.target, false)?;
        if target.ids.is_empty() {
            return Err(DataError::EmptyTarget { example });
        }
        let tokenized = TokenizedExample {
            target_start: prompt.ids.len(),
            words: match self.finds_words {
                true => words_of(self.tokenizer, &pair.prompt, &prompt, pair.mask.as_deref()),
                false => Vec::new(),
            },
            ids: [prompt.ids, target.ids, vec![self.end_of_text]].concat(),
        };
        Ok((tokenized, prompt.special))
    }

    /// The same of an answer in a conversation.
    fn turn(
        &self,
        example: usize,
        turn: &ChatTurn,
    ) -> Result<(TokenizedExample, usize), DataError> {
        let chat = self.chat.ok_or(DataError::NoChat { example })?;
        let encoded = chat.encode(turn);
        let encoded = encoded.map_err(|source| DataError::Tokenizer { example, source })?;
        if encoded.prompt.is_empty() {
            return Err(DataError::EmptyPrompt { example });
        }
        let target_start = encoded.prompt.len();
        let ids = [encoded.prompt, encoded.target].concat();
        if ids.len() == target_start {
            return Err(DataError::EmptyTarget { example });
        }
        Ok((TokenizedExample::new(ids, target_start), encoded.special))
    }

    /// The same of a plain text.
    fn text(&self, example: usize, text: &str) -> Result<(TokenizedExample, usize), DataError> {
        let EncodedText {
            mut ids, special, ..
        } = encode(self.tokenizer, example, text, true)?;
        if special == ids.len() {
            return Err(DataError::EmptyText { example });
        }
        // Some tokenizers end every text by themselves.
        if ids.last() != Some(&self.end_of_text) {
            ids.push(self.end_of_text);
        }
        Ok((TokenizedExample::new(ids, 1), special))
    }

    fn pieces(&self, text: TokenizedExample) -> Fitted {
        if text.inputs().len() <= self.context {
            return Fitted::Whole(text);
        }
        let last = text.ids.len() - 1;
        let starts = (0..last).step_by(self.context.max(1));
        let pieces = starts.map(|start| {
            let end = last.min(start + self.context);
            TokenizedExample::new(text.ids[start..=end].to_vec(), 1)
        });
        Fitted::Pieces(pieces.collect())
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
            let words = tokenized.words.iter();
            tokenized.words = words
                .filter_map(|word| word.without(special, cut))
                .collect();
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

/// Tokenises example number `example`. One that does not fit is an error.
///
/// # Errors
///
/// As [`Tokenizing::example`].
pub fn tokenize(
    tokenizer: &dyn Tokenize,
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
        cut_texts: false,
        chat: None,
        finds_words: false,
    };
    let pair = PromptTarget {
        prompt: prompt.to_owned(),
        target: target.to_owned(),
        mask: None,
    };
    match tokenizing.example(example, &Record::PromptTarget(pair))? {
        Fitted::Whole(tokenized) | Fitted::Truncated(tokenized) => Ok(tokenized),
        Fitted::Pieces(_) | Fitted::Skipped => unreachable!("a pair is whole, or an error"),
    }
}

/// Ids that a model reads of the prompt of example number `example`, with the tokenizer's own
/// special tokens.
///
/// # Errors
///
/// [`DataError::UnknownWord`] if a word is not in the vocabulary, [`DataError::EmptyPrompt`] if
/// there is no token.
pub fn encode_prompt(
    tokenizer: &dyn Tokenize,
    example: usize,
    prompt: &str,
) -> Result<Vec<u32>, DataError> {
    encode_nonempty_prompt(tokenizer, example, prompt).map(|encoded| encoded.ids)
}

fn encode_nonempty_prompt(
    tokenizer: &dyn Tokenize,
    example: usize,
    prompt: &str,
) -> Result<EncodedText, DataError> {
    let encoded = encode(tokenizer, example, prompt, true)?;
    match encoded.ids.is_empty() {
        true => Err(DataError::EmptyPrompt { example }),
        false => Ok(encoded),
    }
}

/// Words of a text that was encoded.
fn words_of(
    tokenizer: &dyn Tokenize,
    text: &str,
    encoded: &EncodedText,
    mask: Option<&[[usize; 2]]>,
) -> Vec<Word> {
    let tokens = encoded.ids.iter().zip(&encoded.offsets);
    let tokens = tokens.map(|(id, (start, end))| match tokenizer.is_special(*id) {
        true => *start..*start,
        false => *start..*end,
    });
    words(text, tokens, mask)
}

/// Tokens of every word of a text, as they are behind another word: where words are told by the space
/// before them, a text's first word has other tokens than the same word later on.
pub(crate) fn encode_words(
    tokenizer: &dyn Tokenize,
    example: usize,
    text: &str,
) -> Result<Vec<Vec<u32>>, DataError> {
    let twice = format!("{text} {text}");
    let encoded = encode(tokenizer, example, &twice, false)?;
    let characters = text.chars().count();
    let second = [characters + 1, 2 * characters + 1];
    let words = words_of(tokenizer, &twice, &encoded, Some(&[second]));
    let words = words.into_iter().filter(|word| word.may_be_hidden);
    Ok(words
        .map(|word| encoded.ids[word.tokens()].to_vec())
        .collect())
}

/// Encodes a text. A vocabulary of words without one of its words would train on noise.
fn encode(
    tokenizer: &dyn Tokenize,
    example: usize,
    text: &str,
    with_special: bool,
) -> Result<EncodedText, DataError> {
    let encoded = tokenizer.encode(text, with_special);
    let encoded = encoded.map_err(|source| DataError::Tokenizer { example, source })?;
    match encoded.unknown_word {
        Some(word) => Err(DataError::UnknownWord { example, word }),
        None => Ok(encoded),
    }
}
