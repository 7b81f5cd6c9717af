//! Writing of texts: its flags, and its speed.

use std::ops::ControlFlow;
use std::time::Instant;

use calm_lm::compose::ComposedModel;
use calm_lm::models::{Continuation, SamplingParams, SequenceOptions, Session};
use clap::Args;
use serde::Serialize;

use crate::failure::Failure;

/// How texts are continued.
#[derive(Debug, Args)]
pub(super) struct DecodingArgs {
    /// Most tokens of a continuation; -1 for as many as the model has room for
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    max_new_tokens: Option<usize>,
    /// Most tokens of prompt and continuation together, unless --max-new-tokens is given
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Text that ends a continuation and is left out; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// Draw tokens with logits divided by this; 0 takes the likeliest [default: 0]
    ///
    /// --seed fixes the tokens that are drawn. With another flag of sampling the default is 1.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Draw from this number of the likeliest tokens only; 0 for all
    #[arg(long, value_name = "N", value_parser = top_k, allow_negative_numbers = true)]
    top_k: Option<usize>,
    /// Draw from the likeliest tokens only that together have this probability
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,
    /// Draw only from tokens with at least this share of the likeliest one's probability
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    min_p: Option<f32>,
    /// Draw tokens by the model's own probabilities, at temperature 1
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = truth)]
    do_sample: Option<bool>,
    /// Make tokens that have occurred less likely (above 1) or more so (below)
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    repetition_penalty: Option<f32>,
}

/// Yes or no, as Python has it as well.
fn truth(text: &str) -> Result<bool, String> {
    match &*text.to_lowercase() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// A number of tokens; below 0 there is no limit, as in llama.cpp.
fn count(text: &str) -> Result<usize, String> {
    let number: i64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}

/// A number of tokens to choose from; below 0 all, as in llama.cpp.
fn top_k(text: &str) -> Result<usize, String> {
    let number: i64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    Ok(usize::try_from(number).unwrap_or(0))
}

impl DecodingArgs {
    /// Options of a prompt of so many tokens, which gets at most `default` new ones if the flags do
    /// not say.
    pub(super) fn options(
        &self,
        prompt_tokens: usize,
        default: usize,
        stop_ids: &[u32],
        seed: u64,
    ) -> Result<SequenceOptions, Failure> {
        let max_new_tokens = match (self.max_new_tokens, self.max_length) {
            (Some(new), _) => new,
            (None, None) => default,
            (None, Some(length)) if length > prompt_tokens => length - prompt_tokens,
            (None, Some(length)) => {
                let reason = format!(
                    "the prompt alone has {prompt_tokens} tokens, which leaves none of {length}; \
                     give more, or count the new tokens alone with --max-new-tokens"
                );
                return Err(Failure::flag("--max-length", reason));
            }
        };
        Ok(SequenceOptions {
            max_new_tokens,
            stop_ids: stop_ids.to_vec(),
            stop_texts: self.stop.clone(),
            sampling: self.sampling(seed),
        })
    }

    /// Greedy unless something asks for sampling, which is at temperature 1 then.
    fn sampling(&self, seed: u64) -> SamplingParams {
        let shapes = self.top_k.is_some() || self.top_p.is_some() || self.min_p.is_some();
        let temperature = match self.do_sample {
            Some(false) => None,
            Some(true) => Some(self.temperature.unwrap_or(1.0)),
            None => self.temperature.or(shapes.then_some(1.0)),
        };
        SamplingParams {
            temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed,
        }
    }
}

/// Tokens read and written, and how long that took.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Speed {
    /// Tokens of prompts that had to be computed.
    pub(super) prompt_tokens: usize,
    /// Seconds up to the first token of every continuation.
    prompt_seconds: f64,
    /// Tokens of continuations.
    tokens: usize,
    /// Those behind the first one of each.
    #[serde(skip)]
    later_tokens: usize,
    /// Seconds of those.
    seconds: f64,
    /// Tokens in each of those seconds, of all continuations together.
    tokens_per_second: Option<f64>,
}

impl Speed {
    /// As a line for people.
    pub(super) fn text(&self) -> String {
        let Self {
            prompt_tokens,
            prompt_seconds,
            tokens,
            ..
        } = self;
        let rate = self.tokens_per_second;
        let rate = rate.map_or(String::new(), |rate| format!(", {rate:.1} per second"));
        format!("read {prompt_tokens} tokens in {prompt_seconds:.2} s, wrote {tokens}{rate}")
    }

    fn count(&mut self, seconds: f64, written: usize, is_first: bool) {
        self.tokens += written;
        match is_first {
            true => self.prompt_seconds += seconds,
            false => {
                self.seconds += seconds;
                self.later_tokens += written;
                self.tokens_per_second = Some(self.later_tokens as f64 / self.seconds);
            }
        }
    }
}

/// Continues the sequences of a session to their ends, and shows their texts while they are
/// written, until `show` ends them.
pub(super) fn decode(
    session: &mut Session<'_, ComposedModel>,
    speed: &mut Speed,
    mut show: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Vec<Continuation>, Failure> {
    let mut found = vec![Continuation::default(); session.len()];
    let mut is_first = true;
    while !session.is_empty() {
        let begun = Instant::now();
        let events = session.step()?;
        let written = events.iter().filter(|event| event.token.is_some()).count();
        speed.count(begun.elapsed().as_secs_f64(), written, is_first);
        is_first = false;
        for event in events {
            found[event.sequence.number()].accept(&event);
            if show(&event.text).is_break() {
                session.remove(event.sequence);
            }
        }
    }
    Ok(found)
}
