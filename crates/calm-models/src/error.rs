//! Errors of checkpoints, tokenizers and requests to generate.

use std::path::PathBuf;

use crate::checkpoint::{GgufError, HeaderError, OtherWeights, WeightProblem};

/// Errors of this crate. Every message names the file and what in it is wrong, and says what
/// would mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("{}: longer than the {max_bytes} bytes that such a file may have", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        max_bytes: u64,
    },
    /// A JSON file is not valid JSON, or a field has the wrong type.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected there.
        source: serde_json::Error,
    },
    /// The model's architecture is none that this crate knows.
    #[error(
        "{}: models of the family '{family}' are not supported; supported are: {supported}",
        path.display()
    )]
    UnsupportedFamily {
        /// config.json.
        path: PathBuf,
        /// Its `model_type`.
        family: String,
        /// The families that are.
        supported: String,
    },
    /// A setting would change the model's numbers in a way that is not implemented, so that
    /// going on would silently compute something else.
    #[error("{}: setting '{key}' is not supported ({found}); {expected}", path.display())]
    UnsupportedSetting {
        /// config.json.
        path: PathBuf,
        /// Its key.
        key: String,
        /// Its value, shortened.
        found: String,
        /// Supported values.
        expected: String,
    },
    /// The settings are readable but make no model.
    #[error("{}: {source}", path.display())]
    InvalidConfig {
        /// config.json.
        path: PathBuf,
        /// Fault, and expected value.
        source: crate::ConfigError,
    },
    /// A decoder is of a shape that its family's files cannot describe.
    #[error(
        "{}: the settings of the family '{family}' cannot say what this decoder is; change its \
         description or its family",
        path.display()
    )]
    Inexpressible {
        /// config.json, which was not written.
        path: PathBuf,
        /// The family.
        family: crate::Family,
    },
    /// A directory holds no weights in a format that this crate reads.
    #[error(
        "{}: neither model.safetensors nor model.safetensors.index.json is here{}",
        dir.display(),
        instead(found)
    )]
    NoWeights {
        /// The directory.
        dir: PathBuf,
        /// Something else that could have been meant.
        found: Option<OtherWeights>,
    },
    /// The directory holds something else instead of a model.
    #[error("{}: this is {found}", dir.display())]
    NoModel {
        /// The directory.
        dir: PathBuf,
        /// Its content.
        found: OtherWeights,
    },
    /// The weights are packed in fewer bits than a number has.
    #[error(
        "{}: the weights are quantised ({}); take the model in 16 bits, or let transformers \
         dequantise it (model.dequantize()) and save it",
        dir.display(),
        tensor.escape_debug()
    )]
    Quantised {
        /// The checkpoint's directory.
        dir: PathBuf,
        /// A tensor that only quantised weights have.
        tensor: String,
    },
    /// A file is damaged or no safetensors file.
    #[error("{}: {source}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Fault, with the byte offset.
        source: Box<HeaderError>,
    },
    /// A GGUF file is damaged, or holds what cannot be read.
    #[error("{}: {source}", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// Fault.
        source: Box<GgufError>,
    },
    /// The index of a sharded checkpoint says something it may not say.
    #[error("{}: {reason}", path.display())]
    Index {
        /// model.safetensors.index.json.
        path: PathBuf,
        /// Fault.
        reason: String,
    },
    /// The tensors are not those that the configuration asks for.
    #[error(
        "{}: {}; check that the weights belong to the settings beside them",
        path.display(),
        join(problems)
    )]
    Weights {
        /// The checkpoint's directory, or its file.
        path: PathBuf,
        /// Every tensor that is missing, left over, or of the wrong shape or type.
        problems: Vec<WeightProblem>,
    },
    /// A name of the Hub is none.
    #[error(transparent)]
    Source(#[from] crate::SourceError),
    /// Data of the Hub cannot be had.
    #[error("{data}: {source}")]
    HubData {
        /// The data set.
        data: Box<crate::HubDataset>,
        /// Why not.
        source: Box<crate::HubError>,
    },
    /// A model of the Hub cannot be had.
    #[error("{model}: {source}")]
    Hub {
        /// The model.
        model: crate::HubModel,
        /// Why not.
        source: Box<crate::HubError>,
    },
    /// The tokenizer cannot be read.
    #[error("{}: {reason}", path.display())]
    Tokenizer {
        /// tokenizer.json.
        path: PathBuf,
        /// Message of the tokenizer library.
        reason: String,
    },
    /// The tokenizer cannot encode or decode a text.
    #[error("the tokenizer failed: {reason}")]
    Tokenize {
        /// Message of the tokenizer library.
        reason: String,
    },
    /// A text holds a token that the model has no embedding for.
    #[error(
        "the text holds the token {token:?} with the id {id}, but the model has embeddings for \
         {vocab_size} tokens only; leave it out, or use the tokenizer that came with the model"
    )]
    NoEmbedding {
        /// The token.
        token: String,
        /// Its id.
        id: u32,
        /// Number of the model's embeddings.
        vocab_size: usize,
    },
    /// The device cannot compute in the type asked for.
    #[error("the device cannot compute in {dtype}; use f32")]
    UnsupportedType {
        /// The type asked for.
        dtype: calm_backend::FloatType,
    },
    /// A chat template, or the file that holds it, cannot be used.
    #[error("{}: {reason}", path.display())]
    ChatTemplate {
        /// chat_template.jinja, or tokenizer_config.json.
        path: PathBuf,
        /// Fault, with the line of the template where there is one.
        reason: String,
    },
    /// A setting of sampling is out of its range.
    #[error("{name} is {found}; it must be {expected}")]
    Sampling {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// Its range.
        expected: &'static str,
    },
    /// A stop text is empty, so that it would end every continuation before it begins.
    #[error("stop text {index} is empty; leave it out")]
    EmptyStopText {
        /// 0-based number of the stop text.
        index: usize,
    },
    /// A session without a tokenizer was to read a text or look for one.
    #[error("texts and stop texts need the model's tokenizer; give it to the session")]
    NoTokenizer,
    /// A prompt holds an id that the model has no embedding for.
    #[error("prompt {row}: token id {id} is outside the vocabulary of {vocab_size} tokens")]
    TokenOutOfRange {
        /// 0-based number of the prompt.
        row: usize,
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocab_size: usize,
    },
    /// A prompt has no tokens.
    #[error("prompt {row} has no tokens; begin it with the model's first token at least")]
    EmptyPrompt {
        /// 0-based number of the prompt.
        row: usize,
    },
    /// A prompt leaves no room in the context.
    #[error(
        "prompt {row} has {tokens} tokens, the model's context holds {context_length}; shorten it"
    )]
    ContextLength {
        /// 0-based number of the prompt.
        row: usize,
        /// Its length.
        tokens: usize,
        /// The model's longest sequence.
        context_length: usize,
    },
    /// A text has more tokens than a model has learnt positions for.
    #[error(
        "a text has {tokens} tokens, but the model that reads along knows {context_length} \
         positions; shorten it"
    )]
    TextTooLong {
        /// Its length so far.
        tokens: usize,
        /// The model's longest sequence.
        context_length: usize,
    },
    /// Reading results back from the device failed.
    #[error("the device failed: {source}")]
    Device {
        /// Error of Burn.
        source: burn::tensor::TensorReadError,
    },
    /// The fixture that a model is held against is incomplete or of other shapes.
    #[error("{}: {reason}", path.display())]
    Fixture {
        /// expected.safetensors.
        path: PathBuf,
        /// Fault.
        reason: String,
    },
}

fn instead(found: &Option<OtherWeights>) -> String {
    match found {
        Some(found) => format!(", but {found}"),
        None => "; give a directory in the Hugging Face layout".to_owned(),
    }
}

/// A message names so many problems, and counts the others.
const NAMED_PROBLEMS: usize = 100;

fn join(problems: &[WeightProblem]) -> String {
    let named = problems.iter().take(NAMED_PROBLEMS);
    let mut texts: Vec<String> = named.map(ToString::to_string).collect();
    if let Some(others) = problems
        .len()
        .checked_sub(NAMED_PROBLEMS)
        .filter(|n| *n > 0)
    {
        texts.push(format!("and {others} more problems"));
    }
    texts.join("; ")
}

impl From<calm_files::FileError> for ModelError {
    fn from(calm_files::FileError { path, source }: calm_files::FileError) -> Self {
        Self::Io { path, source }
    }
}
