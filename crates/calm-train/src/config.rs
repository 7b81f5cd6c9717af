//! Settings of a training run, as they are written beside its results.

use burn::lr_scheduler::LrSchedulerConfig;
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::{ModuleLrScheduler, ModuleLrSchedulerConfig};
use burn::lr_scheduler::sequential::SequentialLrSchedulerConfig;
use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamWConfig, AdjustLrFn, ModuleOptimizer, MuonConfig};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// The rule by which gradients move parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// AdamW for every parameter.
    #[default]
    #[serde(rename = "adamw")]
    AdamW,
    /// Muon for the weight matrices between hidden states, AdamW for embeddings, head, norms and
    /// biases. Its updates have the size of AdamW's, so that one learning rate serves both.
    ///
    /// Sums of several operands are learnt several times sooner: the last digit of a sum depends on
    /// no operand by itself, and AdamW stays on that plateau for long.
    Muon,
}

/// Everything besides the data that fixes the outcome of a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Optimiser steps.
    pub steps: usize,
    /// What makes a step out of gradients.
    pub optimizer: OptimizerKind,
    /// Micro-batches whose gradients are added up before a step, weighted by target tokens.
    pub accumulation: usize,
    /// Highest learning rate, reached after the warm-up.
    pub learning_rate: f64,
    /// Factor on the learning rate of token embeddings. A row is only moved when its token is
    /// in the batch, so a small model with a large vocabulary learns faster with more than 1.
    pub embedding_rate_factor: f64,
    /// Steps over which the learning rate rises linearly from near zero.
    pub warmup_steps: usize,
    /// Share of the steps, at the end, over which the learning rate falls linearly to zero.
    pub decay_share: f64,
    /// Decoupled weight decay of AdamW.
    pub weight_decay: f64,
    /// AdamW's β₁ and β₂.
    pub betas: [f64; 2],
    /// Largest L2 norm of all gradients taken together; larger ones are scaled down to it.
    pub clip_norm: f64,
    /// Steps between checkpoints; the last step is always one.
    pub checkpoint_steps: usize,
    /// Fixes initial weights, data order and everything else that is drawn.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 1000,
            optimizer: OptimizerKind::AdamW,
            accumulation: 1,
            learning_rate: 1e-3,
            embedding_rate_factor: 1.0,
            warmup_steps: 50,
            decay_share: 0.5,
            weight_decay: 0.01,
            betas: [0.9, 0.98],
            clip_norm: 1.0,
            checkpoint_steps: 250,
            seed: 0,
        }
    }
}

impl TrainConfig {
    /// The same run in another number of steps, of which the warm-up is at most a quarter.
    #[must_use]
    pub fn with_steps(self, steps: usize) -> Self {
        Self {
            steps,
            warmup_steps: self.warmup_steps.min(steps / 4),
            ..self
        }
    }

    /// Checks every number against its range.
    ///
    /// # Errors
    ///
    /// [`TrainError::Config`] naming the first field out of range and what it may be.
    pub fn validate(&self) -> Result<(), TrainError> {
        let rules = [
            ("steps", self.steps >= 1, "at least 1"),
            ("accumulation", self.accumulation >= 1, "at least 1"),
            ("checkpoint_steps", self.checkpoint_steps >= 1, "at least 1"),
            (
                "learning_rate",
                in_range(self.learning_rate, f64::MIN_POSITIVE, 1.0),
                "in (0, 1]",
            ),
            (
                "embedding_rate_factor",
                in_range(
                    self.embedding_rate_factor * self.learning_rate,
                    f64::MIN_POSITIVE,
                    1.0,
                ),
                "positive, and at most 1 when multiplied by learning_rate",
            ),
            (
                "decay_share",
                in_range(self.decay_share, 0.0, 1.0),
                "in [0, 1]",
            ),
            (
                "warmup_steps",
                self.warmup_steps.saturating_add(self.decay_steps()) <= self.steps,
                "so short that warm-up and decay fit into the steps",
            ),
            (
                "weight_decay",
                in_range(self.weight_decay, 0.0, 1.0),
                "in [0, 1]",
            ),
            (
                "betas",
                self.betas.iter().all(|b| (0.0..1.0).contains(b)),
                "in [0, 1)",
            ),
            (
                "clip_norm",
                self.clip_norm > 0.0 && self.clip_norm.is_finite(),
                "positive",
            ),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((field, _, expected)) => Err(TrainError::Config { field, expected }),
            None => Ok(()),
        }
    }

