//! Conversations to tokens, with the chat templates of frozen models.

use calm_compose::{ChatFormat, ComposeError, ComposedPrompt, Composition, LoadedModel};
use calm_data::{ChatTurn, EncodedTurn, RenderChat, TokenizeError};
use calm_models::{Chat, SpecialIds};

/// Writes conversations of the data with the chat templates of a composition, or of a model alone.
///
/// A prompt is that of generating ([`ChatFormat::prompt`]), token for token. The answer is what the
/// template writes behind it, up to the first token that ends a text, or with the end of text where
/// the template writes none. A template that writes something else once there is an answer has its
/// text alone.
#[derive(Debug)]
pub struct ChatTokenizer {
    /// The templates, or why there are none: that matters once there is a conversation.
    format: Result<ChatFormat, ComposeError>,
    bos: Option<u32>,
    /// Tokens that end an answer; the first is the end of text.
    stop_ids: Vec<u32>,
}

impl ChatTokenizer {
    /// The chat templates of a composition's models.
    pub fn new(composition: &Composition, end_of_text: u32) -> Self {
        let format = composition.chat_format();
        Self::of(format, &composition.anchor.model.special, end_of_text)
    }

    /// The chat template of a model.
    pub fn of_model(model: &LoadedModel, end_of_text: u32) -> Self {
        let format = ChatFormat::read(model, &[]);
        Self::of(format, &model.model.special, end_of_text)
    }

    fn of(
        format: Result<ChatFormat, ComposeError>,
        special: &SpecialIds,
        end_of_text: u32,
    ) -> Self {
        let others = special.eos.iter().copied().filter(|id| *id != end_of_text);
        Self {
            format,
            bos: special.bos,
            stop_ids: std::iter::once(end_of_text).chain(others).collect(),
        }
    }

    /// The prompt of a turn, as generating reads it.
    ///
    /// # Errors
    ///
    /// If a model has no chat template, or it refuses the conversation.
    pub fn prompt(&self, turn: &ChatTurn) -> Result<ComposedPrompt, TokenizeError> {
        Ok(self.format()?.prompt(&asked(turn))?)
    }

    /// The anchor's text of that prompt.
    ///
    /// # Errors
    ///
    /// As [`ChatTokenizer::prompt`].
    pub fn prompt_text(&self, turn: &ChatTurn) -> Result<String, TokenizeError> {
        Ok(self.format()?.render(&asked(turn))?)
    }

    /// Number of tokens of a prompt that stand before every text.
    pub(crate) fn special_of(&self, prompt: &[u32]) -> usize {
        usize::from(self.bos.is_some() && prompt.first().copied() == self.bos)
    }

    /// Tokens that end an answer.
    pub fn stop_ids(&self) -> &[u32] {
        &self.stop_ids
    }

    fn format(&self) -> Result<&ChatFormat, TokenizeError> {
        self.format
            .as_ref()
            .map_err(|error| error.to_string().into())
    }
}

impl RenderChat for ChatTokenizer {
    fn encode(&self, turn: &ChatTurn) -> Result<EncodedTurn, TokenizeError> {
        let format = self.format()?;
        let encode = |text: &str| {
            format
                .tokenizer()
                .encode(text, false)
                .map(|encoded| encoded.ids)
        };
        let prompt_text = format.render(&asked(turn))?;
        let prompt = encode(&prompt_text)?;
        let whole = format.render(&answered(turn))?;
        let mut target = match whole.strip_prefix(&*prompt_text) {
            None => encode(&turn.answer())?,
            Some(answer) => {
                let ids = encode(&whole)?;
                match ids.strip_prefix(&*prompt) {
                    Some(target) => target.to_vec(),
                    // A token reaches over the end of the prompt; generating has only the prompt.
                    None => encode(answer)?,
                }
            }
        };
        match target.iter().position(|id| self.stop_ids.contains(id)) {
            Some(end) => target.truncate(end + 1),
            None => target.push(self.stop_ids[0]),
        }
        Ok(EncodedTurn {
            special: self.special_of(&prompt),
            prompt,
            target,
        })
    }

    fn key(&self) -> String {
        let template = self.format.as_ref();
        let template =
            template.map_or_else(ToString::to_string, |format| format.template().sha256());
        format!("{template} {:?}", self.stop_ids)
    }

    /// Augmenting models read renderings of their own.
    fn is_asked_again(&self) -> bool {
        self.format.as_ref().is_ok_and(ChatFormat::has_own)
    }
}

/// The messages before an answer, and the beginning of it.
fn asked(turn: &ChatTurn) -> Chat {
    Chat {
        messages: turn.prompt().to_vec(),
        add_generation_prompt: true,
        ..answered(turn)
    }
}

/// The messages up to an answer, with it.
fn answered(turn: &ChatTurn) -> Chat {
    let conversation = &turn.conversation;
    Chat {
        messages: conversation.messages[..=turn.answer].to_vec(),
        tools: conversation.tools.clone(),
        documents: conversation.documents.clone(),
        variables: conversation.variables.clone(),
        ..Chat::default()
    }
}
