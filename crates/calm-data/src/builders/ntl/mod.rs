//! Low-resource languages (section 4.2 of the paper): [`world`] generates them, [`corpora`] reads real
//! ones, and [`output`] writes what is left of these.

pub mod corpora;
pub mod output;
mod prompt;
pub mod world;

/// Tag of English, into which most corpora translate.
pub const ENGLISH: &str = "eng_Latn";
