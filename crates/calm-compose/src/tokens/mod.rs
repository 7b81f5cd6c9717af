//! Tokens of augmenting models that do not share the anchor's tokenizer.
//!
//! For each anchor position, the text of the anchor's tokens up to it is tokenised by the augmenting
//! model's tokenizer. So the anchor sees a function of the past alone, whatever the tokenizers do. The
//! token sequences of one text share most of their beginnings, and are merged into a prefix tree.

mod batch;
mod path;
mod prompt;
mod text;

use std::sync::Arc;

use calm_models::{FrozenModel, GrowingText, ModelError, Tokenizer};

pub(crate) use self::batch::{BatchTokens, TreeBatch};
use self::path::PathTree;
pub use self::prompt::{PromptText, Rendering};
use self::text::AnchorText;

/// The tokenizers of an augmenting model that does not read the anchor's token ids.
#[derive(Debug, Clone)]
pub struct OwnTokens {
    /// The anchor's tokenizer, which decodes its tokens.
    pub anchor: Tokenizer,
    /// The augmenting model's tokenizer, which encodes that text.
    pub augmenting: Tokenizer,
    /// Length limit of the augmenting model in tokens, if it has one.
    pub max_tokens: Option<usize>,
}

/// The tokens that augmenting models read of one text, made by
/// [`FrozenParts::read_rows`](crate::FrozenParts::read_rows). Training makes them once per example.
#[derive(Debug, Clone)]
pub struct RowTokens {
    /// One per augmenting model; none for those that read the anchor's ids.
    pub(crate) of: Vec<Option<AugmentingTokens>>,
}

impl RowTokens {
    /// For this number of augmenting models that all read the anchor's ids.
    pub fn of_anchor_ids(models: usize) -> Self {
        Self {
            of: vec![None; models],
        }
    }

    /// Number of tokens that each augmenting model computes; none for those that read the anchor's
    /// ids.
    pub fn node_counts(&self) -> Vec<Option<usize>> {
        let counts = self
            .of
            .iter()
            .map(|tokens| Some(tokens.as_ref()?.ids.len()));
        counts.collect()
    }
}

/// An augmenting model's own tokens of one row, after those that a cache holds.
///
/// The held tokens, which are one text, have the numbers below `held`; the new ones follow.
#[derive(Debug, Clone)]
pub(crate) struct AugmentingTokens {
    pub(crate) held: usize,
    /// Number of held tokens that any new anchor position sees.
    pub(crate) reached: usize,
    /// Tokens of the longest text that a new anchor position sees.
    pub(crate) longest: usize,
    /// Ids of the new tokens.
    pub(crate) ids: Vec<u32>,
    /// Number of the token before each new one in its text.
    pub(crate) parents: Vec<Option<u32>>,
    /// For every new anchor position, the last token of the text that it sees.
    pub(crate) ends: Vec<Option<u32>>,
    /// Numbers of the tokens of the whole text.
    pub(crate) last: Vec<u32>,
}

/// An augmenting model's reading of one row as the text grows.
#[derive(Debug, Clone)]
pub(crate) struct RowStream {
    text: AnchorText,
    /// Its tokens of that text.
    path: Vec<u32>,
    /// Tokenizes the text as it grows.
    own: GrowingText,
    /// Text that replaces the anchor's prompt, if any.
    prompt: Option<Arc<PromptText>>,
    max_tokens: Option<usize>,
}

impl OwnTokens {
    /// The tokenizers of two models; none if their vocabularies are the same, so that the augmenting
    /// model reads the anchor's ids, for each of which it has an embedding.
    pub fn of(augmenting: &FrozenModel, anchor: &FrozenModel) -> Option<Self> {
        let sizes = [augmenting, anchor].map(|model| model.config().vocab_size);
        let embeds_all = augmenting.tokenizer.is_embedded() || sizes[0] >= sizes[1];
        let is_same = augmenting.tokenizer.has_same_ids(&anchor.tokenizer) && embeds_all;
        (!is_same).then(|| Self::between(augmenting, anchor))
    }

