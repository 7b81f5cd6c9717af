//! One sequence of a session: options, state and results.

use super::sampling::{Sampler, SamplingParams};
use super::stop::TextOutput;
use crate::{ModelError, Tokenizer};

/// The number of a sequence in its session, in the order of their coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub(super) usize);

impl SequenceId {
    /// 0-based.
    pub fn number(self) -> usize {
        self.0
    }
}

/// Settings of one sequence: when it ends, and how its tokens are chosen.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SequenceOptions {
    /// At most so many tokens after the prompt.
    pub max_new_tokens: usize,
    /// Any of these tokens ends the sequence, and is left out.
    pub stop_ids: Vec<u32>,
    /// Any of these texts ends the sequence, which is cut before it. They may be, or hold, special
    /// tokens. They need a session with a tokenizer.
    pub stop_texts: Vec<String>,
    /// How the next token is chosen.
    pub sampling: SamplingParams,
}

impl SequenceOptions {
    /// Always the likeliest token.
    pub fn greedy(max_new_tokens: usize, stop_ids: Vec<u32>) -> Self {
        Self {
            max_new_tokens,
            stop_ids,
            ..Self::default()
        }
    }
}

/// News of one sequence after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whose news.
    pub sequence: SequenceId,
    /// The new token; none if a stop token has come, or there was no room for one.
    pub token: Option<u32>,
    /// The text that has become whole; empty in a session without a tokenizer.
    pub text: String,
    /// Why the sequence has ended, if it has. It has left the session then.
    pub finished: Option<FinishReason>,
}

/// Why a sequence has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// A stop token came.
    StopToken,
    /// A stop text came.
    StopText,
    /// It has as many new tokens as it may have.
    MaxNewTokens,
    /// The model's context is full.
    ContextLength,
}

impl FinishReason {
    /// Whether the model has ended the text itself.
    pub fn is_stop(self) -> bool {
        matches!(self, Self::StopToken | Self::StopText)
    }
}

/// A text that is being continued.
#[derive(Debug)]
pub(super) struct Sequence<P> {
    id: SequenceId,
    prompt: P,
    /// Tokens of the prompt, and those after it.
    ids: Vec<u32>,
    /// The number of tokens at which it ends, and why.
    end: (usize, FinishReason),
    stop_ids: Vec<u32>,
    sampler: Sampler,
    text: Option<TextOutput>,
}

impl<P: AsRef<[u32]>> Sequence<P> {
    pub(super) fn new(
        id: SequenceId,
        prompt: P,
        options: SequenceOptions,
        context_length: usize,
        tokenizer: Option<&Tokenizer>,
    ) -> Result<Self, ModelError> {
        let ids = prompt.as_ref().to_vec();
        let wanted = ids.len().saturating_add(options.max_new_tokens);
        let text =
            tokenizer.map(|tokenizer| TextOutput::after(tokenizer, &ids, options.stop_texts));
        Ok(Self {
            id,
            prompt,
            ids,
            end: if wanted <= context_length {
                (wanted, FinishReason::MaxNewTokens)
            } else {
                (context_length, FinishReason::ContextLength)
            },
            stop_ids: options.stop_ids,
            sampler: Sampler::new(options.sampling),
            text: text.transpose()?,
        })
    }

    pub(super) fn id(&self) -> SequenceId {
        self.id
    }

    pub(super) fn prompt(&self) -> &P {
        &self.prompt
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub(super) fn last(&self) -> u32 {
        *self.ids.last().expect("a prompt has a token at least")
    }

    /// Whether there is room for another token.
    pub(super) fn has_room(&self) -> bool {
        self.ids.len() < self.end.0
    }

    /// Whether its next token is the likeliest one, as the model has it.
    pub(super) fn is_plain(&self) -> bool {
        self.sampler.params().is_plain()
    }

    /// The next token by these logits.
    pub(super) fn sample(&mut self, logits: &mut [f32]) -> u32 {
        self.sampler.next(logits, &self.ids)
    }

    /// Goes on by a token.
    pub(super) fn accept(&mut self, id: u32) -> Result<Event, ModelError> {
        if self.stop_ids.contains(&id) {
            return self.finish(String::new(), None, FinishReason::StopToken);
        }
        self.ids.push(id);
        let mut piece = String::new();
        if let Some(text) = &mut self.text {
            let is_over;
            (piece, is_over) = text.push(id)?;
            if is_over {
                return Ok(self.event(Some(id), piece, Some(FinishReason::StopText)));
            }
        }
        if self.has_room() {
            return Ok(self.event(Some(id), piece, None));
        }
        self.finish(piece, Some(id), self.end.1)
    }

    /// Ends for want of room.
    pub(super) fn end(&mut self) -> Result<Event, ModelError> {
        self.finish(String::new(), None, self.end.1)
    }

    /// Ends with the text that was held back, in which there may be a stop text.
    fn finish(
        &mut self,
        mut piece: String,
        token: Option<u32>,
        reason: FinishReason,
    ) -> Result<Event, ModelError> {
        let mut reason = reason;
        if let Some(text) = &mut self.text {
            let (rest, is_over) = text.finish()?;
            piece += &rest;
            if is_over {
                reason = FinishReason::StopText;
            }
        }
        Ok(self.event(token, piece, Some(reason)))
    }

    fn event(&self, token: Option<u32>, text: String, finished: Option<FinishReason>) -> Event {
        Event {
            sequence: self.id,
            token,
            text,
            finished,
        }
    }
}
