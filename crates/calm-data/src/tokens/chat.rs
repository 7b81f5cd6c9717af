//! Conversations to token ids. Models implement it, since data knows no chat templates.

use std::fmt::Debug;

use crate::{ChatTurn, TokenizeError};

/// Writes conversations as the prompts that a model was trained on.
pub trait RenderChat: Debug + Sync {
    /// Tokens of the messages before an answer, as generating reads them, and of the answer.
    ///
    /// # Errors
    ///
    /// If a model has no chat template, or it refuses the conversation.
    fn encode(&self, turn: &ChatTurn) -> Result<EncodedTurn, TokenizeError>;

    /// Everything that the tokens depend on besides the tokenizer.
    fn key(&self) -> String;

    /// Whether the conversations are needed once more, after they were tokenised.
    fn is_asked_again(&self) -> bool {
        false
    }
}

/// Tokens of an answer and of what stands before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncodedTurn {
    /// The prompt, with the beginning of an answer.
    pub prompt: Vec<u32>,
    /// Number of its tokens that stand before every text.
    pub special: usize,
    /// The answer, with the token that ends it.
    pub target: Vec<u32>,
}