    /// The tokenizers of two models, even if their vocabularies are the same.
    pub fn between(augmenting: &FrozenModel, anchor: &FrozenModel) -> Self {
        Self {
            anchor: anchor.tokenizer.clone(),
            augmenting: augmenting.tokenizer.clone(),
            max_tokens: augmenting.config().position_limit(),
        }
    }

    /// Own tokens of a whole row. The anchor's tokens from the `end`-th on are not read.
    pub(crate) fn read(&self, ids: &[u32], end: usize) -> Result<AugmentingTokens, ModelError> {
        RowStream::new(self).read(ids, end)
    }
}

impl RowStream {
    pub(crate) fn new(tokens: &OwnTokens) -> Self {
        Self {
            text: AnchorText::new(&tokens.anchor),
            path: Vec::new(),
            own: GrowingText::new(&tokens.augmenting, true),
            prompt: None,
            max_tokens: tokens.max_tokens,
        }
    }

    /// A row whose first tokens are a prompt that the augmenting model reads in markup of its own.
    pub(crate) fn of_prompt(prompt: &Arc<PromptText>) -> Self {
        let tokens = prompt.tokens();
        Self {
            // Templates write special tokens themselves.
            own: GrowingText::new(&tokens.augmenting, false),
            prompt: Some(prompt.clone()),
            ..Self::new(tokens)
        }
    }

    /// Own tokens of `ids`, which follow the anchor's tokens so far. Of all of these, the tokens from
    /// the `end`-th on are not read.
    pub(crate) fn read(&mut self, ids: &[u32], end: usize) -> Result<AugmentingTokens, ModelError> {
        let mut tree = PathTree::new(&self.path);
        let mut ends = Vec::with_capacity(ids.len());
        let mut read = None;
        for id in ids {
            self.text.push(*id)?;
            // Special tokens and parts of characters leave the text as it is.
            let now = Some(self.lengths(end));
            if read != now {
                let ids = self.encode(end)?;
                self.check_length(ids.len())?;
                tree.follow(&ids);
                read = now;
            }
            ends.push(tree.end());
        }
        if !ends.is_empty() {
            self.path = tree.path_ids();
        }
        Ok(tree.into_tokens(ends))
    }

    fn check_length(&self, tokens: usize) -> Result<(), ModelError> {
        match self.max_tokens {
            Some(context_length) if tokens > context_length => Err(ModelError::TextTooLong {
                tokens,
                context_length,
            }),
            _ => Ok(()),
        }
    }

    /// Bytes that are read of the prompt's own text, and of the anchor's text behind the prompt.
    fn lengths(&self, end: usize) -> (usize, usize) {
        let tokens = self.text.ids().len().min(end);
        let all = self.text.length_after(tokens);
        match &self.prompt {
            None => (0, all),
            Some(prompt) => {
                let of_prompt = self.text.length_after(prompt.token_count().min(tokens));
                (prompt.read_after(tokens), all - of_prompt)
            }
        }
    }

    /// The tokens of the text that is read.
    fn encode(&mut self, end: usize) -> Result<Vec<u32>, ModelError> {
        let text = &self.text.text()[..self.text.length_after(end)];
        let (of_prompt, after) = self.lengths(end);
        match &self.prompt {
            None => self.own.encode(text),
            Some(prompt) => {
                let prompt = &prompt.text()[..of_prompt];
                let text = prompt.to_owned() + &text[text.len() - after..];
                self.own.encode(&text)
            }
        }
    }

    /// Forgets all anchor tokens from the `len`-th on. Own tokens are compared with the text when
    /// reading goes on.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len < self.ids().len() {
            self.text.truncate(len);
            self.own.start_over();
        }
    }

    /// Forgets the own tokens as well.
    pub(crate) fn forget(&mut self) {
        self.path.clear();
    }

    /// The anchor's tokens so far.
    pub(crate) fn ids(&self) -> &[u32] {
        self.text.ids()
    }
}
