//! pass@k: the chance that one of `k` programs is right, estimated from `n >= k` programs
//! (arXiv 2107.03374, section 2.1).

/// pass@k is undefined for these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "pass@{k} of {n} programs, {right} of them right, is undefined; it takes 1 ≤ k ≤ n and right ≤ n"
)]
pub struct PassAtKError {
    /// Number of programs.
    pub n: usize,
    /// Number of programs that passed.
    pub right: usize,
    /// Number of programs that may be submitted.
    pub k: usize,
}

/// Unbiased estimate `1 - C(n - right, k) / C(n, k)`, computed as a product that cannot overflow.
///
/// ```
/// # fn main() -> Result<(), calm_eval::passk::PassAtKError> {
/// use calm_eval::passk::pass_at_k;
///
/// assert!((pass_at_k(10, 3, 1)? - 0.3).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`PassAtKError`] unless `1 <= k <= n` and `right <= n`.
pub fn pass_at_k(n: usize, right: usize, k: usize) -> Result<f64, PassAtKError> {
    if k == 0 || k > n || right > n {
        return Err(PassAtKError { n, right, k });
    }
    if n - right < k {
        return Ok(1.0);
    }
    // The shorter of two equal products: over the right programs, or over the submitted ones.
    let (few, many) = (right.min(k), right.max(k));
    let all_wrong: f64 = (0..few)
        .map(|i| (n - many - i) as f64 / (n - i) as f64)
        .product();
    Ok(1.0 - all_wrong)
}

/// Settings of the mean over problems: programs per problem and the estimator.
pub fn signature(n: usize, k: usize) -> String {
    format!(
        "pass@{k}|n:{n}|estimator:unbiased|version:{}",
        super::VERSION
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `C(a, k) / C(b, k)` by whole numbers.
    fn by_counting(n: u128, right: u128, k: u128) -> f64 {
        let choose = |from: u128| (0..k).fold(1, |product, i| product * (from - i) / (i + 1));
        if n - right < k {
            return 1.0;
        }
        1.0 - choose(n - right) as f64 / choose(n) as f64
    }

    #[test]
    fn agrees_with_counting() {
        for n in 1..20 {
            for right in 0..=n {
                for k in 1..=n {
                    let found = pass_at_k(n, right, k).unwrap();
                    let expected = by_counting(n as u128, right as u128, k as u128);
                    assert!(
                        (found - expected).abs() < 1e-12,
                        "{n} {right} {k}: {found} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn large_numbers_neither_overflow_nor_vanish() {
        let one = pass_at_k(100_000, 1, 50_000).unwrap();
        assert!((one - 0.5).abs() < 1e-12, "{one}");
        assert_eq!(pass_at_k(100_000, 0, 100_000), Ok(0.0));
        assert_eq!(pass_at_k(100_000, 60_000, 50_000), Ok(1.0));
    }

    #[test]
    fn what_is_undefined_is_refused() {
        for (n, right, k) in [(5, 1, 0), (5, 1, 6), (5, 6, 1), (0, 0, 1)] {
            assert_eq!(pass_at_k(n, right, k), Err(PassAtKError { n, right, k }));
        }
    }
}
