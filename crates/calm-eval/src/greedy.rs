//! Exact match of greedy continuations.

use calm_data::jsonl::PromptTarget;
use calm_models::{CausalLm, ModelError, Tokenizer};
use serde::{Deserialize, Serialize};

use crate::Proportion;

/// Output of a model after one prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GreedySample {
    /// Text that the model read.
    pub prompt: String,
    /// Text that it should write.
    pub target: String,
    /// Text that it wrote, without the end of text.
    pub output: String,
    /// Whether that is right: the whole target, and nothing after it, unless another metric decides.
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
    let pairs = examples.iter();
    let pairs: Vec<_> = pairs.map(|pair| (&*pair.prompt, &*pair.target)).collect();
    let answers = calm_models::exact_match(model, tokenizer, end_of_text, &pairs)?;
    let samples = examples
        .iter()
        .zip(answers)
        .map(|(example, answer)| GreedySample {
            prompt: example.prompt.clone(),
            target: example.target.clone(),
            output: answer.output,
            correct: answer.is_correct,
        });
    Ok(samples.collect())
}

/// Share of correct samples.
pub fn accuracy(samples: &[GreedySample]) -> Proportion {
    let hits = samples.iter().filter(|sample| sample.correct).count();
    Proportion {
        hits,
        n: samples.len(),
    }
}
