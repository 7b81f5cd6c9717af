//! From the logits of a position to the token that follows it.
//!
//! Everything is done on the host in `f32`, in the order of `transformers`
//! (`generation/logits_process.py`): repetition penalty, temperature, top-k, top-p, min-p.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::ModelError;

/// How the next token is chosen.
///
/// The default takes the likeliest token as the model has it.
///
/// Departs from `transformers`: there, top-k is 50 unless something else is asked for; here a
/// setting that is left out changes nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SamplingParams {
    /// Draws tokens, with logits divided by this: above 1 evens out probabilities, below 1 sharpens
    /// them. None, or 0, takes the likeliest token, and leaves `top_k`, `top_p`, `min_p` and `seed`
    /// without effect.
    pub temperature: Option<f32>,
    /// Keeps so many of the likeliest tokens, and those as likely as the last of them; 0 keeps all.
    pub top_k: Option<usize>,
    /// Keeps the likeliest tokens that together have at least this probability.
    pub top_p: Option<f32>,
    /// Keeps tokens with at least this share of the likeliest one's probability.
    pub min_p: Option<f32>,
    /// Makes tokens of the prompt and the continuation less likely (above 1) or more so (below).
    /// Padding does not count, unlike in `transformers`.
    pub repetition_penalty: Option<f32>,
    /// Fixes the tokens that are drawn, whatever the batch. Equal prompts are continued alike;
    /// several continuations of one prompt need several seeds.
    pub seed: u64,
}

impl SamplingParams {
    /// Draws from all tokens by the model's own probabilities.
    pub fn seeded(seed: u64) -> Self {
        Self {
            temperature: Some(1.0),
            seed,
            ..Self::default()
        }
    }

    /// Whether the likeliest token is taken as the model has it.
    pub(super) fn is_plain(&self) -> bool {
        self.drawn_at().is_none() && self.repetition_penalty.is_none()
    }

    /// The temperature at which tokens are drawn, if they are.
    fn drawn_at(&self) -> Option<f32> {
        self.temperature.filter(|temperature| *temperature != 0.0)
    }

    pub(super) fn validate(&self) -> Result<(), ModelError> {
        let share = |value: &f32| (0.0..=1.0).contains(value);
        let penalty = self.repetition_penalty;
        check("repetition_penalty", penalty, is_positive, ABOVE_0)?;
        let is_temperature = |value: &f32| value.is_finite() && *value >= 0.0;
        check(
            "temperature",
            self.temperature,
            is_temperature,
            "at least 0",
        )?;
        check("top_p", self.top_p, share, "from 0 to 1")?;
        check("min_p", self.min_p, share, "from 0 to 1")
    }

    /// Turns a model's logits into those that the next token is chosen by. `seen` are the tokens so
    /// far, prompt and continuation, each below the length of `logits`.
    pub fn process(&self, logits: &mut [f32], seen: &[u32]) {
        if let Some(penalty) = self.repetition_penalty {
            penalize(logits, seen, penalty);
        }
        let Some(temperature) = self.drawn_at() else {
            return;
        };
        for logit in logits.iter_mut() {
            *logit /= temperature;
        }
        if let Some(k) = self.top_k.filter(|k| *k > 0) {
            keep_top_k(logits, k);
        }
        if let Some(p) = self.top_p {
            keep_top_p(logits, p);
        }
        if let Some(p) = self.min_p {
            keep_min_p(logits, p);
        }
    }
}

/// Chooses the tokens of one sequence.
#[derive(Debug, Clone)]
pub(super) struct Sampler {
    params: SamplingParams,
    random: Option<ChaCha8Rng>,
}

impl Sampler {
    pub(super) fn new(params: SamplingParams) -> Self {
        Self {
            random: params
                .drawn_at()
                .is_some()
                .then(|| ChaCha8Rng::seed_from_u64(params.seed)),
            params,
        }
    }

    pub(super) fn params(&self) -> &SamplingParams {
        &self.params
    }

    /// The token after `seen`, by the model's logits.
    pub(super) fn next(&mut self, logits: &mut [f32], seen: &[u32]) -> u32 {
        self.params.process(logits, seen);
        let chosen = match &mut self.random {
            None => likeliest(logits),
            Some(random) => at_quantile(logits, random.random()),
        };
        chosen as u32
    }
}

const ABOVE_0: &str = "a number above 0";

fn is_positive(value: &f32) -> bool {
    value.is_finite() && *value > 0.0
}

