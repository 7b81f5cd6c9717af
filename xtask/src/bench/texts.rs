//! Texts that both sides train bridges on.

use std::fs;
use std::path::Path;

use calm_lm::data::TokenizedExample;
use clap::ValueEnum;
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Examples that the loss is measured on.
const HELD_OUT: usize = 32;

/// Lengths of texts, and which of their tokens carry loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Texts {
    /// From 32 to 256 tokens, evenly by their logarithm; the last quarter is the target.
    Prompts,
    /// 129 tokens each, all of which carry loss: nothing can be saved but what does not change from
    /// one epoch to the next.
    Full,
}

/// A file of examples.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    pub(super) examples: Vec<Row>,
    pub(super) held_out: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    ids: Vec<u32>,
    target_start: usize,
}

impl From<Row> for TokenizedExample {
    fn from(Row { ids, target_start }: Row) -> Self {
        Self::new(ids, target_start)
    }
}

impl Data {
    /// So many examples of a language over `vocab` tokens, always the same.
    pub(super) fn new(texts: Texts, examples: usize, vocab: u32) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let language = Language::new(vocab, &mut random);
        let mut draw = |count| -> Vec<Row> {
            let row = |_| texts.example(&language, &mut random);
            (0..count).map(row).collect()
        };
        let (examples, held_out) = (draw(examples), draw(HELD_OUT));
        Self { examples, held_out }
    }

    /// Reads a file, whose ids are to be below `vocab`.
    pub(super) fn read(path: &Path, vocab: usize) -> Result<Self> {
        let data: Self = read_json(path)?;
        let is_good = |row: &Row| {
            let in_vocabulary = row.ids.iter().all(|id| (*id as usize) < vocab);
            in_vocabulary && row.target_start.max(1) < row.ids.len()
        };
        let mut rows = data.examples.iter().chain(&data.held_out);
        match data.examples.is_empty() || data.held_out.is_empty() || !rows.all(is_good) {
            true => Err(miette!(
                "{}: there are no examples, or one has no target, or an id of {vocab} or more",
                path.display()
            )),
            false => Ok(data),
        }
    }
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let read = || serde_json::from_slice(&fs::read(path).into_diagnostic()?).into_diagnostic();
    read().wrap_err_with(|| path.display().to_string())
}

impl Texts {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Full => "full",
        }
    }

    fn example(self, language: &Language, random: &mut ChaCha8Rng) -> Row {
        let length = match self {
            Self::Prompts => 2f64.powf(random.random_range(5.0..8.0)) as usize,
            Self::Full => 129,
        };
        let target_start = match self {
            Self::Prompts => length - length / 4,
            Self::Full => 0,
        };
        let ids = language.text(length, random);
        Row { ids, target_start }
    }
}

/// A language that frozen models with random weights have something to learn of through their
/// bridges: 64 of the vocabulary's tokens, each followed by one of four with probabilities 1/2, 1/4,
/// 1/8 and 1/8.
struct Language {
    tokens: Vec<u32>,
    /// Of every token, indices into `tokens`.
    next: Vec<[usize; 4]>,
}

impl Language {
    const TOKENS: usize = 64;

    fn new(vocab: u32, random: &mut ChaCha8Rng) -> Self {
        let all: Vec<u32> = (0..vocab).collect();
        let tokens: Vec<u32> = all.sample(random, Self::TOKENS).copied().collect();
        let next = tokens
            .iter()
            .map(|_| [0; 4].map(|_| random.random_range(0..tokens.len())))
            .collect();
        Self { tokens, next }
    }

    fn text(&self, length: usize, random: &mut ChaCha8Rng) -> Vec<u32> {
        let mut at = random.random_range(0..self.tokens.len());
        let token = |_| {
            at = match random.random_range(0..8) {
                0..4 => self.next[at][0],
                4..6 => self.next[at][1],
                6 => self.next[at][2],
                _ => self.next[at][3],
            };
            self.tokens[at]
        };
        (0..length).map(token).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_of_their_language() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let language = Language::new(1024, &mut random);
        for texts in [Texts::Prompts, Texts::Full] {
            for _ in 0..20 {
                let Row { ids, target_start } = texts.example(&language, &mut random);
                assert!((32..256).contains(&ids.len()));
                assert!(ids.iter().all(|id| language.tokens.contains(id)));
                assert!(target_start < ids.len());
            }
        }
    }
}
