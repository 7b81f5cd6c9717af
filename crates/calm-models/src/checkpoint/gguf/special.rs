//! Token ids with a meaning of their own.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::Gguf;
use crate::ModelError;

/// The type of control tokens, among those of [`Gguf::token_types`].
pub(super) const CONTROL: i64 = 3;

/// Control tokens that end a text or an answer wherever a vocabulary has them, as llama.cpp takes
/// them: a file names but one or two.
const ENDS: &[&str] = &[
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<|endofturn|>",
    "<|end_of_turn|>",
    "<EOT>",
    "_<EOT>",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
];

/// The keys of ids as `config.json` has them.
pub(super) fn ids(gguf: &Gguf) -> Result<Map<String, Json>, ModelError> {
    let id = |name: &str| gguf.token_id(name);
    let named = [id("eos")?, id("eot")?, id("eom")?];
    let mut ends: Vec<u64> = named.into_iter().flatten().collect();
    ends.extend(control_ends(gguf)?);
    let mut seen = BTreeSet::new();
    ends.retain(|id| seen.insert(*id));
    let mut ids = Map::new();
    ids.insert("bos_token_id".to_owned(), json!(id("bos")?));
    ids.insert("eos_token_id".to_owned(), json!(ends));
    ids.insert("pad_token_id".to_owned(), json!(id("padding")?));
    Ok(ids)
}

fn control_ends(gguf: &Gguf) -> Result<Vec<u64>, ModelError> {
    let types = gguf.token_types()?.unwrap_or_default();
    let tokens = gguf.tokens()?.unwrap_or_default();
    let control = tokens.iter().zip(&types).zip(0..);
    let ends = control.filter(|((token, kind), _)| **kind == CONTROL && ENDS.contains(*token));
    Ok(ends.map(|(_, id)| id).collect())
}
