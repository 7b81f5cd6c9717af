//! Settings of the experiment.

use calm_lm::compose::{BridgeOptions, Connection, ConnectionPlan};
use calm_lm::data::jsonl::PromptTarget;
use calm_lm::data::kv::{DataMixture, EOS_ID, KeyPool, KvConfig, KvDataset, KvTask, PAD_ID};
use calm_lm::data::{Batches, DataError, Examples, tokenize};
use calm_lm::models::FrozenModel;
use calm_lm::train::{DataTokenizer, OptimizerKind, TrainConfig};
use serde::{Deserialize, Serialize};

use crate::scale::Scale;

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
    #[serde(default = "BridgeOptions::paper", skip_serializing_if = "is_paper")]
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
            noise: 0.1,
            evaluated: 1000,
        }
    }

    /// The connections as a plan.
    pub(crate) fn plan(&self) -> ConnectionPlan {
        let pairs = self.connections.iter().copied().map(Connection::from);
        ConnectionPlan::Explicit(pairs.collect())
    }

    /// D_C as batches in the order of a seed. The expressions are the same for every seed.
    pub(crate) fn batches(
        &self,
        dataset: &KvDataset,
        mixture: DataMixture,
        model: &FrozenModel,
        seed: u64,
    ) -> Result<Batches, DataError> {
        let (operands, count) = (self.training_operands, self.training_expressions);
        let context = model.config().context_length;
        let tokenizer = DataTokenizer(&model.tokenizer);
        let examples = dataset.training_examples(mixture, operands, count);
        let examples = examples.enumerate().map(|(index, text)| {
            tokenize(
                &tokenizer,
                index,
                &text.prompt,
                &text.target,
                EOS_ID,
                context,
            )
        });
        let examples = examples.collect::<Result<Examples, DataError>>()?;
        Ok(Batches::new(examples, self.rows, PAD_ID, seed))
    }

    /// Expressions to evaluate a task on: over held-out keys for the table, over held-in keys to
    /// tell what was learnt from what generalises.
    pub(crate) fn evaluation(
        &self,
        dataset: &KvDataset,
        task: KvTask,
        pool: KeyPool,
    ) -> Vec<PromptTarget> {
        (0..self.evaluated as u64)
            .map(|index| dataset.example(task, pool, index).into())
            .collect()
    }
}

fn is_paper(options: &BridgeOptions) -> bool {
    *options == BridgeOptions::paper()
}
