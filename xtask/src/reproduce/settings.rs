//! What the experiment is, apart from how it is run.

use calm_lm::compose::{BridgeOptions, Connection, ConnectionPlan};
use calm_lm::data::jsonl::PromptTarget;
use calm_lm::data::kv::{Draw, KeyPool, KvConfig, KvDataset, Task};
use calm_lm::data::{Batches, DataError, Examples, tokenize};
use calm_lm::models::FrozenModel;
use calm_lm::train::{OptimizerKind, TrainConfig};
use serde::{Deserialize, Serialize};

use crate::scale::Scale;

/// What D_C, the composition's training data, consists of. The paper can be read in three ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reading {
    /// KV-Arithmetic, KV-Substitution and some numeric arithmetic.
    Mixed,
    /// KV-Arithmetic alone (section 3.2 and figure 1).
    Arithmetic,
    /// KV-Substitution alone (section 4.1).
    Substitution,
}

impl Reading {
    pub(crate) const ALL: [Self; 3] = [Self::Mixed, Self::Arithmetic, Self::Substitution];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Arithmetic => "arithmetic",
            Self::Substitution => "substitution",
        }
    }

    /// Shares of the tasks in D_C, in percent.
    fn shares(self) -> &'static [(Task, usize)] {
        match self {
            Self::Mixed => &[
                (Task::KvArithmetic, 60),
                (Task::KvSubstitution, 10),
                (Task::NumericArithmetic, 30),
            ],
            Self::Arithmetic => &[(Task::KvArithmetic, 100)],
            Self::Substitution => &[(Task::KvSubstitution, 100)],
        }
    }
}

/// Everything that fixes the numbers in the table, written beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Table, split and expressions.
    pub(crate) data: KvConfig,
    /// Expressions in D_C.
    pub(crate) training_expressions: usize,
    /// Fewest and most operands of keys in D_C. Evaluation uses those of `data`, and so does
    /// numeric arithmetic in D_C: short sums of numbers need no rehearsing.
    pub(crate) training_operands: [usize; 2],
    /// Rows of a batch.
    pub(crate) rows: usize,
    /// The training run; the seed is set for each.
    pub(crate) train: TrainConfig,
    /// `[augmenting block, anchor block]`.
    pub(crate) connections: Vec<[usize; 2]>,
    /// Attention heads of the bridges, if other than the anchor's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) heads: Option<usize>,
    /// Options of the bridges. Those of the paper are not written, so that runs from before there
    /// were options keep their directories.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) options: BridgeOptions,
    /// Noise on m_A's hidden states while bridges are trained, see [`calm_lm::train::BridgeTraining`].
    pub(crate) noise: f64,
    /// Held-out expressions per task.
    pub(crate) evaluated: usize,
}

impl Settings {
    /// The settings that were found at laptop scale, with the data of `scale`.
    pub(crate) fn new(scale: Scale) -> Self {
        let data = scale.data();
        Self {
            training_expressions: 80_000,
            training_operands: [1, data.operands[1]],
            data,
            rows: 32,
            train: TrainConfig {
                steps: 3000,
                // A batch holds texts of one length, and so mostly one task: a step takes two.
                accumulation: 2,
                optimizer: OptimizerKind::Muon,
                learning_rate: 4e-3,
                warmup_steps: 50,
                decay_share: 0.7,
                weight_decay: 0.1,
                ..TrainConfig::default()
            },
            // m_B takes up its operands in block 1: a bridge behind it can be understood, and one
            // behind block 2 can still correct.
            connections: vec![[1, 1], [2, 1], [1, 2], [2, 2]],
            heads: None,
            options: BridgeOptions::default(),
            noise: 0.05,
            evaluated: 1000,
        }
    }

    /// The connections as a plan.
    pub(crate) fn plan(&self) -> ConnectionPlan {
        let pairs = self.connections.iter().copied().map(Connection::from);
        ConnectionPlan::Explicit(pairs.collect())
    }

    /// D_C in this reading, as batches in the order of a seed. The expressions are the same for
    /// every seed.
    pub(crate) fn batches(
        &self,
        dataset: &KvDataset,
        reading: Reading,
        model: &FrozenModel,
        seed: u64,
    ) -> Result<Batches, DataError> {
        let [pad, eos] = [PAD_ID, EOS_ID];
        let examples = (0..self.training_expressions)
            .map(|index| {
                let task = task_of(reading, index);
                // Numbers are no secret: only the keys that D_C may name are held in.
                let (pool, operands) = match task {
                    Task::NumericArithmetic => (KeyPool::All, self.data.operands),
                    _ => (KeyPool::HeldIn, self.training_operands),
                };
                let draw = Draw {
                    task,
                    pool,
                    operands,
                    operators: self.data.operators.clone(),
                    round: false,
                };
                let text = dataset.draw(&draw, TRAINING_STREAM, index as u64);
                let context = model.config().context_length;
                let tokenizer = model.tokenizer.inner();
                tokenize(tokenizer, index, &text.prompt, &text.target, eos, context)
            })
            .collect::<Result<Examples, DataError>>()?;
        Ok(Batches::new(examples, self.rows, pad, seed))
    }

    /// Expressions to evaluate a task on: over held-out keys for the table, over held-in keys to
    /// tell what was learnt from what generalises.
    pub(crate) fn evaluation(
        &self,
        dataset: &KvDataset,
        task: Task,
        pool: KeyPool,
    ) -> Vec<PromptTarget> {
        (0..self.evaluated as u64)
            .map(|index| dataset.example(task, pool, index).into())
            .collect()
    }
}

fn is_default(options: &BridgeOptions) -> bool {
    *options == BridgeOptions::default()
}

/// Other expressions than those of evaluation, also over the same keys.
const TRAINING_STREAM: u64 = 1;

/// Fixed by the vocabulary of the key-value datasets.
const PAD_ID: u32 = 0;
/// Fixed by the vocabulary of the key-value datasets.
pub(crate) const EOS_ID: u32 = 2;

/// Tasks take turns in their shares, so that every stretch of D_C has the same mixture.
fn task_of(reading: Reading, index: usize) -> Task {
    let mut turn = index * 37 % 100;
    for (task, share) in reading.shares() {
        if turn < *share {
            return *task;
        }
        turn -= share;
    }
    unreachable!("shares add up to 100")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept() {
        for reading in Reading::ALL {
            for (task, share) in reading.shares() {
                let drawn = (0..1000)
                    .filter(|index| task_of(reading, *index) == *task)
                    .count();
                assert_eq!(drawn, 10 * share, "{task:?} in {reading:?}");
            }
        }
    }
}
