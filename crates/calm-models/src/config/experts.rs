//! Feed-forward layers of which every token uses a few.

use super::gated::{gated_flops, gated_params, gated_values};
use super::params::{BlockParam, GatedPart, ParamShape};
use super::{ConfigError, MAX_WIDTH, check_size};

/// Experts, gated layers of which every token uses some: those with the largest logits of a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertsConfig {
    /// Number of experts.
    pub count: usize,
    /// Number of experts that a token uses.
    pub used: usize,
    /// Weights of the experts that a token uses, in the sum of their outputs.
    pub weights: ExpertWeights,
    /// Inner width of one more gated layer, which all tokens use, times a sigmoid (Qwen 2).
    pub shared: Option<usize>,
}

/// Weights of the experts that a token uses. The softmax is computed in `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpertWeights {
    /// Their part of a softmax over all experts.
    Softmax,
    /// The same, divided by its sum.
    Normalized,
    /// The same, divided by its sum; weights and weighted outputs stay in `f32` (Mixtral).
    UnroundedNormalized,
}

impl ExpertsConfig {
    /// All parameters, for experts of width `d_ff`.
    pub(super) fn params(&self, d_model: usize, d_ff: usize) -> Vec<(BlockParam, ParamShape)> {
        let linear = |outputs| ParamShape::Linear {
            inputs: d_model,
            outputs,
            bias: false,
        };
        let mut params = vec![(BlockParam::Router, linear(self.count))];
        if let Some(width) = self.shared {
            params.extend(gated_params(d_model, width, BlockParam::Shared));
            params.push((BlockParam::SharedGate, linear(1)));
        }
        for index in 0..self.count {
            let expert = |part| BlockParam::Expert(index, part);
            params.extend(gated_params(d_model, d_ff, expert));
        }
        params
    }

    /// Parameters of the experts that a token does not use.
    pub(super) fn unused(&self, d_model: usize, d_ff: usize) -> usize {
        (self.count - self.used) * GatedPart::ALL.len() * d_model * d_ff
    }

    /// Two for each weight of the router, of the experts that are used, and of the shared layer.
    pub(super) fn flops(&self, d_model: usize, d_ff: usize) -> u64 {
        let shared = |width| gated_flops(d_model, width) + 2 * d_model as u64;
        2 * (d_model * self.count) as u64
            + self.used as u64 * gated_flops(d_model, d_ff)
            + self.shared.map_or(0, shared)
    }

    /// Probabilities of the router, inputs of the activations, and outputs that are weighted; where
    /// the projections are `trained`, their inputs too.
    pub(super) fn backward_values(&self, d_model: usize, d_ff: usize, trained: bool) -> usize {
        let weighted = |width| gated_values(d_model, width, trained) + d_model;
        let router = self.count + if trained { d_model } else { 0 };
        router + self.used * weighted(d_ff) + self.shared.map_or(0, weighted)
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        check_size("number of experts", self.count, MAX_EXPERTS)?;
        check_size("number of experts of a token", self.used, self.count)?;
        self.shared.map_or(Ok(()), |width| {
            check_size("width of the shared expert", width, MAX_WIDTH)
        })
    }
}

/// Most experts of a decoder, in all its blocks.
pub(super) const MAX_EXPERTS: usize = 1 << 16;