fn check<T: std::fmt::Display>(
    name: &'static str,
    value: Option<T>,
    holds: impl Fn(&T) -> bool,
    expected: &'static str,
) -> Result<(), ModelError> {
    match value {
        Some(value) if !holds(&value) => Err(ModelError::Sampling {
            name,
            found: value.to_string(),
            expected,
        }),
        _ => Ok(()),
    }
}

fn penalize(logits: &mut [f32], seen: &[u32], penalty: f32) {
    let mut is_done = vec![false; logits.len()];
    for id in seen.iter().map(|id| *id as usize) {
        if std::mem::replace(&mut is_done[id], true) {
            continue;
        }
        let logit = &mut logits[id];
        *logit = if *logit < 0.0 {
            *logit * penalty
        } else {
            *logit / penalty
        };
    }
}

fn keep_top_k(logits: &mut [f32], k: usize) {
    if k >= logits.len() {
        return;
    }
    let mut sorted = logits.to_vec();
    let (_, last, _) = sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    let last = *last;
    discard(logits, |logit| logit < last);
}

fn keep_top_p(logits: &mut [f32], p: f32) {
    let mut ascending: Vec<usize> = (0..logits.len()).collect();
    // Of equally likely tokens the first counts as the likeliest, as in greedy decoding.
    ascending.sort_by(|a, b| logits[*a].total_cmp(&logits[*b]).then(b.cmp(a)));
    let probabilities = probabilities(logits);
    // As PyTorch: summed in f64, compared in f32. The likeliest token always stays.
    let (mut sum, rest) = (0.0, (1.0 - f64::from(p)) as f32);
    for id in &ascending[..ascending.len().saturating_sub(1)] {
        sum += probabilities[*id];
        if sum as f32 <= rest {
            logits[*id] = f32::NEG_INFINITY;
        }
    }
}

fn keep_min_p(logits: &mut [f32], p: f32) {
    let probabilities = probabilities(logits);
    let highest = probabilities.iter().copied().fold(0.0, f64::max);
    let least = highest * f64::from(p);
    for (logit, probability) in logits.iter_mut().zip(probabilities) {
        if probability < least {
            *logit = f32::NEG_INFINITY;
        }
    }
}

fn discard(logits: &mut [f32], is_out: impl Fn(f32) -> bool) {
    for logit in logits.iter_mut().filter(|logit| is_out(**logit)) {
        *logit = f32::NEG_INFINITY;
    }
}

fn likeliest(logits: &[f32]) -> usize {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best
}

/// Softmax.
fn probabilities(logits: &[f32]) -> Vec<f64> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights = logits.iter().map(|logit| f64::from(*logit - highest).exp());
    let weights: Vec<f64> = weights.collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// The token in whose share of `[0, 1)` the quantile lies, the tokens in the order of their ids.
fn at_quantile(logits: &[f32], quantile: f64) -> usize {
    let mut sum = 0.0;
    let mut chosen = likeliest(logits);
    for (id, probability) in probabilities(logits).into_iter().enumerate() {
        sum += probability;
        if probability > 0.0 {
            chosen = id;
            if quantile < sum {
                break;
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [1.0, 3.0, f32::NEG_INFINITY, 2.0];

    #[test]
    fn quantiles_reach_every_token_that_is_left() {
        let chosen = [0.0, 0.09, 0.1, 0.7, 0.8, 1.0].map(|q| at_quantile(&LOGITS, q));
        assert_eq!(chosen, [0, 0, 1, 1, 3, 3]);
        assert_eq!(likeliest(&LOGITS), 1);
    }

    #[test]
    fn tokens_come_as_often_as_they_are_likely() {
        let mut sampler = Sampler::new(SamplingParams::seeded(5));
        let mut counts = [0.0; 4];
        for _ in 0..20_000 {
            counts[sampler.next(&mut LOGITS.clone(), &[]) as usize] += 1.0 / 20_000.0;
        }
        for (count, probability) in counts.iter().zip(probabilities(&LOGITS)) {
            assert!((count - probability).abs() < 0.015, "{counts:?}");
        }
    }

    #[test]
    fn a_seed_fixes_what_is_drawn() {
        let draw = |seed| {
            let mut sampler = Sampler::new(SamplingParams::seeded(seed));
            std::array::from_fn::<u32, 50, _>(|_| sampler.next(&mut LOGITS.clone(), &[]))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
