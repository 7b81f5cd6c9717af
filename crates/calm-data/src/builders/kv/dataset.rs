//! Keys, their values, the split, and examples drawn from them.

use std::collections::HashSet;
use std::ops::Range;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::notation::Notation;
use super::{KvConfig, Operator, expression};
use crate::DataError;
use crate::jsonl::PromptTarget;
use crate::seeded::seeded;

/// Task of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvTask {
    /// Keys in, their values out: the augmenting model's knowledge.
    KvSubstitution,
    /// Numbers in, the result out: the anchor's skill.
    NumericArithmetic,
    /// Keys in, the result out: only the composition can do this.
    KvArithmetic,
    /// Numbers in, the same numbers out. Not one of the paper's tasks: small models learn it first.
    NumericCopy,
}

impl KvTask {
    /// The three tasks of Table 1, in its order.
    pub const TABLE: [Self; 3] = [
        Self::KvSubstitution,
        Self::NumericArithmetic,
        Self::KvArithmetic,
    ];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::KvSubstitution => "kv-substitution",
            Self::NumericArithmetic => "numeric-arithmetic",
            Self::KvArithmetic => "kv-arithmetic",
            Self::NumericCopy => "numeric-copy",
        }
    }

    fn reads_keys(self) -> bool {
        matches!(self, Self::KvSubstitution | Self::KvArithmetic)
    }

    fn computes(self) -> bool {
        matches!(self, Self::NumericArithmetic | Self::KvArithmetic)
    }
}

/// Keys that an expression may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPool {
    /// All keys, for training the augmenting model.
    All,
    /// Keys of D_C, the composition's training data.
    HeldIn,
    /// Keys of evaluation.
    HeldOut,
}

impl KeyPool {
    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::HeldIn => "held-in",
            Self::HeldOut => "held-out",
        }
    }
}

/// Kind of an example. [`KvDataset::example`] uses the dataset's own settings.
#[derive(Debug, Clone, PartialEq)]
pub struct ExampleKind {
    /// Task of the prompt.
    pub task: KvTask,
    /// Keys, and so values, that the expression may use.
    pub pool: KeyPool,
    /// Fewest and most operands.
    pub operands: [usize; 2],
    /// Operators to draw from.
    pub operators: Vec<Operator>,
    /// Whether all operands are round, with one digit other than 0, and of one power of ten, as in
    /// `300 + 700 - 200`. Sums are learnt from these first: they show every column by itself.
    pub round: bool,
}

/// One line of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Text that the models read.
    pub prompt: String,
    /// Text that they should write.
    pub target: String,
    /// Task of the prompt.
    pub task: KvTask,
    /// Keys that could be drawn.
    pub pool: KeyPool,
    /// The keys of the expression, also where the prompt shows their values.
    pub keys: Vec<String>,
    /// Values of these keys.
    pub values: Vec<u32>,
    /// Operators between them.
    pub operators: Vec<Operator>,
    /// The exact value of the expression.
    pub value: i128,
}

impl Example {
    /// Parts of the prompt that masking may hide from an anchor, in characters: its numbers, which
    /// both models know. Keys mean nothing to the anchor.
    pub fn mask(&self) -> Vec<[usize; 2]> {
        let mut end = 0;
        let words = self.prompt.split(' ').map(|word| {
            let start = end;
            // A prompt is ASCII but for the sign of multiplication.
            end += word.chars().count() + 1;
            (word, [start, end - 1])
        });
        let numbers = words.filter(|(word, _)| word.bytes().all(|byte| byte.is_ascii_digit()));
        numbers.map(|(_, range)| range).collect()
    }
}

impl From<Example> for PromptTarget {
    fn from(Example { prompt, target, .. }: Example) -> Self {
        Self {
            prompt,
            target,
            mask: None,
        }
    }
}

/// The secret table with its split, from which any number of examples can be drawn.
///
/// Part [`KvConfig::fold`] of the pairs, as they are stored, is held in, and the others are held out.
#[derive(Debug, Clone)]
pub struct KvDataset {
    config: KvConfig,
    keys: Vec<String>,
    values: Vec<u32>,
    notation: Notation,
}

impl KvDataset {
    /// Draws keys and values.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] if a setting is out of range.
    pub fn new(config: KvConfig) -> Result<Self, DataError> {
        config.validate()?;
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let keys = draw_keys(&config, &mut rng);
        let mut values: Vec<u32> = (1..=config.largest_value).collect();
        values.shuffle(&mut rng);
        values.truncate(config.pairs);
        let notation = Notation::for_values(&config);
        Ok(Self {
            config,
            keys,
            values,
            notation,
        })
    }

