//! Rotary frequencies, and their cosines and sines at given positions.

use std::f64::consts::TAU;

use crate::config::{RopeConfig, RopeScaling};

/// The angles per position of one pass.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frequencies {
    /// One for every pair of numbers that is turned, in `f32` like the reference implementation.
    pub(crate) angles: Vec<f32>,
    /// Cosines and sines are multiplied by this.
    pub(crate) magnitude: f32,
}

impl RopeScaling {
    /// Whether a sequence of `before` positions has the same frequencies as one of `after`.
    pub(crate) fn is_same_at(&self, before: usize, after: usize) -> bool {
        match *self {
            Self::Dynamic {
                original_context, ..
            } => before.max(original_context) == after.max(original_context),
            Self::LongRope {
                original_context, ..
            } => (before > original_context) == (after > original_context),
            _ => true,
        }
    }

    fn magnitude(&self) -> f64 {
        match self {
            Self::Yarn {
                attention_factor, ..
            }
            | Self::LongRope {
                attention_factor, ..
            } => *attention_factor,
            _ => 1.0,
        }
    }
}

/// The frequencies for heads of this width, in a sequence of `length` positions.
pub(crate) fn frequencies(rope: &RopeConfig, d_head: usize, length: usize) -> Frequencies {
    let d_rotary = rope.d_rotary(d_head);
    let base = base(rope, d_rotary, length) as f32;
    let angles = (0..d_rotary.div_ceil(2)).map(|i| {
        let exponent = (2 * i) as f32 / d_rotary as f32;
        let frequency = base.powf(exponent).recip();
        scale(frequency, i, rope, d_rotary, length)
    });
    Frequencies {
        angles: angles.collect(),
        magnitude: rope.scaling.magnitude() as f32,
    }
}

/// The base of the powers.
fn base(rope: &RopeConfig, d_rotary: usize, length: usize) -> f64 {
    match rope.scaling {
        RopeScaling::Dynamic {
            factor,
            original_context,
        } if length > original_context => {
            let stretch = factor * length as f64 / original_context as f64 - (factor - 1.0);
            let d_rotary = d_rotary as f64;
            rope.theta * stretch.powf(d_rotary / (d_rotary - 2.0))
        }
        _ => rope.theta,
    }
}

/// The `index`-th frequency as the scaling changes it.
fn scale(frequency: f32, index: usize, rope: &RopeConfig, d_rotary: usize, length: usize) -> f32 {
    match &rope.scaling {
        RopeScaling::None | RopeScaling::Dynamic { .. } => frequency,
        RopeScaling::Linear { factor } => frequency / *factor as f32,
        RopeScaling::Llama3 {
            factor,
            low_frequency_factor: low,
            high_frequency_factor: high,
            original_context,
        } => {
            // Turns within the original context: few for low frequencies, many for high ones.
            let turns = *original_context as f64 * f64::from(frequency) / TAU;
            blend(frequency, *factor, (turns - low) / (high - low))
        }
        RopeScaling::Yarn {
            factor,
            beta_fast,
            beta_slow,
            truncate,
            original_context,
            ..
        } => {
            // The index at which a frequency turns so often within the original context.
            let index_of = |turns: f64| {
                let context = *original_context as f64;
                d_rotary as f64 * (context / (turns * TAU)).ln() / (2.0 * rope.theta.ln())
            };
            let (first, last) = match (index_of(*beta_fast), index_of(*beta_slow)) {
                (first, last) if *truncate => (first.floor(), last.ceil()),
                exact => exact,
            };
            let (first, last) = (first.max(0.0), last.min(d_rotary as f64 - 1.0));
            // The least width keeps a blend of no width at all from dividing by zero.
            let width = if first == last { 0.001 } else { last - first };
            blend(
                frequency,
                *factor,
                1.0 - ((index as f64 - first) / width).clamp(0.0, 1.0),
            )
        }
        RopeScaling::LongRope {
            short_factors,
            long_factors,
            original_context,
            ..
        } => {
            let is_long = length > *original_context;
            let factors = if is_long { long_factors } else { short_factors };
            frequency / factors[index] as f32
        }
    }
}

/// `kept` of the frequency, the rest of it divided by `factor`.
fn blend(frequency: f32, factor: f64, kept: f64) -> f32 {
    let (frequency, kept) = (f64::from(frequency), kept.clamp(0.0, 1.0));
    ((1.0 - kept) * (frequency / factor) + kept * frequency) as f32
}

