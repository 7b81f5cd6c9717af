//! Texts that augmenting models read of examples: in their own tokens, and renderings of conversations.

use std::sync::Arc;

use calm_compose::{FrozenParts, OwnTokens, PromptTexts, RowTokens};
use calm_data::{ChatTurn, DataError, Examples, TokenizedExample};
use calm_models::ModelError;

use crate::{ChatTokenizer, TrainError};

/// An example, and the texts that augmenting models read of its prompt in renderings of their own.
pub(crate) struct PromptedExample {
    pub(crate) example: TokenizedExample,
    pub(crate) texts: PromptTexts,
}

impl ChatTokenizer {
    /// Texts that augmenting models read of the prompt of example `number`, of which `kept` tokens are left.
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

/// Tokens that the augmenting models read of every example, if any of them has tokens of its own.
/// They are held in memory, unlike the examples. `prompts` has the texts of the examples' prompts;
/// nothing if no prompt has any.
pub(crate) fn read_all(
    parts: &FrozenParts,
    examples: &Examples,
    prompts: &[PromptTexts],
) -> Result<Option<Vec<RowTokens>>, TrainError> {
    const PART: usize = 1024;

    let own = readers(parts, &prompts.iter().collect::<Vec<_>>());
    if own.iter().all(Option::is_none) {
        return Ok(None);
    }
    let mut examples = examples.iter().enumerate();
    let mut rows = Vec::with_capacity(examples.size_hint().0);
    loop {
        let part = examples.by_ref().take(PART).map(|(number, example)| {
            let texts = prompts.get(number).cloned().unwrap_or_default();
            let example = example?;
            Ok(PromptedExample { example, texts })
        });
        let part: Vec<_> = part.collect::<Result<_, DataError>>()?;
        if part.is_empty() {
            return Ok(Some(rows));
        }
        rows.extend(read(parts, &part, &own)?);
    }
}
