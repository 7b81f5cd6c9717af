//! Parts of a dataset by their shares.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Parts that take turns by fixed shares, so that every stretch of a dataset has the same mixture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mixture<T> {
    parts: Vec<(T, usize)>,
}

impl<T> Mixture<T> {
    /// Parts with their shares in percent.
    ///
    /// # Panics
    ///
    /// If the shares do not add up to 100.
    pub fn new(parts: impl Into<Vec<(T, usize)>>) -> Self {
        let parts = parts.into();
        let total: usize = parts.iter().map(|(_, percent)| percent).sum();
        assert_eq!(total, 100, "shares add up to 100 percent");
        Self { parts }
    }

    /// The part that example `index` of the mixture belongs to.
    pub fn part(&self, index: usize) -> &T {
        let mut turn = index * 37 % 100;
        for (part, percent) in &self.parts {
            if turn < *percent {
                return part;
            }
            turn -= percent;
        }
        unreachable!("shares add up to 100")
    }
}

/// One of some parts, drawn with a chance proportional to its weight.
///
/// # Panics
///
/// If there is no part, or the weights add up to nothing.
pub fn weighted<'a, T>(parts: &'a [T], weight: impl Fn(&T) -> f64, rng: &mut ChaCha8Rng) -> &'a T {
    let total: f64 = parts.iter().map(&weight).sum();
    let mut left = rng.random_range(0.0..total);
    let drawn = parts.iter().find(|part| {
        left -= weight(part);
        left < 0.0
    });
    drawn.unwrap_or(&parts[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept() {
        let parts = [('a', 60), ('b', 10), ('c', 30)];
        let mixture = Mixture::new(parts);
        for (part, percent) in parts {
            let drawn = (0..1000)
                .filter(|index| *mixture.part(*index) == part)
                .count();
            assert_eq!(drawn, 10 * percent, "{part}");
        }
    }
}
