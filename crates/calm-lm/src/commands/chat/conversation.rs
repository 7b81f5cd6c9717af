//! A conversation, and what is kept of it between turns.

use std::ops::ControlFlow;

use calm_lm::compose::{ChatFormat, ComposedModel, ComposedPrompt};
use calm_lm::data::encode_prompt;
use calm_lm::models::{CausalLm, Chat, ChatTemplate, Message, Role, SharedPrefix};
use calm_lm::train::DataTokenizer;
use serde::Serialize;

use super::NEW_TOKENS;
use crate::commands::decoding::{DecodingArgs, Speed, decode};
use crate::commands::model::Model;
use crate::failure::Failure;
use crate::report::model_name;

/// A conversation with a model.
pub(super) struct Conversation {
    pub(super) model: Model,
    /// None where every message is a text of its own.
    format: Option<ChatFormat>,
    system: Option<String>,
    /// Of user and model in turn.
    messages: Vec<Message>,
    /// Scales of the bridges, also while the anchor is alone.
    scales: Vec<f64>,
    is_alone: bool,
    /// Tokens of the last prompt and answer, computed.
    kept: Option<SharedPrefix<ComposedModel>>,
    pub(super) last: Option<Answered>,
    pub(super) turns: Vec<Turn>,
}

/// Tokens of the last answer, for traces.
pub(super) struct Answered {
    pub(super) prompt: ComposedPrompt,
    pub(super) ids: Vec<u32>,
}

/// A message and its answer.
#[derive(Serialize)]
pub(super) struct Turn {
    user: String,
    answer: String,
    /// Whether the model ended the answer itself.
    ended: bool,
    /// Tokens of the prompt that earlier turns had computed.
    kept_tokens: usize,
    speed: Speed,
}

impl Turn {
    /// As a line for people.
    pub(super) fn text(&self) -> String {
        let kept = match self.kept_tokens {
            0 => String::new(),
            kept => format!("kept {kept} tokens, "),
        };
        format!("[{kept}{}]", self.speed.text())
    }
}

impl Conversation {
    /// Nothing is said yet. `plain`: without a chat template.
    pub(super) fn new(model: Model, system: Option<String>, plain: bool) -> Result<Self, Failure> {
        let anchor = &model.composition.anchor.files.path;
        if !plain && ChatTemplate::find(anchor)?.is_none() {
            let reason = "has no chat template, as models have that were trained on conversations; \
                          --plain goes on with every line as a text of its own";
            return Err(Failure::path(anchor, reason));
        }
        let format = (!plain).then(|| model.composition.chat_format());
        let parts = model.composition.model.parts.augmenting.iter();
        Ok(Self {
            format: format.transpose()?,
            scales: parts.map(|part| part.scale).collect(),
            model,
            system,
            messages: Vec::new(),
            is_alone: false,
            kept: None,
            last: None,
            turns: Vec::new(),
        })
    }

    pub(super) fn system(&self) -> Option<&str> {
        self.system.as_deref()
    }

    /// Begins a new conversation with this system message.
    pub(super) fn set_system(&mut self, text: String) -> Result<(), Failure> {
        if self.format.is_none() {
            let reason = "with --plain there is no system message; begin your text with it";
            return Err(Failure::Chat(reason.to_owned()));
        }
        self.system = Some(text);
        self.reset();
        Ok(())
    }

    /// Begins a new conversation.
    pub(super) fn reset(&mut self) {
        self.messages.clear();
        self.kept = None;
        self.last = None;
    }

    /// Scales of the bridges from now on: one for each augmenting model, or one for all.
    pub(super) fn set_scales(&mut self, scales: &[f64]) -> Result<(), Failure> {
        self.check_composed()?;
        let models = self.scales.len();
        match scales {
            [scale] => self.scales.fill(*scale),
            _ if scales.len() == models => self.scales.copy_from_slice(scales),
            _ => {
                let reason = format!("/scale takes one number, or {models}, one for each model");
                return Err(Failure::Chat(reason));
            }
        }
        self.is_alone = false;
        self.apply_scales();
        Ok(())
    }

