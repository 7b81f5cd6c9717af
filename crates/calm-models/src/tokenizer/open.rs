//! Tokenizers out of the files of a checkpoint.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokenizers::{AddedToken, Encoding, ModelWrapper, PostProcessor, Token};

use super::check::{Refusal, check, check_lengths};
use super::clean_up::CleanUp;
use super::sentence_piece::{CONVERT, SentencePiece};
use super::side_files::{MAX_TOKENIZER_BYTES, SideFiles};
use super::{Tokenizer, class, guarded, rebuilt};
use crate::ModelError;
use crate::checkpoint::Gguf;
use crate::files::{SENTENCE_PIECE, TOKENIZER, is_there, read_text};

impl Tokenizer {
    /// The tokenizer of a checkpoint: that in a GGUF file, or of a directory its `tokenizer.json`, or a `tokenizer.model` of `SentencePiece`,
    /// with what lies beside it (`tokenizer_config.json`, `special_tokens_map.json`,
    /// `added_tokens.json`), as `transformers` puts them together. What the files contradict each other
    /// in is told as a warning.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if there is none, or a file is damaged.
    pub fn of_checkpoint(path: &Path) -> Result<Self, ModelError> {
        Self::find(path)?.ok_or_else(|| ModelError::Tokenizer {
            path: path.join(TOKENIZER),
            reason: format!(
                "there is no such file, nor a {SENTENCE_PIECE}; if there are other files of a tokenizer, \
                 {CONVERT}"
            ),
        })
    }

    /// [`Tokenizer::of_checkpoint`] where there may be none.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a file is damaged.
    pub fn find(path: &Path) -> Result<Option<Self>, ModelError> {
        if Gguf::is_at(path) {
            return Gguf::open(path)?.tokenizer().map(Some);
        }
        let dir = path;
        let (path, model) = (dir.join(TOKENIZER), dir.join(SENTENCE_PIECE));
        let mut side = SideFiles::read(dir)?;
        if is_there(&path) {
            let mut json = read_text(&path, MAX_TOKENIZER_BYTES)?;
            let rebuilt = rebuilt::rebuilt(&json, &side);
            let as_json = |source| ModelError::Json {
                path: path.clone(),
                source,
            };
            if let Some(rebuilt) = rebuilt.map_err(as_json)? {
                json = rebuilt;
            }
            return Self::from_parts(json.into(), &side, &path).map(Some);
        }
        if !is_there(&model) {
            return Ok(None);
        }
        let json = SentencePiece::read(&model)?.tokenizer_json(&mut side);
        Self::from_parts(json.into(), &side, &model).map(Some)
    }

    /// Reads a `tokenizer.json` alone.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if it can't be read.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        Self::from_json(read_text(path, MAX_TOKENIZER_BYTES)?, path)
    }

    /// From the text of a `tokenizer.json`; `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`ModelError::Json`], or [`ModelError::Tokenizer`] with what is wrong with it.
    pub fn from_json(json: impl Into<Arc<str>>, path: &Path) -> Result<Self, ModelError> {
        Self::from_parts(json.into(), &SideFiles::default(), path)
    }

    fn from_parts(json: Arc<str>, side: &SideFiles, path: &Path) -> Result<Self, ModelError> {
        let invalid = |reason| ModelError::Tokenizer {
            path: path.to_owned(),
            reason,
        };
        check(&json).map_err(|refusal| match refusal {
            Refusal::Part(reason) => invalid(reason),
            Refusal::Json(source) => ModelError::Json {
                path: path.to_owned(),
                source,
            },
        })?;
        let inner = guarded(|| read(&json)).map_err(invalid)?;
        let mut inner = inner.map_err(|error| invalid(error.to_string()))?;
        let more = side.tokens_for(&inner);
        check_lengths(more.iter().map(|token| &*token.content)).map_err(invalid)?;
        let json = match more.is_empty() {
            true => json,
            false => guarded(|| add(&mut inner, &more)).map_err(invalid)?.into(),
        };
        guarded(|| side.warn_of_contradictions(&inner)).map_err(invalid)?;
        inner.set_encode_special_tokens(side.flag("split_special_tokens").unwrap_or(false));
        let largest_id = guarded(|| largest_id(&inner)).map_err(invalid)?;
        let behind = guarded(|| tokens_behind(&inner)).map_err(invalid)?;
        Ok(Self {
            behind,
            clean_up: CleanUp::of(side, matches!(inner.get_model(), ModelWrapper::BPE(_))),
            cut: Arc::default(),
            inner: Arc::new(inner),
            json,
            largest_id,
            embeddings: None,
            sha256: Arc::default(),
        })
    }
}

/// The texts of a checkpoint's special tokens by their names, such as `bos_token`, those included that
/// the class of the tokenizer names by itself.
///
/// # Errors
///
/// [`ModelError`] if a file is damaged.
pub(crate) fn special_tokens(dir: &Path) -> Result<Map<String, Value>, ModelError> {
    let mut side = SideFiles::read(dir)?;
    let model = dir.join(SENTENCE_PIECE);
    if !is_there(&dir.join(TOKENIZER)) && is_there(&model) {
        SentencePiece::read(&model)?.name_tokens(&mut side);
    }
    let class = side.class().map_or(&[][..], class::names);
    side.name(class);
    Ok(side.special_tokens())
}

fn read(json: &str) -> tokenizers::Result<tokenizers::Tokenizer> {
    let mut inner = tokenizers::Tokenizer::from_bytes(json.as_bytes())?;
    inner.with_truncation(None)?;
    inner.with_padding(None);
    Ok(inner)
}

/// Adds tokens, those that are there included. Returns the `tokenizer.json` that has them.
fn add(inner: &mut tokenizers::Tokenizer, tokens: &[AddedToken]) -> String {
    inner.add_tokens(tokens);
    inner.to_string(false).expect("a tokenizer has a JSON form")
}

/// The largest id that a text may become, those put around every text included. Two texts are tried
/// out, the empty one since no vocabulary lacks a token for it, which tells of most parts that would
/// panic at every text.
fn largest_id(inner: &tokenizers::Tokenizer) -> Option<u32> {
    let tried = ["", "a"].map(|text| inner.encode(text, true));
    let around = tried
        .iter()
        .flatten()
        .flat_map(|encoding| encoding.get_ids());
    let vocabulary = inner.get_vocab(true).into_values();
    vocabulary.chain(around.copied()).max()
}

/// Found out with a text of one token, since of an empty one all that is added could be behind it.
fn tokens_behind(tokenizer: &tokenizers::Tokenizer) -> usize {
    let Some(processor) = tokenizer.get_post_processor() else {
        return 0;
    };
    let token = Token::new(0, String::new(), (0, 0));
    let text = Encoding::from_tokens(vec![token], 0);
    let processed = processor.process(text, None, true);
    let added = processed.map(|text| text.get_special_tokens_mask().to_vec());
    let behind = added.iter().flat_map(|added| added.iter().rev());
    behind.take_while(|added| **added == 1).count()
}