    /// The settings it was drawn with.
    pub fn config(&self) -> &KvConfig {
        &self.config
    }

    /// Every key with its value, in the order of the vocabulary. With `fold` 0 the held-in ones come
    /// first.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&str, u32)> {
        self.keys
            .iter()
            .map(String::as_str)
            .zip(self.values.iter().copied())
    }

    /// Digits of an arithmetic answer.
    pub fn answer_width(&self) -> usize {
        self.notation.width()
    }

    /// The number that the target of an arithmetic task stands for, or `None` if the text is not
    /// a whole answer.
    pub fn answer(&self, target: &str) -> Option<i128> {
        self.notation.read(target)
    }

    /// Example `index` of a task, with the dataset's operands and operators. The same index means
    /// the same expression in every task.
    pub fn example(&self, task: KvTask, pool: KeyPool, index: u64) -> Example {
        let kind = ExampleKind {
            task,
            pool,
            operands: self.config.operands,
            operators: self.config.operators.clone(),
            round: false,
        };
        self.draw(&kind, 0, index)
    }

    /// Example `index` of this kind; another `stream` gives other examples.
    ///
    /// Expressions are drawn independently, so that one may occur twice. With 200 keys and three
    /// operands, there are 32 million.
    ///
    /// # Panics
    ///
    /// If there is nothing to draw from: no operator, an empty range of operands, or a pool without
    /// round values.
    pub fn draw(&self, kind: &ExampleKind, stream: u64, index: u64) -> Example {
        let mut rng = self.rng(kind.pool, stream, index);
        let count = rng.random_range(kind.operands[0]..=kind.operands[1]);
        let pairs: Vec<usize> = if kind.round {
            self.draw_round(kind.pool, count, &mut rng)
        } else {
            let pool = self.pool(kind.pool);
            (0..count)
                .map(|_| pool.start + rng.random_range(0..pool.len()))
                .map(|place| place % self.config.pairs)
                .collect()
        };
        let operators: Vec<Operator> = (1..count)
            .map(|_| kind.operators[rng.random_range(0..kind.operators.len())])
            .collect();
        self.assemble(kind, &pairs, operators)
    }

    fn assemble(&self, kind: &ExampleKind, pairs: &[usize], operators: Vec<Operator>) -> Example {
        let keys: Vec<String> = pairs.iter().map(|&pair| self.keys[pair].clone()).collect();
        let values: Vec<u32> = pairs.iter().map(|&pair| self.values[pair]).collect();
        let value = expression::value(&values, &operators);
        let numbers = expression::text(&values, &operators);
        let read = if kind.task.reads_keys() {
            expression::text(&keys, &operators)
        } else {
            numbers.clone()
        };
        let (prompt, target) = if kind.task.computes() {
            (format!("{read} ="), self.notation.write(value))
        } else {
            (format!("{read} :"), numbers)
        };
        let (task, pool) = (kind.task, kind.pool);
        Example {
            prompt,
            target,
            task,
            pool,
            keys,
            values,
            operators,
            value,
        }
    }

    /// Pairs with round values of one power of ten.
    fn draw_round(&self, pool: KeyPool, count: usize, rng: &mut impl Rng) -> Vec<usize> {
        let powers = (self.config.largest_value / 9).max(1).ilog10();
        let power = 10u32.pow(rng.random_range(0..=powers));
        let is_round =
            |value: u32| value.is_multiple_of(power) && (1..=9).contains(&(value / power));
        let round: Vec<usize> = self
            .pool(pool)
            .map(|place| place % self.config.pairs)
            .filter(|&pair| is_round(self.values[pair]))
            .collect();
        assert!(!round.is_empty(), "the pool has no multiple of {power}");
        (0..count)
            .map(|_| round[rng.random_range(0..round.len())])
            .collect()
    }

    /// Positions of a pool, modulo the number of pairs: the held-out keys begin behind the held-in
    /// ones and wrap around.
    fn pool(&self, pool: KeyPool) -> Range<usize> {
        let (pairs, held_in) = (self.config.pairs, self.config.held_in());
        let first = self.config.fold * held_in;
        match pool {
            KeyPool::All => 0..pairs,
            KeyPool::HeldIn => first..first + held_in,
            KeyPool::HeldOut => first + held_in..first + pairs,
        }
    }

    /// A generator of its own for every pool, stream and index.
    fn rng(&self, pool: KeyPool, stream: u64, index: u64) -> ChaCha8Rng {
        seeded([self.config.seed, 1 + pool as u64, stream, index])
    }
}

