//! Scores of language models: greedy exact match, shares with their uncertainty, spreads over
//! seeds.
//!
//! Running models is the feature `models`; what scores text or numbers needs neither it nor Burn.
//!
//! ```
//! use calm_eval::{Proportion, Spread};
//!
//! let accuracy = Proportion { hits: 870, n: 1000 };
//! assert_eq!(accuracy.percent(), 87.0);
//! let [low, high] = accuracy.interval();
//! assert!(84.0 < low && high < 90.0);
//!
//! let seeds = Spread::of(&[87.0, 85.0, 89.0]).expect("three seeds");
//! assert_eq!((seeds.mean, seeds.deviation), (87.0, 2.0));
//! ```

#[cfg(feature = "models")]
mod greedy;
mod proportion;
mod spread;

#[cfg(feature = "models")]
pub use greedy::{Sample, accuracy, exact_match};
pub use proportion::Proportion;
pub use spread::Spread;
