//! How gradients move parameters: the flags for it.

use calm_lm::train::{OptimizerKind, Schedule, TrainConfig};
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(next_help_heading = "Optimiser and schedule")]
pub(super) struct OptimizerArgs {
    /// What makes a step out of gradients
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Optimizer::Adamw)]
    optimizer: Optimizer,
    /// Highest learning rate
    #[arg(
        long,
        value_name = "RATE",
        allow_negative_numbers = true,
        default_value_t = TrainConfig::default().learning_rate
    )]
    learning_rate: f64,
    /// Steps over which the learning rate rises to it [default: 50, at most a quarter of all]
    #[arg(long, value_name = "N")]
    warmup_steps: Option<usize>,
    /// How it falls at the end
    #[arg(long, value_name = "NAME", value_enum, default_value_t = ScheduleName::Linear)]
    schedule: ScheduleName,
    /// Share of the steps, at the end, over which it falls to zero
    #[arg(
        long,
        value_name = "SHARE",
        allow_negative_numbers = true,
        default_value_t = TrainConfig::default().decay_share
    )]
    decay_share: f64,
    /// Decoupled weight decay
    #[arg(
        long,
        value_name = "DECAY",
        allow_negative_numbers = true,
        default_value_t = TrainConfig::default().weight_decay
    )]
    weight_decay: f64,
    /// Decay of the mean of the gradients in AdamW, β₁
    #[arg(
        long,
        value_name = "BETA",
        allow_negative_numbers = true,
        default_value_t = TrainConfig::default().betas[0]
    )]
    beta1: f64,
    /// Decay of the mean of their squares, β₂
    #[arg(
        long,
        value_name = "BETA",
        allow_negative_numbers = true,
        default_value_t = TrainConfig::default().betas[1]
    )]
    beta2: f64,
    /// Largest norm of all gradients together
    #[arg(
        long,
        value_name = "NORM",
        allow_negative_numbers = true,
        default_value_t = TrainConfig::default().clip_norm
    )]
    clip_norm: f64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Optimizer {
    /// AdamW for every parameter
    Adamw,
    /// Muon for weight matrices, AdamW for the rest: often fewer steps where little data is
    /// learnt exactly
    Muon,
}

impl From<Optimizer> for OptimizerKind {
    fn from(optimizer: Optimizer) -> Self {
        match optimizer {
            Optimizer::Adamw => Self::AdamW,
            Optimizer::Muon => Self::Muon,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScheduleName {
    /// By the same amount at every step
    Linear,
    /// Along half a wave of the cosine
    Cosine,
    /// Not at all, whatever the share
    Constant,
}

impl From<ScheduleName> for Schedule {
    fn from(name: ScheduleName) -> Self {
        match name {
            ScheduleName::Linear => Self::Linear,
            ScheduleName::Cosine => Self::Cosine,
            ScheduleName::Constant => Self::Constant,
        }
    }
}

impl OptimizerArgs {
    /// The settings of a run of so many steps, with the defaults of all others.
    pub(super) fn config(&self, steps: usize) -> TrainConfig {
        let default = TrainConfig::default().with_steps(steps);
        TrainConfig {
            optimizer: self.optimizer.into(),
            learning_rate: self.learning_rate,
            warmup_steps: self.warmup_steps.unwrap_or(default.warmup_steps),
            schedule: self.schedule.into(),
            decay_share: self.decay_share,
            weight_decay: self.weight_decay,
            betas: [self.beta1, self.beta2],
            clip_norm: self.clip_norm,
            ..default
        }
    }
}
