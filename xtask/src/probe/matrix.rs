//! Rows of numbers.

use rayon::prelude::*;

/// `[rows, width]`, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matrix {
    pub(super) values: Vec<f32>,
    pub(super) width: usize,
}

impl Matrix {
    pub(super) fn zeros(rows: usize, width: usize) -> Self {
        Self {
            values: vec![0.0; rows * width],
            width,
        }
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.width)
    }

    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.width..(row + 1) * self.width]
    }

    /// Some of the rows.
    pub(super) fn rows(&self, places: &[usize]) -> Self {
        let row = |place: &usize| &self.values[place * self.width..(place + 1) * self.width];
        Self {
            values: places.iter().flat_map(row).copied().collect(),
            width: self.width,
        }
    }

    /// The rows less their mean, and the mean.
    pub(super) fn centred(&self) -> (Self, Vec<f32>) {
        let mut sums = vec![0_f64; self.width];
        for row in self.iter() {
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let count = self.iter().len().max(1) as f64;
        let mean: Vec<f32> = sums.iter().map(|sum| (sum / count) as f32).collect();
        (self.less(&mean), mean)
    }

    /// The rows less a row.
    pub(super) fn less(&self, mean: &[f32]) -> Self {
        let values = self.values.iter().zip(mean.iter().cycle());
        Self {
            values: values.map(|(value, mean)| value - mean).collect(),
            width: self.width,
        }
    }

    /// The rows as vectors of length 1.
    fn normed(&self) -> Self {
        let normed = self.iter().flat_map(|row| {
            let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
            row.iter()
                .map(move |value| value / length.max(f32::MIN_POSITIVE))
        });
        Self {
            values: normed.collect(),
            width: self.width,
        }
    }
}

/// In what share of rows, in percent, the nearest row of `others` by cosine is that of the same number.
pub(super) fn found(rows: &Matrix, others: &Matrix) -> f64 {
    let (rows, others) = (rows.normed(), others.normed());
    let all: Vec<&[f32]> = rows.iter().collect();
    let hits = all.par_iter().enumerate().filter(|(place, row)| {
        let cosine = |other: &[f32]| -> f32 { row.iter().zip(other).map(|(a, b)| a * b).sum() };
        let cosines: Vec<f32> = others.iter().map(cosine).collect();
        // Of sentences that are all alike, none is found.
        let is_less = |(other, value): (usize, &f32)| other == *place || *value < cosines[*place];
        cosines.iter().enumerate().all(is_less)
    });
    100.0 * hits.count() as f64 / all.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(width: usize, values: &[f32]) -> Matrix {
        Matrix {
            values: values.to_vec(),
            width,
        }
    }

    #[test]
    fn rows_are_found_by_their_direction() {
        let rows = matrix(2, &[1.0, 0.0, 0.0, 1.0, -1.0, 0.1]);
        let others = matrix(2, &[9.0, 1.0, 0.1, 0.2, 1.0, 0.0]);
        assert!((found(&rows, &others) - 100.0 / 3.0).abs() < 1e-9);
        assert_eq!(found(&rows, &rows), 100.0);
        let alike = matrix(2, &[1.0; 6]);
        assert_eq!(found(&alike, &alike), 0.0);
    }

    #[test]
    fn the_mean_is_taken_off() {
        let (centred, mean) = matrix(2, &[1.0, 2.0, 3.0, 6.0]).centred();
        assert_eq!(
            (centred, mean),
            (matrix(2, &[-1.0, -2.0, 1.0, 2.0]), vec![2.0, 4.0])
        );
    }
}
