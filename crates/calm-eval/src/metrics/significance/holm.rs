//! Correction of p-values for many comparisons.

/// p-values of a family of tests, corrected by Holm's step-down rule (Holm 1979), in their order.
///
/// The smallest of n is multiplied by n, the next by n - 1, and so on; none is less than one before
/// it, or more than 1. Whoever calls those below 5 % significant finds any difference where there is
/// none in at most 5 % of such families, however the tests depend on each other.
///
/// ```
/// use calm_eval::significance::holm;
///
/// assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
/// ```
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![1.0; p_values.len()];
    let mut least: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        let left = (p_values.len() - rank) as f64;
        least = least.max((left * p_values[index]).min(1.0));
        corrected[index] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(holm(&[]), [0.0; 0]);
        assert_eq!(holm(&[0.2]), [0.2]);
        assert_eq!(holm(&[0.5, 0.75]), [1.0, 1.0]);
        // Equal ones stay equal, and the order of the others does not matter.
        assert_eq!(holm(&[0.25, 0.25]), [0.5, 0.5]);
        assert_eq!(holm(&[1.0, 0.0, 0.5]), [1.0, 0.0, 1.0]);
    }

    /// By hand: the k-th least p times the number of those that are not less, and never below the one before.
    #[test]
    fn each_is_multiplied_by_the_number_of_those_that_are_left() {
        let p = [0.01, 0.02, 0.03, 0.005, 0.9, 0.04, 0.0001];
        let expected = [0.05, 0.08, 0.09, 0.03, 0.9, 0.09, 0.0007];
        for (found, expected) in holm(&p).into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }
}
