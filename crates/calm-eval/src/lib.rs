//! Scores of language models.

mod proportion;
mod spread;

pub use proportion::Proportion;
pub use spread::Spread;
