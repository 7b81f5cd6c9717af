//! Prompts of compositions: tokens, and renderings that augmenting models read instead of them.

use std::sync::Arc;

use calm_models::{Chat, ChatTemplate, ModelError, Tokenizer};

use crate::{ComposeError, LoadedModel, OwnTokens, PromptText, Rendering};

/// Per augmenting model, the text that it reads of a prompt; none if it reads the anchor's text.
pub type PromptTexts = Vec<Option<Arc<PromptText>>>;

/// A prompt of a composed model.
#[derive(Debug, Clone, Default)]
pub struct ComposedPrompt {
    /// The anchor's tokens.
    pub ids: Vec<u32>,
    /// The renderings that augmenting models read in their own tokens while the anchor reads these;
    /// empty if all read the anchor's text. Each was made by [`PromptText::align`] for these tokens.
    pub texts: PromptTexts,
}

impl ComposedPrompt {
    /// The rendering that an augmenting model reads, if not the anchor's text.
    pub(crate) fn text_of(&self, model: usize) -> Option<&Arc<PromptText>> {
        self.texts.get(model)?.as_ref()
    }
}

impl From<Vec<u32>> for ComposedPrompt {
    fn from(ids: Vec<u32>) -> Self {
        Self {
            ids,
            texts: PromptTexts::new(),
        }
    }
}

/// The prompt of a model that reads no other.
impl From<ComposedPrompt> for Vec<u32> {
    fn from(prompt: ComposedPrompt) -> Self {
        prompt.ids
    }
}

impl AsRef<[u32]> for ComposedPrompt {
    fn as_ref(&self) -> &[u32] {
        &self.ids
    }
}

/// The chat templates of a model, and of the augmenting models that read it.
///
/// Each augmenting model reads a conversation as its own template writes it; one without a template
/// reads the anchor's text.
#[derive(Debug)]
pub struct ChatFormat {
    template: ChatTemplate,
    tokenizer: Tokenizer,
    augmenting: Vec<Option<OwnFormat>>,
}

/// The chat template of an augmenting model.
#[derive(Debug)]
struct OwnFormat {
    template: ChatTemplate,
    tokens: OwnTokens,
    /// Whether the vocabulary is the anchor's, so that it reads the anchor's ids of other texts.
    has_anchor_ids: bool,
}

impl ChatFormat {
    /// Reads the templates of these models, of which none need be an augmenting one.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Model`] if the anchor has no template, or a file that holds one is damaged.
    pub fn read(anchor: &LoadedModel, augmenting: &[LoadedModel]) -> Result<Self, ComposeError> {
        let own_format = |model: &LoadedModel| {
            let template = ChatTemplate::find(&model.files.path)?;
            Ok(template.map(|template| OwnFormat {
                template,
                tokens: OwnTokens::between(&model.model, &anchor.model),
                has_anchor_ids: OwnTokens::of(&model.model, &anchor.model).is_none(),
            }))
        };
        let augmenting = augmenting.iter().map(own_format);
        Ok(Self {
            template: ChatTemplate::read(&anchor.files.path)?,
            tokenizer: anchor.model.tokenizer.clone(),
            augmenting: augmenting.collect::<Result<_, ModelError>>()?,
        })
    }

    /// Whether an augmenting model reads conversations as its own template writes them.
    pub fn has_own(&self) -> bool {
        self.augmenting.iter().any(Option::is_some)
    }

    /// A conversation as the anchor's template writes it.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Model`] if the template refuses the conversation.
    pub fn render(&self, chat: &Chat) -> Result<String, ComposeError> {
        Ok(self.template.render(chat)?)
    }

    /// The anchor's template, on which its tokens of a conversation depend.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// The anchor's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The prompt of a conversation. Templates write special tokens themselves, so that none are
    /// added.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Model`] if a template refuses the conversation, [`ComposeError::Content`] if
    /// models with templates of their own read it and one of them changes a content.
    pub fn prompt(&self, chat: &Chat) -> Result<ComposedPrompt, ComposeError> {
        if self.augmenting.iter().all(Option::is_none) {
            let text = self.template.render(chat)?;
            return Ok(self.tokenizer.encode(&text, false)?.ids.into());
        }
        let anchor = Rendering::new(&self.template, chat)?;
        let encoded = self.tokenizer.encode(&anchor.text, false)?;
        let texts = self.augmenting.iter().map(|format| {
            let Some(format) = format else {
                return Ok(None);
            };
            let own = Rendering::new(&format.template, chat)?;
            let reads_own = !format.has_anchor_ids || own != anchor;
            Ok(reads_own.then(|| {
                let text = PromptText::align(&format.tokens, &anchor, &encoded.offsets, &own);
                Arc::new(text)
            }))
        });
        Ok(ComposedPrompt {
            texts: texts.collect::<Result<_, ComposeError>>()?,
            ids: encoded.ids,
        })
    }
}
