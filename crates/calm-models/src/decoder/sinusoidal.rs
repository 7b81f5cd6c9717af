//! Embeddings of positions that are computed: sines and cosines.

use crate::config::SINUSOIDAL_OFFSET;

/// Rows of sines, then cosines, of one number at falling frequencies.
pub(crate) struct SinusoidalTable {
    /// From 1 down to 10⁻⁴, in `f32` like the reference implementation.
    frequencies: Vec<f32>,
    width: usize,
    /// A row of zeros.
    zeroed: Option<usize>,
}

impl SinusoidalTable {
    pub(crate) fn new(width: usize, zeroed: Option<u32>) -> Self {
        let half = width / 2;
        let step = 1e4f64.ln() / (half.max(2) - 1) as f64;
        Self {
            frequencies: (0..half).map(|i| (i as f32 * -step as f32).exp()).collect(),
            width,
            zeroed: zeroed.map(|row| row as usize),
        }
    }

    /// The embedding of a position. An odd width ends with a zero.
    pub(crate) fn row(&self, position: usize) -> Vec<f32> {
        let row = position + SINUSOIDAL_OFFSET;
        let factor = if self.zeroed == Some(row) { 0.0 } else { 1.0 };
        let angles = || self.frequencies.iter().map(|f| row as f32 * f);
        let sines = angles().map(|angle| angle.sin() * factor);
        let cosines = angles().map(|angle| angle.cos() * factor);
        let mut numbers: Vec<f32> = sines.chain(cosines).collect();
        numbers.resize(self.width, 0.0);
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sines_and_cosines_from_the_offset_on() {
        let table = SinusoidalTable::new(5, Some(4));
        let [fast, slow] = [3.0f32, 3e-4];
        let expected = [fast.sin(), slow.sin(), fast.cos(), slow.cos(), 0.0];
        for (found, expected) in table.row(1).into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!(table.row(2), [0.0; 5]);
    }
}
