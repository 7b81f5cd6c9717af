//! A small world of languages, drawn from a seed: section 4.2 of the paper at the scale of a laptop.
//!
//! A [`World`] has some 520 meanings, and things that can be said of them: sentences of 4 to 14
//! words, and word problems whose answer is a number. English says them with real words, 30 other
//! languages with words of their own. Languages of a family come from the same proto-words by regular
//! changes of sounds; so a low-resource language can be half guessed by whoever knows a relative,
//! an isolate cannot.

mod build;
mod config;
mod dataset;
mod english;
mod language;
mod lexicon;
mod mixture;
mod problem;
mod script;
mod sentence;
mod texts;
mod tokenizer;

pub use build::{BUILDER_VERSION, build};
pub use config::{WorldConfig, WorldSizes};
pub use dataset::{Pair, ProblemText, World};
pub use language::{Grammar, Language, Mark, Order, Resource};
pub use script::Script;
pub use texts::{CompositionRow, Row, TextKind};
