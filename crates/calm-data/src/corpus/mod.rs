//! Readers of files that hold texts.
//!
//! Every reader takes a path that the user gives; nothing is bundled, nothing is fetched here.
//! Lines end at LF alone, and all else in them is kept: spaces at the ends are part of a sentence.

mod archive;
pub mod benchmarks;
pub(crate) mod code;
pub mod jsonl;
mod language;
mod manifest;
pub mod number;
mod parquet;
mod python;
mod read;
mod reading;
mod record;
mod step;

pub use archive::unpack;
pub use code::{
    CodeDcConfig, CodeDuplicatesConfig, CodeLanguage, CodeManifest, CodeOutputConfig,
    CodeStepsConfig, CommentsConfig, FillInTheMiddle, Function, Functions, LettersConfig,
    LicencesConfig, LinesConfig, SizeConfig, SourceFields, SourceFile, SourceFormat, SourceSpec,
    functions,
};
pub use language::{LanguageError, LanguageTag};
pub use manifest::{
    BenchmarkFormat, BenchmarkSpec, CopiedConfig, CorporaManifest, CorpusFormat, CorpusSpec,
    DcConfig, DecontaminateConfig, Direction, ExactDuplicatesConfig, HighResource, IdentifyConfig,
    LAYOUT, LengthConfig, NumbersConfig, OutputConfig, ScriptConfig, StepsConfig, Switch,
};
pub(crate) use parquet::ParquetRows;
pub use python::assignments;
pub use read::{check_counts, json, json_lines, text_lines, whole_lines};
pub use reading::{Chunk, CodeReader, CorporaReader, InputFile, Skip};
pub(crate) use reading::{Tap, Text, open_text, plain_files};
pub use record::{CorpusRecord, Origin, Record, Segment};
pub use step::{Judged, Sink, Step, Verdict};
