//! Linear maps that are fitted on pairs of vectors.

use rayon::prelude::*;

use super::matrix::Matrix;

/// Penalty, as a share of the mean variance of the inputs.
const PENALTY: f64 = 0.01;

/// The linear map with the least squared error on pairs, and a penalty on its size.
pub(super) struct Ridge {
    /// `[inputs, outputs]`.
    weights: Vec<f64>,
    outputs: usize,
    means: [Vec<f32>; 2],
}

impl Ridge {
    /// Fits `weights` to (XᵀX + λ) W = XᵀY, where both sides are less their means.
    pub(super) fn fit(from: &Matrix, to: &Matrix) -> Self {
        let ((from, from_mean), (to, to_mean)) = (from.centred(), to.centred());
        let mut gram = products(&from, &from);
        let inputs = from.width;
        let variance: f64 =
            (0..inputs).map(|at| gram[at * inputs + at]).sum::<f64>() / inputs as f64;
        let penalty = (PENALTY * variance).max(f64::MIN_POSITIVE);
        (0..inputs).for_each(|at| gram[at * inputs + at] += penalty);
        Self {
            weights: solve(gram, products(&from, &to), inputs),
            outputs: to.width,
            means: [from_mean, to_mean],
        }
    }

    /// Images of rows, less the mean of what they are fitted to.
    pub(super) fn apply(&self, rows: &Matrix) -> Matrix {
        let centred = rows.less(&self.means[0]);
        let images = centred.iter().flat_map(|row| {
            let mut image = vec![0_f64; self.outputs];
            for (value, weights) in row.iter().zip(self.weights.chunks_exact(self.outputs)) {
                let terms = image.iter_mut().zip(weights);
                terms.for_each(|(sum, weight)| *sum += f64::from(*value) * weight);
            }
            image.into_iter().map(|value| value as f32)
        });
        Matrix {
            values: images.collect(),
            width: self.outputs,
        }
    }

    /// Rows of the other side, less their mean.
    pub(super) fn centre(&self, rows: &Matrix) -> Matrix {
        rows.less(&self.means[1])
    }
}

/// AᵀB, `[width of A, width of B]`.
fn products(a: &Matrix, b: &Matrix) -> Vec<f64> {
    let row = |column: usize| {
        let mut sums = vec![0_f64; b.width];
        for (a, b) in a.iter().zip(b.iter()) {
            let value = f64::from(a[column]);
            sums.iter_mut()
                .zip(b)
                .for_each(|(sum, b)| *sum += value * f64::from(*b));
        }
        sums
    };
    (0..a.width).into_par_iter().flat_map_iter(row).collect()
}

/// X of A X = B, by Cholesky's factors of A, which is symmetric and positive: `[n, n]`, B `[n, m]`.
fn solve(mut a: Vec<f64>, mut b: Vec<f64>, n: usize) -> Vec<f64> {
    let m = b.len() / n;
    for row in 0..n {
        for column in 0..=row {
            let dot: f64 = (0..column)
                .map(|k| a[row * n + k] * a[column * n + k])
                .sum();
            let rest = a[row * n + column] - dot;
            a[row * n + column] = match row == column {
                true => rest.max(f64::MIN_POSITIVE).sqrt(),
                false => rest / a[column * n + column],
            };
        }
    }
    // Lower factor downwards, then its transpose upwards.
    for row in 0..n {
        let (above, own) = b.split_at_mut(row * m);
        substitute(
            &mut own[..m],
            above.chunks_exact(m).enumerate(),
            |k| a[row * n + k],
            a[row * n + row],
        );
    }
    for row in (0..n).rev() {
        let (own, below) = b[row * m..].split_at_mut(m);
        let below = below
            .chunks_exact(m)
            .zip(row + 1..)
            .map(|(values, k)| (k, values));
        substitute(own, below, |k| a[k * n + row], a[row * n + row]);
    }
    b
}

fn substitute<'v>(
    own: &mut [f64],
    others: impl Iterator<Item = (usize, &'v [f64])>,
    factor: impl Fn(usize) -> f64,
    diagonal: f64,
) {
    for (k, values) in others {
        let factor = factor(k);
        own.iter_mut()
            .zip(values)
            .for_each(|(own, value)| *own -= factor * value);
    }
    own.iter_mut().for_each(|own| *own /= diagonal);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        // A = L Lᵀ of L = [[2, 0], [1, 3]].
        let x = solve(vec![4.0, 2.0, 2.0, 10.0], vec![8.0, 2.0, 22.0, 10.0], 2);
        let expected = [1.0, 0.0, 2.0, 1.0];
        assert!(
            x.iter()
                .zip(expected)
                .all(|(found, expected)| (found - expected).abs() < 1e-12),
            "{x:?}"
        );
    }

    #[test]
    fn a_linear_map_is_found_up_to_its_penalty() {
        let value = |seed: usize| ((seed * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0;
        let from = Matrix {
            values: (0..300).map(value).collect(),
            width: 3,
        };
        // y = (a - c + 5, 2 b), of which the constant is no part of the map.
        let image = |row: &[f32]| [row[0] - row[2] + 5.0, 2.0 * row[1]];
        let to = Matrix {
            values: from.iter().flat_map(image).collect(),
            width: 2,
        };
        let ridge = Ridge::fit(&from, &to);
        let (found, expected) = (ridge.apply(&from), ridge.centre(&to));
        let errors = found
            .values
            .iter()
            .zip(&expected.values)
            .map(|(found, expected)| (found - expected).abs());
        assert!(errors.fold(0.0, f32::max) < 0.05, "{found:?}");
    }
}