    /// Leaves the anchor alone, or no longer; the other of the two if it is not said.
    pub(super) fn set_alone(&mut self, is_alone: Option<bool>) -> Result<(), Failure> {
        self.check_composed()?;
        self.is_alone = is_alone.unwrap_or(!self.is_alone);
        self.apply_scales();
        Ok(())
    }

    /// States that were computed with other scales are of no use.
    fn apply_scales(&mut self) {
        self.kept = None;
        let parts = self.model.composition.model.parts.augmenting.iter_mut();
        for (part, scale) in parts.zip(&self.scales) {
            part.scale = if self.is_alone { 0.0 } else { *scale };
        }
    }

    /// The scales, for people.
    pub(super) fn scales_text(&self) -> Result<String, Failure> {
        self.check_composed()?;
        if self.is_alone {
            return Ok("the anchor alone".to_owned());
        }
        let count = self.scales.len();
        let scales = self.scales.iter().enumerate();
        let scales = scales.map(|(n, scale)| format!("{scale} × {}", model_name(n, count)));
        let scales: Vec<String> = scales.collect();
        Ok(format!("the anchor reads {}", scales.join(", ")))
    }

    /// Refuses what needs bridges where there are none.
    pub(super) fn check_composed(&self) -> Result<&ComposedModel, Failure> {
        let reason = "this is a checkpoint alone, which reads no other model";
        self.model
            .composed()
            .ok_or_else(|| Failure::Chat(reason.to_owned()))
    }

    /// Answers a message, and shows the answer while it is written, until `show` ends it.
    pub(super) fn answer(
        &mut self,
        text: &str,
        (decoding, seed): (&DecodingArgs, u64),
        show: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<&Turn, Failure> {
        let user = Message::new(Role::User, text);
        let prompt = self.prompt(text, &user)?;
        let composed = &self.model.composition.model;
        let kept = self.kept.take();
        let kept = kept.filter(|_| composed.reads_in_parts(&prompt));
        let kept = kept.and_then(|kept| kept.shared_with(&prompt.ids));
        let kept_tokens = kept.as_ref().map_or(0, SharedPrefix::len);
        let mut speed = Speed::default();
        speed.prompt_tokens += prompt.ids.len() - kept_tokens;
        let seed = seed.wrapping_add(self.turns.len() as u64);
        let options = decoding.options(prompt.ids.len(), NEW_TOKENS, self.model.eos(), seed)?;
        let session = self.model.composition.session();
        let mut session = session.with_prefix(kept.as_ref()).with_kept();
        session.add(prompt.clone(), &options)?;
        let mut answers = decode(&mut session, &mut speed, show)?;
        self.kept = session.take_kept();
        let answer = answers.pop().unwrap_or_default();
        self.messages.push(user);
        let message = Message::new(Role::Assistant, answer.text.clone());
        self.messages.push(message);
        self.last = Some(Answered {
            prompt,
            ids: answer.ids,
        });
        self.turns.push(Turn {
            user: text.to_owned(),
            answer: answer.text,
            ended: answer.stopped,
            kept_tokens,
            speed,
        });
        Ok(&self.turns[self.turns.len() - 1])
    }

    /// The prompt of a new message.
    fn prompt(&self, text: &str, user: &Message) -> Result<ComposedPrompt, Failure> {
        let Some(format) = &self.format else {
            let tokenizer = DataTokenizer(self.model.tokenizer());
            let ids = encode_prompt(&tokenizer, 0, text);
            let ids = ids.map_err(|source| Failure::Text {
                origin: "the message".to_owned(),
                source,
            })?;
            return Ok(ids.into());
        };
        let system = self.system.as_ref();
        let system = system.map(|text| Message::new(Role::System, text));
        let messages = system.into_iter().chain(self.messages.iter().cloned());
        let chat = Chat::to_answer(messages.chain([user.clone()]));
        Ok(format.prompt(&chat)?)
    }
}
