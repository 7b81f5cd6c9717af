//! Exact match of greedy continuations.

use calm_data::jsonl::PromptTarget;
use calm_models::{CausalLm, ModelError, SequenceOptions, Tokenizer, generate};
use serde::{Deserialize, Serialize};

use crate::Proportion;

/// Prompts that are decoded together. More are hardly faster on a processor, and cost memory.
const ROWS: usize = 256;

/// Output of a model after one prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GreedySample {
    /// Text that the model read.
    pub prompt: String,
    /// Text that it should write.
    pub target: String,
    /// Text that it wrote, without the end of text.
    pub output: String,
    /// Whether it wrote the whole target, and nothing after it.
    pub correct: bool,
}

/// Continues every prompt until `model` ends the text itself, and compares with the target.
///
/// The model sees its own tokens, never the target's. An answer counts if it is the target token
/// for token and ends in the right place. `end_of_text` ends a continuation, which has at most one
/// token more than the longest target.
///
/// # Errors
///
/// [`ModelError`] if a text cannot be tokenised or does not fit the model's context.
pub fn exact_match<M: CausalLm>(
    model: &M,
    tokenizer: &Tokenizer,
    end_of_text: u32,
    examples: &[PromptTarget],
) -> Result<Vec<GreedySample>, ModelError> {
    let mut samples = Vec::with_capacity(examples.len());
    for examples in examples.chunks(ROWS) {
        samples.extend(chunk(model, tokenizer, end_of_text, examples)?);
    }
    Ok(samples)
}

fn chunk<M: CausalLm>(
    model: &M,
    tokenizer: &Tokenizer,
    end_of_text: u32,
    examples: &[PromptTarget],
) -> Result<Vec<GreedySample>, ModelError> {
    let encode = |text: &str, special| Ok(tokenizer.encode(text, special)?.ids);
    let prompts = examples
        .iter()
        .map(|example| encode(&example.prompt, true))
        .collect::<Result<Vec<_>, ModelError>>()?;
    let targets = examples
        .iter()
        .map(|example| encode(&example.target, false))
        .collect::<Result<Vec<_>, ModelError>>()?;
    let longest = targets.iter().map(Vec::len).max().unwrap_or(0);
    let options = SequenceOptions::greedy(longest + 1, vec![end_of_text]);
    let continuations = generate(model, &prompts, &options)?;
    examples
        .iter()
        .zip(continuations)
        .zip(targets)
        .map(|((example, continuation), target)| {
            Ok(GreedySample {
                prompt: example.prompt.clone(),
                target: example.target.clone(),
                output: tokenizer.decode(&continuation.ids, true)?,
                correct: continuation.stopped && continuation.ids == target,
            })
        })
        .collect()
}

/// Share of correct samples.
pub fn accuracy(samples: &[GreedySample]) -> Proportion {
    let hits = samples.iter().filter(|sample| sample.correct).count();
    Proportion {
        hits,
        n: samples.len(),
    }
}
