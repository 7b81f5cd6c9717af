//! Source code: its languages, its licences, and the manifest of what is read.

mod functions;
mod language;
mod licence;
mod manifest;
mod source_file;
mod steps;

pub use functions::{Function, Functions, functions};
pub use language::CodeLanguage;
pub(crate) use language::Comments;
pub(crate) use licence::{Allowed, TreeLicences, of_expression, of_header};
pub use manifest::{
    CodeDcConfig, CodeManifest, CodeOutputConfig, FillInTheMiddle, LicencesConfig, SourceFields,
    SourceFormat, SourceSpec,
};
pub use source_file::SourceFile;
pub use steps::{
    CodeDuplicatesConfig, CodeStepsConfig, CommentsConfig, LettersConfig, LinesConfig, SizeConfig,
};
