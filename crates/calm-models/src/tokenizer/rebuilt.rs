//! Parts of a `tokenizer.json` that a class of `transformers` 5 makes anew, by what
//! `tokenizer_config.json` says.
//!
//! `LlamaTokenizer` takes vocabulary, merges and special tokens from the file, and splits texts in its own
//! way: `legacy` and `add_prefix_space` say where a text gets a first space. Classes of GPT-2's kind let
//! `add_prefix_space` count rather than the file.
//!
//! Departs from `transformers` 5: there, classes of GPT-2's kind make their patterns anew, too, also for
//! models that were trained with other ones.

use serde_json::Value;

use super::build::{Pipeline, PrefixSpace};
use super::check::Sketch;
use super::side_files::SideFiles;

const BYTE_LEVEL: &str = "ByteLevel";

/// The steps of `LlamaTokenizer`.
pub(super) fn llama(side: &SideFiles) -> Pipeline {
    let prefix = match (side.flag("add_prefix_space"), side.flag("legacy")) {
        (Some(false), _) => PrefixSpace::Never,
        (_, Some(true)) => PrefixSpace::Always,
        _ => PrefixSpace::First,
    };
    Pipeline::llama(prefix)
}

/// The text of a `tokenizer.json` as the class of its tokenizer reads it; none if that is as it is.
///
/// # Errors
///
/// If it is no JSON.
pub(super) fn rebuilt(json: &str, side: &SideFiles) -> serde_json::Result<Option<String>> {
    let is_byte_level = json.contains(BYTE_LEVEL);
    let change: fn(&mut Value, &SideFiles) = match side.class() {
        Some("LlamaTokenizer") => use_steps_of_llama,
        Some("GPT2Tokenizer" | "GPTNeoXTokenizer" | "Qwen2Tokenizer") if is_byte_level => {
            |file, side| {
                let prefix = side.flag("add_prefix_space").unwrap_or(false);
                set_prefix(&mut file["pre_tokenizer"], prefix);
            }
        }
        _ => return Ok(None),
    };
    // Most of a file is its vocabulary, which is read only if there is something to change.
    let steps = serde_json::to_value(serde_json::from_str::<Sketch>(json)?)?;
    let mut changed = steps.clone();
    change(&mut changed, side);
    if changed == steps {
        return Ok(None);
    }
    let mut file: Value = serde_json::from_str(json)?;
    if !file.is_object() {
        return Ok(None); // The library says what is wrong with it.
    }
    change(&mut file, side);
    Ok(Some(file.to_string()))
}

fn use_steps_of_llama(file: &mut Value, side: &SideFiles) {
    let is_bpe = file["model"].is_null() || file["model"]["type"] == "BPE";
    if !is_bpe {
        return;
    }
    let pipeline = llama(side);
    file["normalizer"] = pipeline.normalizer;
    file["pre_tokenizer"] = pipeline.pre_tokenizer;
    file["decoder"] = pipeline.decoder;
    if let (Value::Object(settings), Value::Object(model)) = (pipeline.model, &mut file["model"]) {
        model.extend(settings);
    }
}

/// Sets whether texts of bytes begin with a space.
fn set_prefix(step: &mut Value, prefix: bool) {
    if step["type"] == BYTE_LEVEL {
        step["add_prefix_space"] = prefix.into();
    }
    let steps = step.get_mut("pretokenizers").and_then(Value::as_array_mut);
    for step in steps.into_iter().flatten() {
        set_prefix(step, prefix);
    }
}
