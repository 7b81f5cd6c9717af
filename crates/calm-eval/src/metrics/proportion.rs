//! Share of successes with its uncertainty.

use serde::{Deserialize, Serialize};

/// `hits` successes in `n` trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proportion {
    /// Successes.
    pub hits: usize,
    /// Trials.
    pub n: usize,
}

impl Proportion {
    /// Successes in percent; 0 without trials.
    pub fn percent(self) -> f64 {
        if self.n == 0 {
            0.0
        } else {
            100.0 * self.hits as f64 / self.n as f64
        }
    }

    /// Wilson's 95 % interval in percent, which stays sensible at 0 and at 100 %.
    pub fn interval(self) -> [f64; 2] {
        if self.n == 0 {
            return [0.0, 100.0];
        }
        let z = 1.959_963_984_540_054;
        let (n, p) = (self.n as f64, self.hits as f64 / self.n as f64);
        let scale = 1.0 + z * z / n;
        let centre = (p + z * z / (2.0 * n)) / scale;
        let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / scale;
        [(centre - half).max(0.0), (centre + half).min(1.0)].map(|bound| 100.0 * bound)
    }

    /// 95 % interval of the mean of independent shares, in percent: the distances from each share
    /// to the bounds of its own interval add up by their squares (Newcombe 1998, Zou and Donner
    /// 2008). That of a single share is [`Self::interval`].
    pub fn interval_of_mean(shares: &[Self]) -> [f64; 2] {
        if let [share] = shares {
            return share.interval();
        }
        let count = shares.len().max(1) as f64;
        let mean = shares.iter().map(|share| share.percent()).sum::<f64>() / count;
        let distance = |bound: usize| {
            let squares = shares
                .iter()
                .map(|share| (share.interval()[bound] - share.percent()).powi(2));
            squares.sum::<f64>().sqrt() / count
        };
        [
            (mean - distance(0)).max(0.0),
            (mean + distance(1)).min(100.0),
        ]
    }
}

impl std::iter::Sum for Proportion {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self { hits: 0, n: 0 }, |a, b| Self {
            hits: a.hits + b.hits,
            n: a.n + b.n,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // Newcombe (1998), table I: 81 of 263 and 0 of 20.
        let close = |found: [f64; 2], expected: [f64; 2]| {
            found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 0.006)
        };
        let some = Proportion { hits: 81, n: 263 }.interval();
        assert!(close(some, [25.53, 36.62]), "{some:?}");
        let none = Proportion { hits: 0, n: 20 }.interval();
        assert!(close(none, [0.0, 16.11]), "{none:?}");
    }

    #[test]
    fn the_interval_of_a_mean_adds_up_squares() {
        let some = Proportion { hits: 81, n: 263 };
        assert_eq!(Proportion::interval_of_mean(&[some]), some.interval());
        // 0 of 20 and 20 of 20: from 0 up 16.11, from 100 down 16.11.
        let ends = [0, 20].map(|hits| Proportion { hits, n: 20 });
        let [low, high] = Proportion::interval_of_mean(&ends);
        assert!((low - (50.0 - 16.113 / 2.0)).abs() < 0.01, "{low}");
        assert!((high - (50.0 + 16.113 / 2.0)).abs() < 0.01, "{high}");
        // Four equal shares are known twice as well as one.
        let [low, high] = Proportion::interval_of_mean(&[some; 4]);
        let [of_one, _] = some.interval();
        assert!((some.percent() - low - (some.percent() - of_one) / 2.0).abs() < 1e-9);
        assert!(high < 100.0);
    }

    #[test]
    fn nothing_tried_says_nothing() {
        let empty = Proportion { hits: 0, n: 0 };
        assert_eq!((empty.percent(), empty.interval()), (0.0, [0.0, 100.0]));
    }
}
