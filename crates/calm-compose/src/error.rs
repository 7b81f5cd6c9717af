//! Errors of this crate.

use std::path::PathBuf;

/// An error of this crate. Every message says what is wrong, where, and what would mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// A model of the composition cannot be loaded.
    #[error(transparent)]
    Model(#[from] calm_models::ModelError),
    /// A directory that should hold a checkpoint holds none.
    #[error(
        "{}: is no checkpoint (there is no config.json in it); give a directory in the Hugging \
         Face layout, a GGUF file, or hf:owner/name",
        path.display()
    )]
    NoCheckpoint {
        /// The directory.
        path: PathBuf,
    },
    /// A directory that should hold a composition holds none.
    #[error(
        "{}: is no composition (there is no composition.json in it); give the directory of one",
        path.display()
    )]
    NoComposition {
        /// The directory.
        path: PathBuf,
    },
    /// A model of a composition is not where it was.
    #[error(
        "{}: was made with the {role} model {}, which is not there any more (looked for: {}); say \
         where it is with --{role} MODEL",
        composition.display(),
        model.display(),
        listed(places)
    )]
    ModelNotFound {
        /// The composition's directory.
        composition: PathBuf,
        /// `anchor` or `augmenting`.
        role: &'static str,
        /// The directory that it names.
        model: PathBuf,
        /// All places where it could have been.
        places: Vec<PathBuf>,
    },
    /// A connection plan does not fit the depths of the two models.
    #[error("connections: {reason}")]
    Connections {
        /// The problem, with the valid range.
        reason: String,
    },
    /// The width of a bridge's attention cannot be split into that many heads.
    #[error(
        "{heads} heads do not divide the width {d_inner} of the bridges' attention; choose a divisor"
    )]
    Heads {
        /// Heads asked for.
        heads: usize,
        /// `d_inner`, by default the anchor's width.
        d_inner: usize,
    },
    /// The epsilon of a bridge's norms is out of range.
    #[error("`norm_epsilon` is {found}, but it may be from 0 to 1")]
    NormEpsilon {
        /// The value given.
        found: f64,
    },
    /// The composition names another number of augmenting models than were given.
    #[error("the composition joins {expected} augmenting models, {found} were given")]
    AugmentingCount {
        /// In the composition.
        expected: usize,
        /// Given by the caller.
        found: usize,
    },
    /// A chat template does more to a content than to strip space around it.
    #[error(
        "{}: the chat template leaves out, repeats or changes the content of message {message}, \
         so that what two models read of it cannot be aligned; write the prompt yourself",
        path.display()
    )]
    Content {
        /// The file that the template is from.
        path: PathBuf,
        /// 0-based number of the message.
        message: usize,
    },
    /// Two compositions do not fit together.
    #[error("{} and {} cannot be merged: {reason}", first.display(), second.display())]
    Merge {
        /// Directory of the one.
        first: PathBuf,
        /// Directory of the other.
        second: PathBuf,
        /// The difference.
        reason: String,
    },
    /// No rank of a LoRA baseline comes near the number of parameters of the bridges.
    #[error("a LoRA of rank 1 already has {smallest} parameters, more than the {wanted} wanted")]
    LoraRank {
        /// Parameters wanted.
        wanted: usize,
        /// Parameters of rank 1.
        smallest: usize,
    },
    /// The composition was trained over other weights.
    #[error(
        "{}: made for {role} weights {expected}, but the checkpoint given has {found}; give the \
         checkpoint it was trained with, or --allow-other-weights if other ones are meant",
        path.display()
    )]
    OtherWeights {
        /// composition.json.
        path: PathBuf,
        /// `anchor` or `augmenting model N`.
        role: String,
        /// SHA-256 in the file.
        expected: String,
        /// SHA-256 of the checkpoint.
        found: String,
    },
    /// The composition was trained over another vocabulary.
    #[error(
        "{}: made for {role} vocabulary {expected}, but the tokenizer given has {found}; give the \
         checkpoint it was trained with, or --allow-other-weights if another one is meant",
        path.display()
    )]
    OtherTokenizer {
        /// composition.json.
        path: PathBuf,
        /// `anchor` or `augmenting model N`.
        role: String,
        /// SHA-256 in the file.
        expected: String,
        /// SHA-256 of the tokenizer's vocabulary.
        found: String,
    },
    /// Bridges cannot be written as another project's.
    #[error(
        "{project} {reason}, so these bridges cannot be written for it; a bridge to be exported is \
         trained with --bridge paper and the options that `calm export --help` lists"
    )]
    Foreign {
        /// Its name.
        project: &'static str,
        /// Every option that it has or lacks.
        reason: String,
    },
    /// A file of the composition is not as the format asks.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The problem, and the expectation.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

fn listed(paths: &[PathBuf]) -> String {
    let paths = paths.iter().map(|path| path.display().to_string());
    paths.collect::<Vec<_>>().join(", ")
}

impl From<calm_files::FileError> for ComposeError {
    fn from(error: calm_files::FileError) -> Self {
        let calm_files::FileError { path, source } = error;
        Self::Io { path, source }
    }
}
