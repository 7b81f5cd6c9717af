//! How the texts of a run become rows.

use calm_data::{RenderChat, Tokenize, Tokenizing, TooLong};
use calm_models::{SpecialIds, Tokenizer};

use crate::ChatTokenizer;

/// How the texts of a run become rows.
pub(super) struct TextPlan<'a> {
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) special: &'a SpecialIds,
    pub(super) end_of_text: u32,
    /// Most tokens of a row.
    pub(super) context: usize,
    /// Whether a row holds as many examples as fit, and long texts are cut.
    pub(super) is_packed: bool,
    /// Chat templates, for conversations; none of a model without files.
    pub(super) chat: Option<&'a ChatTokenizer>,
    /// Field of the parts of prompts that masking may hide; none where nothing is hidden.
    pub(super) mask_field: Option<&'a str>,
}

impl<'a> TextPlan<'a> {
    /// How texts become examples in tokens of `tokenizer`, which is the plan's.
    pub(super) fn tokenizing(
        &self,
        tokenizer: &'a dyn Tokenize,
        too_long: TooLong,
    ) -> Tokenizing<'a> {
        Tokenizing {
            tokenizer,
            end_of_text: self.end_of_text,
            context: self.context,
            too_long,
            cut_texts: self.is_packed,
            chat: self.chat.map(|chat| chat as &dyn RenderChat),
            finds_words: self.mask_field.is_some(),
        }
    }
}
