//! Scores of examples with prompts and targets, which are no task: of answers, and of likelihoods.

use calm_data::jsonl::PromptTarget;
use calm_data::{ChatTurn, Conversation, Record};
use serde_json::{Value, json};

use crate::{Estimate, Metric, ScoreError, Statistics};

/// Ends an answer behind worked examples, and separates these.
pub const SHOT_END: &str = "\n\n";

/// An example with worked examples before it: earlier turns of a conversation, or texts of the form
/// `prompt target`, each with an empty line behind it.
///
/// # Errors
///
/// In words, if one is a plain text, or a conversation and the other a text.
pub fn with_shots(record: &Record, shots: &[Record]) -> Result<Record, String> {
    match record {
        _ if shots.is_empty() => Ok(record.clone()),
        Record::Text(_) => {
            Err("is a plain text, before which no worked example can stand".to_owned())
        }
        Record::PromptTarget(pair) => {
            let worked = shots.iter().map(worked);
            let worked: String = worked.collect::<Result<_, String>>()?;
            Ok(Record::PromptTarget(PromptTarget {
                prompt: worked + &pair.prompt,
                target: pair.target.clone(),
                mask: None,
            }))
        }
        Record::Chat(turn) => {
            let turns = shots.iter().map(turns);
            let mut messages = turns.collect::<Result<Vec<_>, String>>()?.concat();
            let conversation = &turn.conversation;
            // A system message stands before everything.
            let is_system = |message: &&Value| message["role"] == "system";
            let system = conversation.messages.iter().take_while(is_system).count();
            messages.splice(..0, conversation.messages[..system].iter().cloned());
            let answer = messages.len() + turn.answer - system;
            messages.extend_from_slice(&conversation.messages[system..]);
            Ok(Record::Chat(ChatTurn {
                conversation: std::sync::Arc::new(Conversation {
                    messages,
                    ..(**conversation).clone()
                }),
                answer,
            }))
        }
    }
}

/// A worked example as text.
fn worked(shot: &Record) -> Result<String, String> {
    let Record::PromptTarget(PromptTarget { prompt, target, .. }) = shot else {
        return Err("is a prompt with a target, and the worked examples are not".to_owned());
    };
    let is_apart = prompt.ends_with(char::is_whitespace) || target.starts_with(char::is_whitespace);
    let space = if is_apart { "" } else { " " };
    Ok(format!("{prompt}{space}{target}{SHOT_END}"))
}

/// A worked example as turns of a conversation.
fn turns(shot: &Record) -> Result<Vec<Value>, String> {
    match shot {
        Record::Chat(turn) => {
            let messages = &turn.conversation.messages[..=turn.answer];
            let is_said = |message: &&Value| message["role"] != "system";
            Ok(messages.iter().filter(is_said).cloned().collect())
        }
        Record::PromptTarget(pair) => Ok(vec![
            json!({ "role": "user", "content": pair.prompt }),
            json!({ "role": "assistant", "content": pair.target }),
        ]),
        Record::Text(_) => {
            Err("is a conversation, and a worked example is a plain text".to_owned())
        }
    }
}

/// Loss of an example: of its target, or of all of a plain text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TargetLoss {
    /// Negative logarithm of its probability, in nats.
    pub nats: f64,
    /// Its tokens, the end of text included.
    pub tokens: usize,
}

/// Perplexity: e to the mean loss of a token, in nats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Perplexity;

/// Counts are whole numbers: of millionths of a nat.
const PER_NAT: f64 = 1e6;

impl Perplexity {
    /// Perplexity of examples, with the interval of a bootstrap over them.
    ///
    /// # Errors
    ///
    /// [`ScoreError::Empty`] if there is none.
    pub fn of(losses: &[TargetLoss], seed: u64) -> Result<Estimate, ScoreError> {
        if losses.is_empty() {
            return Err(ScoreError::Empty);
        }
        let rows = losses.iter().flat_map(|loss| {
            let nats = (loss.nats * PER_NAT).round().max(0.0) as u64;
            [nats, loss.tokens as u64]
        });
        Estimate::of_texts(&Statistics::of_rows(&Self, rows.collect()), seed)
    }

    /// Mean loss of a token, in nats.
    pub fn nats_per_token(losses: &[TargetLoss]) -> f64 {
        let nats: f64 = losses.iter().map(|loss| loss.nats).sum();
        let tokens: usize = losses.iter().map(|loss| loss.tokens).sum();
        nats / tokens.max(1) as f64
    }
}

impl Metric for Perplexity {
    fn name(&self) -> String {
        "perplexity".to_owned()
    }

    fn signature(&self, _: usize) -> String {
        format!("unit:token|base:e|version:{}", crate::metrics::VERSION)
    }

    /// Nats, and tokens.
    fn width(&self) -> usize {
        2
    }

    /// Texts alone have no likelihood.
    fn count(&self, _: &str, _: &[&str], _: &mut [u64]) {}

    fn score(&self, sums: &[u64]) -> f64 {
        (sums[0] as f64 / PER_NAT / sums[1].max(1) as f64).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(prompt: &str, target: &str) -> Record {
        Record::PromptTarget(PromptTarget {
            prompt: prompt.to_owned(),
            target: target.to_owned(),
            mask: None,
        })
    }

    #[test]
    fn worked_examples_stand_before_a_prompt() {
        let shots = [pair("a =", "1"), pair("b = ", "2")];
        let found = with_shots(&pair("c =", "3"), &shots).unwrap();
        assert_eq!(found, pair("a = 1\n\nb = 2\n\nc =", "3"));
        assert_eq!(with_shots(&found, &[]).unwrap(), found);
        let text = Record::Text("t".to_owned());
        assert!(with_shots(&text, &shots).is_err());
        assert!(with_shots(&shots[0], &[text]).is_err());
    }

    #[test]
    fn worked_examples_are_earlier_turns_of_a_conversation() {
        let said = |role: &str, text: &str| json!({ "role": role, "content": text });
        let conversation = Conversation {
            messages: vec![
                said("system", "s"),
                said("user", "c"),
                said("assistant", "3"),
            ],
            ..Conversation::default()
        };
        let turn = Record::Chat(ChatTurn {
            conversation: conversation.into(),
            answer: 2,
        });
        let shots = [pair("a", "1"), turn.clone()];
        let Record::Chat(found) = with_shots(&turn, &shots).unwrap() else {
            panic!("a conversation stays one");
        };
        let contents: Vec<&str> = found
            .prompt()
            .iter()
            .map(|m| m["content"].as_str().unwrap())
            .collect();
        assert_eq!(contents, ["s", "a", "1", "c", "3", "c"]);
        assert_eq!(found.answer(), "3");
    }

    #[test]
    fn perplexity_by_hand() {
        let loss = |nats, tokens| TargetLoss { nats, tokens };
        let losses = [loss(2.0, 2), loss(4.0, 2)];
        let found = Perplexity::of(&losses, 0).unwrap();
        assert!((found.score - 1.5f64.exp()).abs() < 1e-5, "{found}");
        let [low, high] = found.interval_95.unwrap();
        assert!(low < found.score && found.score < high);
        assert_eq!(Perplexity::nats_per_token(&losses), 1.5);
        assert!(Perplexity::of(&[], 0).is_err());
        assert_eq!(Perplexity::of(&losses[..1], 0).unwrap().interval_95, None);
    }
}
