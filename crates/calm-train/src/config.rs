//! Settings of a training run, as they are written beside its results.

use burn::lr_scheduler::LrSchedulerConfig;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::{ModuleLrScheduler, ModuleLrSchedulerConfig};
use burn::lr_scheduler::sequential::SequentialLrSchedulerConfig;
use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdjustLrFn, ModuleOptimizer, MuonConfig};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::adamw::AdamW;

/// The rule by which gradients move parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// AdamW for every parameter.
    #[default]
    #[serde(rename = "adamw", alias = "adamw_torch", alias = "adamw_torch_fused")]
    AdamW,
    /// Muon for the weight matrices between hidden states, AdamW for embeddings, head, norms and
    /// biases. Its updates have the size of AdamW's, so that one learning rate serves both.
    ///
    /// Sums of several operands are learnt several times sooner: the last digit of a sum depends on
    /// no operand by itself, and AdamW stays on that plateau for long.
    Muon,
}

/// How the learning rate falls, after it has risen and stayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// By the same amount at every step, to zero.
    #[default]
    Linear,
    /// Along half a wave of the cosine, to zero.
    Cosine,
    /// Not at all.
    #[serde(alias = "constant_with_warmup")]
    Constant,
}

/// Most micro-batches that a step may have; more are a slip of the pen.
const MOST_ACCUMULATION: usize = 1 << 20;