    fn decay_steps(&self) -> usize {
        (self.steps as f64 * self.decay_share.clamp(0.0, 1.0)) as usize
    }

    /// A fresh optimiser for these parameters. Clipping is not left to it: Burn clips each tensor
    /// by itself, here the norm is that of all gradients together.
    pub(crate) fn optimizer(&self, parameters: &impl Module) -> ModuleOptimizer {
        let [beta_1, beta_2] = self.betas;
        let weight_decay = self.weight_decay as f32;
        let adam = AdamWConfig::new()
            .with_beta_1(beta_1 as f32)
            .with_beta_2(beta_2 as f32)
            .with_epsilon(1e-8)
            .with_weight_decay(weight_decay)
            .init();
        match self.optimizer {
            OptimizerKind::AdamW => adam,
            OptimizerKind::Muon => {
                let muon = MuonConfig::new()
                    .with_weight_decay(Some(WeightDecayConfig::new(weight_decay)))
                    .with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW)
                    .build();
                adam.with_group(ParamGroup::from_ids(inner_matrices(parameters)), muon, None)
            }
        }
    }

    /// Warm-up, plateau and decay, with `completed` steps already behind it.
    pub(crate) fn schedule(&self, completed: usize) -> Result<ModuleLrScheduler, TrainError> {
        let embeddings = ParamGroup::from_predicate("embedding");
        let mut schedule = ModuleLrSchedulerConfig::new(self.trapezoid(1.0))
            .with_group(embeddings, self.trapezoid(self.embedding_rate_factor))
            .init()
            .map_err(|reason| TrainError::Schedule { reason })?;
        for _ in 0..completed {
            schedule.step();
        }
        Ok(schedule)
    }

    fn trapezoid(&self, factor: f64) -> LrSchedulerConfig {
        let peak = self.learning_rate * factor;
        let decay = self.decay_steps();
        let plateau = self.steps - self.warmup_steps - decay;
        let mut parts = Vec::new();
        let mut milestones = Vec::new();
        let mut end = 0;
        for (from, to, steps) in [
            (
                peak / self.warmup_steps.max(1) as f64,
                peak,
                self.warmup_steps,
            ),
            (peak, peak, plateau),
            (peak, 0.0, decay),
        ] {
            if steps > 0 {
                if end > 0 {
                    milestones.push(end);
                }
                parts.push(LinearLrSchedulerConfig::new(from, to, steps).into());
                end += steps;
            }
        }
        SequentialLrSchedulerConfig::new(parts, milestones).into()
    }
}

/// Every weight matrix between hidden states: all but embedding and head, which are tables of
/// tokens, not maps.
fn inner_matrices(parameters: &impl Module) -> Vec<ParamId> {
    let mut matrices = InnerMatrices::default();
    parameters.visit(&mut matrices);
    matrices.ids
}

#[derive(Default)]
struct InnerMatrices {
    path: Vec<String>,
    ids: Vec<ParamId>,
}

impl ModuleVisitor for InnerMatrices {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let is_table = self
            .path
            .iter()
            .any(|name| name == "embedding" || name == "head");
        if D == 2 && !is_table {
            self.ids.push(param.id);
        }
    }
}

fn in_range(value: f64, low: f64, high: f64) -> bool {
    (low..=high).contains(&value)
}
