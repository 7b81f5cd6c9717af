//! The steps between the two matrix products, row by row, and their gradients.

use std::iter::zip;

use crate::ops::attention::scoring::Scoring;
use crate::ops::cpu::{max, sum, tanh};

impl Scoring {
    /// Bounds products of queries and keys, if there is a cap, or adds the biases of their keys to
    /// every row, if there are any. Returns the factor that they are still to be multiplied by.
    #[inline(always)]
    pub(super) fn finish(self, products: &mut [f32], biases: Option<&[f32]>) -> f32 {
        if let Some(biases) = biases {
            for row in products.chunks_mut(biases.len().max(1)) {
                for (product, bias) in zip(row, biases) {
                    *product = *product * self.scale + bias;
                }
            }
            return 1.0;
        }
        let Some(cap) = self.cap else {
            return self.scale;
        };
        for product in products {
            *product = cap * tanh(*product * self.scale / cap);
        }
        1.0
    }

    /// The derivatives of bounded scores; none without a cap.
    #[inline(always)]
    pub(super) fn slopes(self, scores: &[f32], slopes: &mut Vec<f32>) {
        slopes.clear();
        if let Some(cap) = self.cap {
            let slope = |score: &f32| 1.0 - (score / cap) * (score / cap);
            slopes.extend(scores.iter().map(slope));
        }
    }
}

/// Scales the scores, sets hidden ones to -∞, subtracts the largest, and returns it. Scores beyond
/// the mask are padding and become -∞.
#[inline(always)]
pub(super) fn shift(scores: &mut [f32], hidden: &[u8], scale: f32) -> f32 {
    let (seen, beyond) = scores.split_at_mut(hidden.len());
    for (score, hidden) in zip(seen, hidden) {
        *score = if *hidden == 0 {
            *score * scale
        } else {
            f32::NEG_INFINITY
        };
    }
    beyond.fill(f32::NEG_INFINITY);
    // The bound only matters for rows that see nothing: -∞ - (-∞).
    let largest = max(scores).max(f32::MIN);
    for score in scores {
        *score -= largest;
    }
    largest
}

/// Scales the exponentials of a row to a sum of one, and returns their factor.
#[inline(always)]
pub(super) fn normalise(weights: &mut [f32]) -> f32 {
    // The bound only matters for rows that see nothing: 0 / 0.
    let factor = sum(weights, weights, |weight, _| weight)
        .max(f32::MIN_POSITIVE)
        .recip();
    for weight in weights {
        *weight *= factor;
    }
    factor
}

/// Replaces the gradient of a row of weights by that of its scores before scaling,
/// `scale · weight · (gradient - Σ gradient · weight)`.
#[inline(always)]
pub(super) fn softmax_gradient(gradient: &mut [f32], weights: &[f32], scale: f32) {
    let mean = sum(gradient, weights, |a, b| a * b);
    for (gradient, weight) in zip(gradient, weights) {
        *gradient = scale * weight * (*gradient - mean);
    }
}
