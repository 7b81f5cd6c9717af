//! Token streams of models that do not share a tokenizer.
//!
//! An anchor position sees an augmenting model's own tokens of the text that the anchor's tokens
//! make up to that position: a function of the past alone, whatever the tokenizers do. Over a whole
//! text these token sequences share most of their beginnings, and are merged into a prefix tree.

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
    /// Makes a text of what the anchor reads and writes.
    pub anchor: Tokenizer,
    /// Makes of it what the augmenting model reads.
    pub augmenting: Tokenizer,
    /// The most tokens that the augmenting model can read, where there is such a number.
    pub max_tokens: Option<usize>,
}

/// What every augmenting model reads of one row of anchor tokens.
///
/// In training it is worked out once for each example, see
/// [`FrozenParts::read_rows`](crate::FrozenParts::read_rows).
#[derive(Debug, Clone)]
pub struct RowTokens {
    /// One per augmenting model; none for those that read the anchor's ids.
    pub(crate) of: Vec<Option<AugmentingTokens>>,
}

impl RowTokens {
    /// Of so many augmenting models, all of which read the anchor's ids.
    pub fn of_anchor_ids(models: usize) -> Self {
        Self {
            of: vec![None; models],
        }
    }

    /// Tokens that each augmenting model has to compute; none for those that read the anchor's.
    pub fn node_counts(&self) -> Vec<Option<usize>> {
        let counts = self
            .of
            .iter()
            .map(|tokens| Some(tokens.as_ref()?.ids.len()));
        counts.collect()
    }
}

/// An augmenting model's own tokens of one row, which go on from those that a cache holds.
///
/// Tokens are numbered from the first that is held: `held` of them, one text, then the new ones.
#[derive(Debug, Clone)]
pub(crate) struct AugmentingTokens {
    pub(crate) held: usize,
    /// How many of the held ones any of the new positions sees.
    pub(crate) reached: usize,
    /// Tokens of the longest text that one of the new positions sees.
    pub(crate) longest: usize,
    /// Of the new tokens.
    pub(crate) ids: Vec<u32>,
    /// The token before each new one.
    pub(crate) parents: Vec<Option<u32>>,
    /// For every new anchor token the last one that it sees, with all those before it.
    pub(crate) ends: Vec<Option<u32>>,
    /// The tokens of the whole text.
    pub(crate) last: Vec<u32>,
}

/// How far an augmenting model has read along with one row.
#[derive(Debug, Clone)]
pub(crate) struct RowStream {
    text: AnchorText,
    /// Its tokens of that text.
    path: Vec<u32>,
    /// Makes these tokens.
    own: GrowingText,
    /// What it reads while the anchor reads the prompt, if not the anchor's text.
    prompt: Option<Arc<PromptText>>,
    max_tokens: Option<usize>,
}

impl OwnTokens {
    /// How a model reads an anchor's text; none if it reads the anchor's ids.
    pub fn of(augmenting: &FrozenModel, anchor: &FrozenModel) -> Option<Self> {
        let differs = !augmenting.tokenizer.has_same_ids(&anchor.tokenizer);
        differs.then(|| Self::between(augmenting, anchor))
    }

    /// How a model reads an anchor's text in its own tokens, even if they are the anchor's.
    pub fn between(augmenting: &FrozenModel, anchor: &FrozenModel) -> Self {
        let config = augmenting.config();
        Self {
            anchor: anchor.tokenizer.clone(),
            augmenting: augmenting.tokenizer.clone(),
            max_tokens: config.learnt_positions.then_some(config.context_length),
        }
    }

    /// What the augmenting model reads of a whole row, of which it gets the tokens before `end`.
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

    /// Reads on: `ids` follow the anchor's tokens so far, and what is read of all is the text of
    /// those before `end`.
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

    /// How many bytes it has read of its prompt and of the anchor's text after that, as of the
    /// tokens before `end`.
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

    /// The tokens of what it has read.
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

    /// Forgets all anchor tokens from the `len`-th on. What was read of them is found out of date
    /// when reading goes on.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len < self.ids().len() {
            self.text.truncate(len);
            self.own.start_over();
        }
    }

    /// Forgets what was read of them, too.
    pub(crate) fn forget(&mut self) {
        self.path.clear();
    }

    /// The anchor's tokens so far.
    pub(crate) fn ids(&self) -> &[u32] {
        self.text.ids()
    }
}
