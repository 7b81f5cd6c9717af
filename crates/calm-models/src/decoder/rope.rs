//! Rotary frequencies, and their cosines and sines at given positions.

use crate::config::{RopeConfig, RopeScaling};

/// The angles per position, `d_head / 2` of them, in `f32` like the reference implementation.
pub(crate) fn frequencies(rope: RopeConfig, d_head: usize) -> Vec<f32> {
    (0..d_head / 2)
        .map(|i| {
            let exponent = (2 * i) as f32 / d_head as f32;
            scale((rope.theta as f32).powf(exponent).recip(), rope.scaling)
        })
        .collect()
}

fn scale(frequency: f32, scaling: RopeScaling) -> f32 {
    match scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor as f32,
        RopeScaling::Llama3 {
            factor,
            low_frequency_factor: low,
            high_frequency_factor: high,
            original_context,
        } => {
            // Turns within the original context: few for low frequencies, many for high ones.
            let turns = original_context as f64 * f64::from(frequency) / std::f64::consts::TAU;
            let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            let divided = f64::from(frequency) / factor;
            ((1.0 - kept) * divided + kept * f64::from(frequency)) as f32
        }
    }
}

/// Cosines and sines of all angles at `positions`, position by position.
pub(crate) fn table(
    frequencies: &[f32],
    positions: std::ops::Range<usize>,
) -> (Vec<f32>, Vec<f32>) {
    positions
        .flat_map(|position| frequencies.iter().map(move |f| position as f32 * f))
        .map(|angle| (angle.cos(), angle.sin()))
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_frequencies_fall_geometrically() {
        let rope = RopeConfig {
            theta: 10_000.0,
            scaling: RopeScaling::None,
        };
        let expected = [1.0, 0.1, 0.01, 0.001];
        for (found, expected) in frequencies(rope, 8).iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn llama3_keeps_the_high_and_divides_the_low() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_context: 64,
        };
        let plain = frequencies(
            RopeConfig {
                theta: 5e5,
                scaling: RopeScaling::None,
            },
            12,
        );
        let scaled = frequencies(
            RopeConfig {
                theta: 5e5,
                scaling,
            },
            12,
        );
        assert_eq!(plain[0], scaled[0]);
        let blended = scaled[1] / plain[1];
        assert!(blended > 0.125 && blended < 1.0, "{blended}");
        for (plain, scaled) in plain.iter().zip(&scaled).skip(2) {
            assert!(
                (scaled * 8.0 / plain - 1.0).abs() < 1e-6,
                "{scaled} {plain}"
            );
        }
    }

    #[test]
    fn the_table_goes_position_by_position() {
        let (cos, sin) = table(&[1.0, 0.5], 2..4);
        let angles = [2.0f32, 1.0, 3.0, 1.5];
        assert_eq!(cos, angles.map(f32::cos));
        assert_eq!(sin, angles.map(f32::sin));
    }
}