/// Everything besides the data that fixes the outcome of a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Optimiser steps.
    pub steps: usize,
    /// Optimiser.
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
    /// How the learning rate falls at the end.
    pub schedule: Schedule,
    /// Share of the steps, at the end, over which it does.
    pub decay_share: f64,
    /// Decoupled weight decay of AdamW.
    pub weight_decay: f64,
    /// AdamW's β₁ and β₂.
    pub betas: [f64; 2],
    /// Largest L2 norm of all gradients taken together; larger ones are scaled down to it.
    pub clip_norm: f64,
    /// Steps in a row that are skipped because their loss or their gradients are not finite: they
    /// move nothing, but count as steps. One more stops the run.
    pub skip_not_finite: usize,
    /// Steps between checkpoints; the last step is always one.
    pub checkpoint_steps: usize,
    /// The last so many checkpoints are kept, besides the best.
    pub keep_checkpoints: usize,
    /// Steps between validations, each followed by a checkpoint; the last step is always one. None
    /// given: as for checkpoints.
    pub validation_steps: Option<usize>,
    /// Validations without a better one after which the run stops. None given: it never does.
    pub patience: Option<usize>,
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
            schedule: Schedule::Linear,
            decay_share: 0.5,
            weight_decay: 0.01,
            betas: [0.9, 0.98],
            clip_norm: 1.0,
            skip_not_finite: 0,
            checkpoint_steps: 250,
            keep_checkpoints: 2,
            validation_steps: None,
            patience: None,
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
            (
                "accumulation",
                (1..=MOST_ACCUMULATION).contains(&self.accumulation),
                "from 1 to 1048576",
            ),
            ("checkpoint_steps", self.checkpoint_steps >= 1, "at least 1"),
            ("keep_checkpoints", self.keep_checkpoints >= 1, "at least 1"),
            (
                "validation_steps",
                self.validation_steps != Some(0),
                "at least 1",
            ),
            ("patience", self.patience != Some(0), "at least 1"),
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
            ("beta1", (0.0..1.0).contains(&self.betas[0]), "in [0, 1)"),
            ("beta2", (0.0..1.0).contains(&self.betas[1]), "in [0, 1)"),
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
        match self.schedule {
            Schedule::Constant => 0,
            _ => (self.steps as f64 * self.decay_share.clamp(0.0, 1.0)) as usize,
        }
    }

    /// Whether the run is to be validated after this step.
    pub(crate) fn is_validated_after(&self, step: usize) -> bool {
        let steps = self.validation_steps.unwrap_or(self.checkpoint_steps);
        step == self.steps || step.is_multiple_of(steps)
    }

    /// A fresh optimiser for these parameters. Clipping is not left to it: Burn clips each tensor
    /// by itself, here the norm is that of all gradients together.
    pub(crate) fn optimizer(&self, parameters: &impl Module) -> ModuleOptimizer {
        let weight_decay = self.weight_decay as f32;
        let adam = ModuleOptimizer::from(AdamW {
            betas: self.betas.map(|beta| beta as f32),
            epsilon: 1e-8,
            weight_decay,
        });
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

    /// The parts that have no step are left out, since Burn's schedulers must have one.
    fn trapezoid(&self, factor: f64) -> LrSchedulerConfig {
        let peak = self.learning_rate * factor;
        let (warmup, decay) = (self.warmup_steps, self.decay_steps());
        let linear = |from, to, steps| LinearLrSchedulerConfig::new(from, to, steps).into();
        let mut parts: Vec<LrSchedulerConfig> = Vec::new();
        let mut milestones = Vec::new();
        if warmup > 0 {
            parts.push(linear(peak / warmup as f64, peak, warmup));
            milestones.push(warmup);
        }
        if warmup + decay < self.steps {
            parts.push(LrSchedulerConfig::Constant(peak));
            milestones.push(self.steps - decay);
        }
        match self.schedule {
            _ if decay == 0 => {}
            Schedule::Cosine => {
                parts.push(CosineAnnealingLrSchedulerConfig::new(peak, decay).into());
            }
            Schedule::Linear | Schedule::Constant => parts.push(linear(peak, 0.0, decay)),
        }
        milestones.truncate(parts.len() - 1);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The learning rates of all steps in units of the highest, from a schedule that `completed`
    /// steps are behind.
    fn rates(config: &TrainConfig, completed: usize) -> Vec<f64> {
        let mut schedule = config.schedule(completed).unwrap();
        let steps = completed..config.steps;
        let rates = steps.map(|_| schedule.step().base() / config.learning_rate);
        rates.map(|rate| (rate * 1e6).round() / 1e6).collect()
    }

    fn config(schedule: Schedule, warmup_steps: usize, decay_share: f64) -> TrainConfig {
        TrainConfig {
            steps: 8,
            schedule,
            warmup_steps,
            decay_share,
            ..TrainConfig::default()
        }
    }

    #[test]
    fn the_rate_rises_stays_and_falls() {
        let linear = rates(&config(Schedule::Linear, 2, 0.5), 0);
        assert_eq!(linear, [0.5, 0.75, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]);
        let cosine = rates(&config(Schedule::Cosine, 2, 0.5), 0);
        let half = 0.5f64.sqrt() / 2.0;
        let falling = [1.0, 0.5 + half, 0.5, 0.5 - half].map(|rate| (rate * 1e6).round() / 1e6);
        assert_eq!(cosine[..4], [0.5, 0.75, 1.0, 1.0]);
        assert_eq!(cosine[4..], falling);
        let constant = rates(&config(Schedule::Constant, 2, 0.5), 0);
        assert_eq!(constant, [0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn parts_without_a_step_are_left_out() {
        for schedule in [Schedule::Linear, Schedule::Cosine, Schedule::Constant] {
            for (warmup, share) in [(0, 0.0), (8, 0.0), (0, 1.0), (4, 0.5), (0, 0.5), (3, 0.0)] {
                let config = config(schedule, warmup, share);
                config.validate().unwrap();
                let rates = rates(&config, 0);
                assert!(
                    rates.iter().all(|rate| *rate > 0.0 && *rate <= 1.0),
                    "{rates:?}"
                );
            }
        }
    }

    #[test]
    fn a_schedule_goes_on_where_it_was() {
        for schedule in [Schedule::Linear, Schedule::Cosine, Schedule::Constant] {
            let config = config(schedule, 2, 0.5);
            for completed in 0..8 {
                let rest = &rates(&config, 0)[completed..];
                assert_eq!(rates(&config, completed), rest);
            }
        }
    }
}
