//! Texts to token ids, in memory or through a cache.

mod cache;
mod chat;
mod data_file;
mod examples;
mod held_out;
mod tokenize;
mod words;

pub use chat::{EncodedTurn, RenderChat};
pub use data_file::{DataFile, Tokenized};
pub use examples::Examples;
pub use held_out::HeldOutSplit;
pub use tokenize::{
    EncodedText, Fitted, Tokenize, TokenizeError, TokenizedExample, Tokenizing, TooLong,
    encode_prompt, tokenize,
};
pub use words::Word;

pub(crate) use tokenize::encode_words;
