//! A beginning that many prompts share.

use super::batch::feed;
use super::check_prompt;
use crate::decoder::UNDONE;
use crate::{Cache as _, CausalLm, ModelError, PaddingMask};

/// A beginning that many prompts share, such as worked examples, computed once.
///
/// [`Session::with_prefix`](crate::Session::with_prefix) uses it for the prompts that begin with it.
#[derive(Debug, Clone)]
pub struct SharedPrefix<M: CausalLm> {
    ids: Vec<u32>,
    /// Of one row.
    cache: M::Cache,
}

impl<M: CausalLm> SharedPrefix<M> {
    /// The tokens that all prompts begin with, short of the last one of any; none if there is no such
    /// token, or the model reads no prompt in parts.
    ///
    /// # Errors
    ///
    /// [`ModelError`] as for [`generate`](crate::generate).
    pub fn of(model: &M, prompts: &[Vec<u32>]) -> Result<Option<Self>, ModelError> {
        let mut numbered = prompts.iter().enumerate();
        numbered.try_for_each(|(row, prompt)| check_prompt(model, row, prompt))?;
        let ids = common_beginning(prompts).to_vec();
        if ids.is_empty() || !model.reads_in_parts(&ids.clone().into()) {
            return Ok(None);
        }
        let mut cache = model.new_cache(1);
        feed(model, &ids, &PaddingMask::none(1, ids.len()), &mut cache)?;
        Ok(Some(Self { ids, cache }))
    }

    /// These tokens, with the cache of one row that holds them.
    pub(super) fn held(ids: Vec<u32>, cache: M::Cache) -> Self {
        Self { ids, cache }
    }

    /// As much of it as this text begins with, short of the text's last token; none if that takes
    /// forgetting more than the last few tokens, which a cache may be unable to.
    pub fn shared_with(mut self, text: &[u32]) -> Option<Self> {
        let same = self.ids.iter().zip(text).take_while(|(a, b)| a == b);
        let shared = same.count().min(text.len().saturating_sub(1));
        let forgotten = self.ids.len() - shared;
        if shared == 0 || forgotten > UNDONE {
            return None;
        }
        if forgotten > 0 {
            self.cache.truncate(self.cache.len() - forgotten);
            self.ids.truncate(shared);
        }
        Some(self)
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no tokens, which never holds.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether a text can go on from it.
    pub(super) fn serves(&self, model: &M, text: &[u32]) -> bool {
        text.len() > self.ids.len()
            && text.starts_with(&self.ids)
            && model.cache_serves(self.cache.filled_at(), text.len())
    }

    /// A cache of so many rows, each of which begins with it.
    pub(super) fn rows(&self, count: usize) -> M::Cache {
        let mut cache = self.cache.clone();
        cache.select_rows(&vec![0; count]);
        cache
    }
}

fn common_beginning(prompts: &[Vec<u32>]) -> &[u32] {
    let Some(first) = prompts.first() else {
        return &[];
    };
    let shared = |prompt: &Vec<u32>| {
        let same = first.iter().zip(prompt).take_while(|(a, b)| a == b);
        same.count().min(prompt.len().saturating_sub(1))
    };
    let shared = prompts.iter().map(shared).min().unwrap_or(0);
    &first[..shared]
}
