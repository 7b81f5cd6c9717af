//! Readers of published benchmarks, from the files as their publishers give them.
//!
//! | module | reads |
//! | --- | --- |
//! | [`flores`] | FLORES-200, FLORES+ and FLoRes v1 |
//! | [`math`] | GSM8K and MGSM |
//! | [`code`] | HumanEval and MBPP |
//! | [`code_text`] | CodeXGLUE code-to-text |
//!
//! [`Published`] says where the files can be fetched, with their hashes.

pub mod code;
pub mod code_text;
pub mod flores;
pub mod math;
mod published;

pub use published::{Published, PublishedFile};
