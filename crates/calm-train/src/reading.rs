//! What augmenting models read of examples: their own tokens, and renderings of conversations.

use std::sync::Arc;

use calm_compose::{FrozenParts, OwnTokens, PromptTexts, RowTokens};
use calm_data::{ChatTurn, DataError, TokenizedExample};
use calm_models::ModelError;

use crate::ChatTokenizer;

/// An example, and the texts that augmenting models read of its prompt in renderings of their own.
pub(crate) struct PromptedExample {
    pub(crate) example: TokenizedExample,
    pub(crate) texts: PromptTexts,
}

impl ChatTokenizer {
    /// What augmenting models read of the prompt of example `number`, of which `kept` tokens are left.
    pub(crate) fn texts(
        &self,
        number: usize,
        turn: &ChatTurn,
        kept: usize,
    ) -> Result<PromptTexts, DataError> {
        let prompt = self.prompt(turn).map_err(|source| DataError::Tokenizer {
            example: number,
            source,
        })?;
        let special = self.special_of(&prompt.ids).min(kept);
        // A prompt that was too long has lost its beginning.
        let lost = prompt.ids.len().saturating_sub(kept);
        let texts = prompt.texts.into_iter();
        let texts = texts.map(|text| text.map(|text| Arc::new(text.without(special, lost))));
        Ok(texts.collect())
    }
}

/// For each augmenting model the tokenizers by which it reads texts in tokens of its own: because its
/// vocabulary is another, or because it has a rendering of its own of some prompt.
pub(crate) fn readers(parts: &FrozenParts, prompts: &[&PromptTexts]) -> Vec<Option<OwnTokens>> {
    let models = parts.augmenting.iter().enumerate();
    let readers = models.map(|(index, model)| {
        let of_prompt = || {
            let mut texts = prompts
                .iter()
                .filter_map(|texts| texts.get(index)?.as_ref());
            texts.next().map(|text| text.tokens().clone())
        };
        model.tokens.clone().or_else(of_prompt)
    });
    readers.collect()
}

/// Tokens that the augmenting models read of these examples.
pub(crate) fn read(
    parts: &FrozenParts,
    examples: &[PromptedExample],
    own: &[Option<OwnTokens>],
) -> Result<Vec<RowTokens>, ModelError> {
    let rows = examples.iter().map(|prompted| {
        let example = &prompted.example;
        (example.inputs(), example.target_start, &prompted.texts)
    });
    parts.read_rows_in(&rows.collect::<Vec<_>>(), own)
}
