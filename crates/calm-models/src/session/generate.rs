//! Batches of prompts that are continued to their ends.

use std::ops::ControlFlow;

use super::{Event, FinishReason, SequenceOptions, Session, SharedPrefix};
use crate::{CausalLm, ModelError, Tokenizer};

/// The continuation of one prompt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Continuation {
    /// The new tokens, without a stop token, with those of a stop text.
    pub ids: Vec<u32>,
    /// Their text up to a stop text; empty where no text was asked for.
    pub text: String,
    /// Whether a stop token or a stop text came, or the text was enough, rather than the end of the
    /// room.
    pub stopped: bool,
}

impl Continuation {
    /// Takes note of a sequence's news.
    pub fn accept(&mut self, event: &Event) {
        self.ids.extend(event.token);
        self.text += &event.text;
        self.stopped |= event.finished.is_some_and(FinishReason::is_stop);
    }
}

/// Continues every prompt, token by token, up to the end of the model's context at most.
///
/// # Errors
///
/// As [`Session::add`] and [`Session::step`].
pub fn generate<M: CausalLm>(
    model: &M,
    prompts: &[Vec<u32>],
    options: &SequenceOptions,
) -> Result<Vec<Continuation>, ModelError> {
    let go_on = |_: usize, _: &str| ControlFlow::Continue(());
    run(Session::new(model), prompts, options, go_on)
}

/// Continues every prompt, and shows the text of each to `show` while it is written, in pieces of
/// whole characters. `show` may end the text.
///
/// # Errors
///
/// As [`Session::add`] and [`Session::step`].
pub fn generate_text<M: CausalLm, P: Into<M::Prompt> + Clone>(
    model: &M,
    tokenizer: &Tokenizer,
    prompts: &[P],
    options: &SequenceOptions,
    show: impl FnMut(usize, &str) -> ControlFlow<()>,
) -> Result<Vec<Continuation>, ModelError> {
    generate_text_after(model, tokenizer, None, prompts, options, show)
}

/// [`generate_text`], where the prefix is not computed again for prompts that begin with it.
///
/// # Errors
///
/// As [`generate_text`].
pub fn generate_text_after<M: CausalLm, P: Into<M::Prompt> + Clone>(
    model: &M,
    tokenizer: &Tokenizer,
    prefix: Option<&SharedPrefix<M>>,
    prompts: &[P],
    options: &SequenceOptions,
    show: impl FnMut(usize, &str) -> ControlFlow<()>,
) -> Result<Vec<Continuation>, ModelError> {
    let session = Session::new(model).with_tokenizer(tokenizer);
    run(session.with_prefix(prefix), prompts, options, show)
}

fn run<M: CausalLm, P: Into<M::Prompt> + Clone>(
    mut session: Session<'_, M>,
    prompts: &[P],
    options: &SequenceOptions,
    mut show: impl FnMut(usize, &str) -> ControlFlow<()>,
) -> Result<Vec<Continuation>, ModelError> {
    for prompt in prompts {
        session.add(prompt.clone(), options)?;
    }
    let mut rows = vec![Continuation::default(); prompts.len()];
    while !session.is_empty() {
        for event in session.step()? {
            let number = event.sequence.number();
            let row = &mut rows[number];
            row.accept(&event);
            if !event.text.is_empty() && show(number, &event.text).is_break() {
                row.stopped = true;
                session.remove(event.sequence);
            }
        }
    }
    Ok(rows)
}
