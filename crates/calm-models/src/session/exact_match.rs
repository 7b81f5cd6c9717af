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
    /// Whether the model, or a text to stop at, ended it.
    pub stopped: bool,
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
    let encode = |text: &str, special| tokenizer.encode(text, special).map(|text| text.ids);
    let questions = pairs.iter().map(|(prompt, target)| {
        Ok(Question {
            prompt: M::Prompt::from(encode(prompt, true)?),
            target: encode(target, false)?,
        })
    });
    let questions = questions.collect::<Result<Vec<_>, ModelError>>()?;
    let options = AnswerOptions {
        stop_ids: vec![end_of_text],
        ..AnswerOptions::default()
    };
    answer(model, tokenizer, &options, &questions)
}

/// Ends of answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerOptions {
    /// Tokens that end an answer.
    pub stop_ids: Vec<u32>,
    /// Texts that end it, too.
    pub stop_texts: Vec<String>,
    /// Most tokens. Default: one more than the longest target that is decoded with it.
    pub max_new_tokens: Option<usize>,
}

/// A prompt, and the tokens that should follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question<P> {
    /// The prompt.
    pub prompt: P,
    /// The right answer, without the token that ends it.
    pub target: Vec<u32>,
}

/// Continues every prompt greedily, and compares with the target.
///
/// # Errors
///
/// [`ModelError`] if a prompt does not fit the model's context.
pub fn answer<M: CausalLm, P: Into<M::Prompt> + Clone>(
    model: &M,
    tokenizer: &Tokenizer,
    options: &AnswerOptions,
    questions: &[Question<P>],
) -> Result<Vec<Answer>, ModelError> {
    let mut answers = Vec::with_capacity(questions.len());
    for questions in questions.chunks(ROWS) {
        let longest = questions.iter().map(|question| question.target.len()).max();
        let limit = options.max_new_tokens.unwrap_or(longest.unwrap_or(0) + 1);
        let options = SequenceOptions {
            stop_texts: options.stop_texts.clone(),
            ..SequenceOptions::greedy(limit, options.stop_ids.clone())
        };
        let prompts = questions.iter().map(|question| question.prompt.clone());
        let prompts: Vec<P> = prompts.collect();
        let go_on = |_: usize, _: &str| ControlFlow::Continue(());
        let continuations = generate_text(model, tokenizer, &prompts, &options, go_on)?;
        let pairs = continuations.into_iter().zip(questions);
        answers.extend(pairs.map(|(continuation, question)| Answer {
            is_correct: continuation.stopped && continuation.ids == question.target,
            stopped: continuation.stopped,
            output: continuation.text,
        }));
    }
    Ok(answers)
}
