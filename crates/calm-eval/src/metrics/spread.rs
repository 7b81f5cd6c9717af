//! Spread of a figure over seeds.

use serde::{Deserialize, Serialize};

/// Mean and spread of one figure over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (n - 1); 0 for a single seed.
    pub deviation: f64,
    /// Smallest figure.
    pub min: f64,
    /// Largest figure.
    pub max: f64,
    /// Number of seeds.
    pub seeds: usize,
}

impl Spread {
    /// Spread of these figures; `None` if there are none.
    pub fn of(figures: &[f64]) -> Option<Self> {
        let seeds = figures.len();
        if seeds == 0 {
            return None;
        }
        let mean = figures.iter().sum::<f64>() / seeds as f64;
        let squares = figures.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        Some(Self {
            mean,
            deviation: if seeds > 1 {
                (squares / (seeds - 1) as f64).sqrt()
            } else {
                0.0
            },
            min: figures.iter().copied().fold(f64::INFINITY, f64::min),
            max: figures.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            seeds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let spread = Spread::of(&[2.0, 4.0, 9.0]).unwrap();
        assert_eq!(
            (spread.mean, spread.min, spread.max, spread.seeds),
            (5.0, 2.0, 9.0, 3)
        );
        assert!((spread.deviation - 13f64.sqrt()).abs() < 1e-12);
        assert_eq!(Spread::of(&[7.0]).unwrap().deviation, 0.0);
        assert_eq!(Spread::of(&[]), None);
    }
}
