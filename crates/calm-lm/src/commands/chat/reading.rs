//! Attention of the last answer to the augmenting models.

use calm_lm::compose::{BridgeTrace, ModelTrace};
use calm_lm::models::token_text;

use super::conversation::{Answered, Conversation};
use crate::failure::Failure;
use crate::report::{connection_name, model_name, table};

/// Tokens that are named for every bridge.
const NAMED: usize = 5;

/// Longer texts would take too much memory: every weight of every bridge is held.
const MOST_TOKENS: usize = 4096;

/// The tokens that the last answer read most: the mean over its tokens and the heads, of every
/// bridge.
pub(super) fn text(conversation: &Conversation) -> Result<String, Failure> {
    let composed = conversation.check_composed()?;
    let nothing = |reason: &str| Failure::Chat(reason.to_owned());
    let last = conversation.last.as_ref();
    let last = last.filter(|answered| !answered.ids.is_empty());
    let answered = last.ok_or_else(|| nothing("there is no answer yet that could be traced"))?;
    let ids = answered.text();
    if ids.len() > MOST_TOKENS {
        return Err(nothing(
            "the conversation is too long to be traced; /reset begins a new one",
        ));
    }
    let trace = composed.trace(&ids)?;
    let count = trace.models.len();
    let models = conversation.model.composition.augmenting.iter();
    let rows = models
        .zip(&trace.models)
        .enumerate()
        .flat_map(|(number, (loaded, model))| {
            let tokenizer = &loaded.model.tokenizer;
            let name = model_name(number, count);
            model.bridges.iter().map(move |bridge| {
                let read = most_read(model, bridge, answered);
                let read = read.into_iter().map(|(token, weight)| {
                    format!(
                        "{:?} {:.0} %",
                        token_text(tokenizer, model.tokens[token]),
                        100.0 * weight
                    )
                });
                let read: Vec<String> = read.collect();
                (connection_name(&name, bridge.connection), read.join(", "))
            })
        });
    let rows: Vec<(String, String)> = rows.collect();
    match rows.is_empty() {
        true => Err(nothing(
            "the anchor is alone, and reads nothing; /anchor changes that",
        )),
        false => Ok(format!(
            "share of what the answer read, mean over its {} tokens and all heads:\n{}",
            answered.ids.len(),
            table(&rows)
        )),
    }
}

impl Answered {
    /// Prompt and answer.
    fn text(&self) -> Vec<u32> {
        [&*self.prompt.ids, &*self.ids].concat()
    }
}

/// Places of tokens with their mean weights, the largest first.
fn most_read(model: &ModelTrace, bridge: &BridgeTrace, answered: &Answered) -> Vec<(usize, f32)> {
    // The token before each token of the answer chose it.
    let first = answered.prompt.ids.len() - 1;
    let positions = first..first + answered.ids.len();
    let share = 1.0 / (positions.len() * bridge.heads.len()) as f32;
    let mut sums = vec![0.0; model.tokens.len()];
    for head in &bridge.heads {
        for position in positions.clone() {
            for (place, weight) in model.sees[position].iter().zip(&head[position]) {
                sums[*place] += share * weight;
            }
        }
    }
    let mut read: Vec<(usize, f32)> = sums.into_iter().enumerate().collect();
    read.sort_by(|a, b| b.1.total_cmp(&a.1));
    read.truncate(NAMED);
    read
}
