//! Biases of the scores by the positions of their keys (ALiBi, arXiv 2108.12409).

use burn::tensor::DType;
use half::{bf16, f16};

use crate::config::{AlibiKind, AttentionConfig};

/// The slope of every head: powers of 2^(-8/n) for n heads, n a power of two. Heads beyond the largest
/// power of two have every other slope of twice as many heads.
pub(crate) fn slopes(heads: usize) -> Vec<f32> {
    let whole = 1 << heads.ilog2();
    let power = |heads: usize, exponent: usize| {
        let base = (-8.0 / heads as f64).exp2() as f32;
        base.powf(exponent as f32)
    };
    let first = (1..=whole).map(|index| power(whole, index));
    let others = (0..heads - whole).map(|index| power(2 * whole, 2 * index + 1));
    first.chain(others).collect()
}

/// The biases of a head, to be added to scaled scores computed in `dtype`.
pub(crate) struct HeadBias {
    slope: f32,
    kind: AlibiKind,
    scale: f32,
    dtype: DType,
}

impl HeadBias {
    /// Of every head.
    pub(crate) fn of_heads(
        attention: &AttentionConfig,
        kind: AlibiKind,
        dtype: DType,
    ) -> Vec<Self> {
        let scale = attention.score_scale() as f32;
        let bias = |slope| Self {
            slope,
            kind,
            scale,
            dtype,
        };
        slopes(attention.heads).into_iter().map(bias).collect()
    }

    /// For keys at these positions.
    pub(crate) fn of_keys(&self, positions: &[usize]) -> impl Iterator<Item = f32> {
        positions.iter().map(|position| self.at(*position))
    }

    fn at(&self, position: usize) -> f32 {
        let position = position as f32;
        match self.kind {
            AlibiKind::AfterScale => round(self.slope * position, self.dtype),
            AlibiKind::BeforeScale => {
                let [slope, position] = [self.slope, position].map(|x| round(x, DType::BF16));
                round(
                    round(slope * position, DType::BF16) * self.scale,
                    self.dtype,
                )
            }
        }
    }
}

fn round(x: f32, dtype: DType) -> f32 {
    match dtype {
        DType::F16 => f16::from_f32(x).to_f32(),
        DType::BF16 => bf16::from_f32(x).to_f32(),
        _ => x,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DecoderConfig;

    #[track_caller]
    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn slopes_fall_geometrically() {
        let eight: Vec<f32> = (1..=8).map(|power| 0.5f32.powi(power)).collect();
        assert_close(&slopes(8), &eight);
        assert_close(&slopes(2), &[0.0625, 0.003_906_25]);
        assert_close(&slopes(1), &[0.003_906_25]);
        // Those of four, and the first and third of eight.
        assert_close(
            &slopes(6),
            &[0.25, 0.0625, 0.015_625, 0.003_906_25, 0.5, 0.125],
        );
    }

    #[test]
    fn biases_are_rounded_where_the_kind_says() {
        let attention = DecoderConfig::llama(8, 64, 1, 16).blocks[0]
            .attention
            .clone();
        let bias = |kind, dtype| HeadBias::of_heads(&attention, kind, dtype)[0].at(1001);
        let exact = 0.5f32.sqrt() * 1001.0;
        let rounded = bf16::from_f32(exact).to_f32();
        assert_close(&[bias(AlibiKind::AfterScale, DType::F32)], &[exact]);
        assert_eq!(bias(AlibiKind::AfterScale, DType::BF16), rounded);
        // 0.707 and 1001 become 0.70703125 and 1000; heads of 4 numbers halve.
        let before = bf16::from_f32(0.707_031_25 * 1000.0).to_f32() / 2.0;
        assert_eq!(bias(AlibiKind::BeforeScale, DType::F32), before);
    }
}
