//! Readers of the field's datasets, from the files as their publishers give them.
//!
//! Every reader takes a path that the user gives; nothing is bundled, nothing is fetched here.
//! Lines end at LF alone, and all else in them is kept: spaces at the ends are part of a sentence.
//!
//! | module | reads |
//! | --- | --- |
//! | [`flores`] | FLORES-200, FLORES+ and FLoRes v1 |
//! | [`math`] | GSM8K and MGSM |
//! | [`code`] | HumanEval and MBPP |
//! | [`code_text`] | CodeXGLUE code-to-text |
//!
//! Where the files are to be had, and what they should be, is in [`Published`].

mod archive;
pub mod code;
pub mod code_text;
mod error;
pub mod flores;
pub mod math;
mod published;
pub(crate) mod python;
pub(crate) mod read;

pub use archive::unpack;
pub use error::DatasetError;
pub use published::{Published, PublishedFile};
pub use read::{check_counts, text_lines};
