//! Masking of a run: its settings, once the data is there.

use std::sync::Arc;

use calm_data::{Examples, Masking, MaskingShares, Placeholders};
use calm_models::Tokenizer;
use serde::{Deserialize, Serialize};

use super::config::{MaskingConfig, PlaceholderSource, is_zero};
use crate::{AnchorMasking, DataTokenizer, TrainError};

/// Masking, as `composition.json` has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskingRecord {
    /// Share of the words that were hidden from the anchor, of those that might be.
    pub share: f64,
    /// The same of the augmenting models.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub augmenting_share: f64,
    /// Share of the steps, the last ones, over which that of the anchor fell to none.
    pub decay: f64,
    /// Field of the parts of prompts that might be hidden.
    pub field: String,
    /// Where the placeholders came from.
    pub placeholders: String,
    /// Number of placeholders.
    pub placeholder_words: usize,
    /// SHA-256 of the placeholders' tokens.
    pub placeholders_sha256: String,
    /// Words of all prompts.
    pub words: u64,
    /// Those of them that might be hidden.
    pub maskable_words: u64,
}

/// What the outcome of a run depends on.
#[derive(Debug, Clone, Serialize)]
pub(super) struct MaskingIdentity {
    share: f64,
    #[serde(skip_serializing_if = "is_zero")]
    augmenting_share: f64,
    decay: f64,
    field: String,
    placeholders_sha256: String,
}

impl MaskingRecord {
    pub(super) fn identity(&self) -> MaskingIdentity {
        MaskingIdentity {
            share: self.share,
            augmenting_share: self.augmenting_share,
            decay: self.decay,
            field: self.field.clone(),
            placeholders_sha256: self.placeholders_sha256.clone(),
        }
    }
}

impl MaskingConfig {
    /// Masking of these training examples; none if it is off.
    pub(super) fn open(
        &self,
        examples: &Examples,
        tokenizer: &Tokenizer,
        seed: u64,
    ) -> Result<Option<(AnchorMasking, MaskingRecord)>, TrainError> {
        let Some(field) = self.field() else {
            return Ok(None);
        };
        let (mut words, mut maskable_words) = (0, 0);
        for example in examples.iter() {
            let example = example?;
            words += example.words.len() as u64;
            let maskable = example.words.iter().filter(|word| word.may_be_hidden);
            maskable_words += maskable.count() as u64;
        }
        if maskable_words == 0 {
            let reason = format!(
                "finds no word that may be hidden: no prompt has a word within its `{field}`"
            );
            return Err(TrainError::setting("mask-anchor", reason));
        }
        let source = self.placeholders.clone().unwrap_or_default();
        let placeholders = source.open(examples, tokenizer)?;
        let record = MaskingRecord {
            share: self.mask_anchor,
            augmenting_share: self.mask_augmenting,
            decay: self.mask_decay,
            field: field.to_owned(),
            placeholders: source.to_string(),
            placeholder_words: placeholders.count(),
            placeholders_sha256: placeholders.sha256(),
            words,
            maskable_words,
        };
        let masking = AnchorMasking {
            masking: Arc::new(Masking::new(placeholders, seed)),
            shares: MaskingShares {
                anchor: self.mask_anchor,
                augmenting: self.mask_augmenting,
            },
            decay: self.mask_decay,
        };
        Ok(Some((masking, record)))
    }
}

impl PlaceholderSource {
    fn open(&self, examples: &Examples, tokenizer: &Tokenizer) -> Result<Placeholders, TrainError> {
        let found = match self {
            Self::Data => Placeholders::of_examples(examples)?,
            Self::Token(text) => Placeholders::new([vec![one_token(tokenizer, text)?]]),
            Self::File(path) => Some(Placeholders::of_file(path, &DataTokenizer(tokenizer))?),
        };
        Ok(found.expect("a word that may be hidden is one"))
    }
}

/// The id of a token, given by its name or as a text.
fn one_token(tokenizer: &Tokenizer, text: &str) -> Result<u32, TrainError> {
    let ids = tokenizer.encode(text, false)?.ids;
    // A name that is no text, such as that of a token with the space before it, is not encoded.
    let named = || tokenizer.token_id(text).filter(|_| tokenizer.is_embedded());
    let one = <[u32; 1]>::try_from(ids.as_slice());
    one.ok().map(|[id]| id).or_else(named).ok_or_else(|| {
        let reason = format!(
            "is token:{text}, which is {} tokens of the anchor; give one, or a file of words",
            ids.len()
        );
        TrainError::setting("placeholders", reason)
    })
}