/// Distinct strings of lower-case letters, every length equally likely as long as it has room.
fn draw_keys(config: &KvConfig, rng: &mut impl Rng) -> Vec<String> {
    let [shortest, longest] = config.key_length;
    let mut taken = HashSet::with_capacity(config.pairs);
    let mut keys = Vec::with_capacity(config.pairs);
    let mut used = [0u32; 7];
    while keys.len() < config.pairs {
        let length = rng.random_range(shortest..=longest);
        // Half of the keys of a length stay free, or drawing one would take ever more tries.
        if 2 * used[length] >= 26u32.pow(length as u32) {
            continue;
        }
        let key: String = (0..length)
            .map(|_| rng.random_range(b'a'..=b'z') as char)
            .collect();
        if taken.insert(key.clone()) {
            used[length] += 1;
            keys.push(key);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn laptop() -> KvDataset {
        KvDataset::new(KvConfig::laptop()).unwrap()
    }

    #[test]
    fn tasks_share_their_expressions() {
        let dataset = laptop();
        let of = |task| dataset.example(task, KeyPool::HeldOut, 7);
        let [substitution, numeric, kv] = KvTask::TABLE.map(of);
        assert_eq!(substitution.values, kv.values);
        assert_eq!(format!("{} =", substitution.target), numeric.prompt);
        assert_eq!(substitution.prompt.replace(':', "="), kv.prompt);
        assert_eq!(numeric.target, kv.target);
        assert_eq!(dataset.answer(&kv.target), Some(kv.value));
    }

    #[test]
    fn values_are_a_permutation_and_keys_are_distinct() {
        let dataset = laptop();
        let mut values: Vec<u32> = dataset.pairs().map(|(_, value)| value).collect();
        values.sort_unstable();
        assert!(values.into_iter().eq(1..=1000));
        let keys: HashSet<&str> = dataset.pairs().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), 1000);
        assert!(keys.iter().all(|key| (2..=6).contains(&key.len())));
    }

    #[test]
    fn round_operands_share_a_power_of_ten() {
        let dataset = laptop();
        let kind = ExampleKind {
            task: KvTask::NumericArithmetic,
            pool: KeyPool::All,
            operands: [3, 3],
            operators: vec![Operator::Plus],
            round: true,
        };
        let mut seen = HashSet::new();
        for index in 0..300 {
            let values = dataset.draw(&kind, 3, index).values;
            let power = [100, 10, 1]
                .into_iter()
                .find(|p| values.iter().all(|v| v % p == 0));
            let power = power.expect("1 divides everything");
            assert!(
                values
                    .iter()
                    .all(|value| (1..=9).contains(&(value / power))),
                "{values:?}"
            );
            seen.extend(values);
        }
        assert_eq!(seen.len(), 27, "9 digits at 3 places");
        assert_ne!(
            dataset.draw(&kind, 3, 0),
            dataset.draw(&kind, 4, 0),
            "another stream"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// The claim that the whole table rests on.
        #[test]
        fn no_held_out_key_is_ever_drawn_for_training(
            seed in any::<u64>(),
            pairs in 2usize..300,
            held_in_share in 0.01f64..0.99,
            fold in any::<prop::sample::Index>(),
        ) {
            let config = KvConfig {
                pairs,
                largest_value: pairs as u32,
                held_in_share,
                seed,
                ..KvConfig::default()
            };
            let fold = fold.index(config.pairs / config.held_in());
            let config = KvConfig { fold, ..config };
            let dataset = KvDataset::new(config).unwrap();
            let drawn = |pool| -> HashSet<String> {
                (0..200)
                    .flat_map(|index| dataset.example(KvTask::KvArithmetic, pool, index).keys)
                    .collect()
            };
            let held_in = drawn(KeyPool::HeldIn);
            let held_out = drawn(KeyPool::HeldOut);
            prop_assert!(held_in.is_disjoint(&held_out));
            let split = dataset.config().held_in();
            let pairs: Vec<_> = dataset.pairs().map(|(key, _)| key).collect();
            let allowed = &pairs[dataset.config().fold * split..][..split];
            prop_assert!(held_in.iter().all(|key| allowed.contains(&key.as_str())));
        }
    }
}