/// Cosines and sines of all angles at `positions`, position by position.
pub(crate) fn table(
    frequencies: &Frequencies,
    positions: std::ops::Range<usize>,
) -> (Vec<f32>, Vec<f32>) {
    let angles = &frequencies.angles;
    let magnitude = frequencies.magnitude;
    positions
        .flat_map(|position| angles.iter().map(move |f| position as f32 * f))
        .map(|angle| (angle.cos() * magnitude, angle.sin() * magnitude))
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn angles(theta: f64, scaling: RopeScaling, d_head: usize, length: usize) -> Vec<f32> {
        let rope = RopeConfig {
            scaling,
            ..RopeConfig::plain(theta)
        };
        frequencies(&rope, d_head, length).angles
    }

    #[track_caller]
    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn plain_frequencies_fall_geometrically() {
        let found = angles(1e4, RopeScaling::None, 8, 1);
        assert_close(&found, &[1.0, 0.1, 0.01, 0.001]);
    }

    #[test]
    fn part_of_a_head_has_fewer_frequencies() {
        let rope = RopeConfig {
            partial: 0.45,
            ..RopeConfig::plain(1e4)
        };
        // 7 of 16 numbers, turned as if they were 8.
        let found = frequencies(&rope, 16, 1).angles;
        let expected = [0, 2, 4, 6].map(|i| 1e4f32.powf(-i as f32 / 7.0));
        assert_close(&found, &expected);
    }

    #[test]
    fn llama3_keeps_the_high_and_divides_the_low() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_context: 64,
        };
        let plain = angles(5e5, RopeScaling::None, 12, 1);
        let scaled = angles(5e5, scaling, 12, 1);
        assert_eq!(plain[0], scaled[0]);
        let blended = scaled[1] / plain[1];
        assert!(blended > 0.125 && blended < 1.0, "{blended}");
        let divided: Vec<f32> = plain.iter().map(|f| f / 8.0).collect();
        assert_close(&scaled[2..], &divided[2..]);
    }

    #[test]
    fn yarn_keeps_the_first_and_divides_the_last() {
        let scaling = RopeScaling::Yarn {
            factor: 4.0,
            attention_factor: 1.25,
            beta_fast: 32.0,
            beta_slow: 1.0,
            truncate: true,
            original_context: 2048,
        };
        let plain = angles(1e4, RopeScaling::None, 32, 1);
        let scaled = angles(1e4, scaling.clone(), 32, 1);
        // The blend goes from the index floor(4.03) = 4 to ceil(10.05) = 11.
        assert_close(&scaled[..5], &plain[..5]);
        assert!((scaled[5] / plain[5] - (1.0 - 0.75 / 7.0)).abs() < 1e-5);
        let divided: Vec<f32> = plain.iter().map(|f| f / 4.0).collect();
        assert_close(&scaled[11..], &divided[11..]);
        assert_eq!(scaling.magnitude(), 1.25);
    }

    #[test]
    fn dynamic_frequencies_fall_with_the_length() {
        let scaling = RopeScaling::Dynamic {
            factor: 2.0,
            original_context: 64,
        };
        let plain = angles(1e4, RopeScaling::None, 8, 1);
        assert_eq!(angles(1e4, scaling.clone(), 8, 64), plain);
        assert!(scaling.is_same_at(1, 64) && !scaling.is_same_at(64, 65));
        // The base is multiplied by (2 · 96/64 - 1)^(8/6) = 2^(4/3).
        let stretched = angles(1e4 * 2f64.powf(4.0 / 3.0), RopeScaling::None, 8, 1);
        assert_close(&angles(1e4, scaling, 8, 96), &stretched);
    }

    #[test]
    fn longrope_has_divisors_for_short_and_for_long_sequences() {
        let scaling = RopeScaling::LongRope {
            short_factors: [1.0, 2.0].into(),
            long_factors: [4.0, 8.0].into(),
            attention_factor: 1.0,
            original_context: 16,
        };
        assert!(scaling.is_same_at(17, 18) && !scaling.is_same_at(16, 17));
        assert_close(&angles(1e4, scaling.clone(), 4, 16), &[1.0, 0.005]);
        assert_close(&angles(1e4, scaling, 4, 17), &[0.25, 0.00125]);
    }

    #[test]
    fn the_table_goes_position_by_position() {
        let frequencies = Frequencies {
            angles: vec![1.0, 0.5],
            magnitude: 2.0,
        };
        let (cos, sin) = table(&frequencies, 2..4);
        let angles = [2.0f32, 1.0, 3.0, 1.5];
        assert_eq!(cos, angles.map(|angle| 2.0 * angle.cos()));
        assert_eq!(sin, angles.map(|angle| 2.0 * angle.sin()));
    }
}
