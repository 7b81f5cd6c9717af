//! Source code (section 4.3 of the paper): D_Code and D_C of real trees and files.
//!
//! | file | holds |
//! | --- | --- |
//! | `pretrain.jsonl` | `text`: every file that is left, with where it is from |
//! | `functions.jsonl` | `prompt` and `target`: functions and their descriptions, both ways |
//! | `d_c.jsonl` | a share of the files of each language, each with its functions |
//! | `manifest.json` | inputs, settings, counts, and examples of what was dropped |
//!
//! The bytes depend on the code, the manifest and its seed alone.

mod build;
mod collector;
mod report;
mod rows;

pub use build::build;
pub use report::{CodeReport, FunctionCounts, LanguageFiles};

/// Changes when the same code and settings would give other bytes.
pub const BUILDER_VERSION: u32 = 1;
