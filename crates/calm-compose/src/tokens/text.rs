//! The text that the anchor's tokens make.

use calm_models::{ModelError, TextStream, Tokenizer};

/// The tokens of one row, and their text as far as it is whole characters.
///
/// Decoded token by token, so that every token's text is a function of the tokens up to it, and is
/// the same in a full pass and in decoding.
#[derive(Debug, Clone)]
pub(super) struct AnchorText {
    tokenizer: Tokenizer,
    stream: TextStream,
    ids: Vec<u32>,
    text: String,
    /// The text's length after each token.
    lengths: Vec<usize>,
}

impl AnchorText {
    pub(super) fn new(tokenizer: &Tokenizer) -> Self {
        Self {
            tokenizer: tokenizer.clone(),
            stream: TextStream::new(tokenizer),
            ids: Vec::new(),
            text: String::new(),
            lengths: Vec::new(),
        }
    }

    /// Adds a token.
    pub(super) fn push(&mut self, id: u32) -> Result<(), ModelError> {
        let more = self.stream.push(id)?;
        self.ids.push(id);
        self.text.push_str(&more);
        self.lengths.push(self.text.len());
        Ok(())
    }

    /// The text's length after so many tokens, or after all if there are fewer.
    pub(super) fn length_after(&self, tokens: usize) -> usize {
        match tokens.min(self.lengths.len()).checked_sub(1) {
            None => 0,
            Some(last) => self.lengths[last],
        }
    }

    /// Forgets all tokens from the `len`-th on.
    pub(super) fn truncate(&mut self, len: usize) {
        let mut shorter = Self::new(&self.tokenizer);
        for id in &self.ids[..len] {
            shorter.push(*id).expect("it was decoded before");
        }
        *self = shorter;
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }
}
