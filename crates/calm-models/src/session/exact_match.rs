//! Answers that are compared with targets token for token.

use std::ops::ControlFlow;

use super::{SequenceOptions, generate_text};
use crate::{CausalLm, ModelError, Tokenizer};

/// Prompts decoded together. More are hardly faster on a processor, and cost memory.
const ROWS: usize = 256;

/// A greedily decoded answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its text, without the end of text.
    pub output: String,
    /// Whether it is the whole target, token for token, and ended by the model itself.
    pub is_correct: bool,
}

/// Continues every prompt of the pairs `(prompt, target)` greedily and compares.
///
/// The model sees its own tokens, never the target's. `end_of_text` ends an answer; it gets at most
/// one token more than the longest target that is decoded with it.
///
/// # Errors
///
/// [`ModelError`] if a text cannot be tokenised or does not fit the model's context.
pub fn exact_match<M: CausalLm>(
    model: &M,
    tokenizer: &Tokenizer,
    end_of_text: u32,
    pairs: &[(&str, &str)],
) -> Result<Vec<Answer>, ModelError> {
    let mut answers = Vec::with_capacity(pairs.len());
    for pairs in pairs.chunks(ROWS) {
        let encode = |text: &str, special| Ok(tokenizer.encode(text, special)?.ids);
        let prompts = pairs.iter().map(|(prompt, _)| encode(prompt, true));
        let prompts = prompts.collect::<Result<Vec<_>, ModelError>>()?;
        let targets = pairs.iter().map(|(_, target)| encode(target, false));
        let targets = targets.collect::<Result<Vec<_>, ModelError>>()?;
        let longest = targets.iter().map(Vec::len).max().unwrap_or(0);
        let options = SequenceOptions::greedy(longest + 1, vec![end_of_text]);
        let go_on = |_: usize, _: &str| ControlFlow::Continue(());
        let continuations = generate_text(model, tokenizer, &prompts, &options, go_on)?;
        for (continuation, target) in continuations.into_iter().zip(&targets) {
            answers.push(Answer {
                is_correct: continuation.stopped && continuation.ids == *target,
                output: continuation.text,
            });
        }
    }
    Ok(answers)
}
