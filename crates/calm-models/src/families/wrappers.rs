//! Models that read more than text, around a text model of a family.
//!
//! Without an image or a sound, such a model computes what its text model computes alone. So its
//! text model is read in its place.

use serde_json::{Map, Value, json};

/// `model_type`s, each with that of its text model where the file does not name it.
const WRAPPERS: &[(&str, &str)] = &[
    ("gemma3", "gemma3_text"),
    ("llava", "llama"),
    ("mistral3", "mistral"),
];

/// Settings that the whole model has, too, and decides.
const OF_THE_WHOLE: [&str; 5] = [
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "quantization_config",
    "tie_word_embeddings",
];

/// The section of the text model.
pub(super) const SECTION: &str = "text_config";

/// The settings of the text model, if `whole` are those of a model around one.
pub(super) fn text_settings(whole: &Map<String, Value>) -> Option<Map<String, Value>> {
    let (_, text_type) = find(whole.get("model_type")?.as_str()?)?;
    let text = whole.get(SECTION).and_then(Value::as_object);
    let mut text = text.cloned().unwrap_or_default();
    let of_whole = OF_THE_WHOLE
        .iter()
        .filter_map(|key| whole.get_key_value(*key));
    let of_whole = of_whole.filter(|(_, value)| !value.is_null());
    text.extend(of_whole.map(|(key, value)| (key.clone(), value.clone())));
    // Gemma 3 with images does not bound its logits, whatever the section says.
    text.remove("final_logit_softcapping");
    text.entry("model_type").or_insert(json!(text_type));
    for (key, value) in sizes(&text) {
        text.entry(key).or_insert(json!(value));
    }
    Some(text)
}

/// The `model_type`s of all of them.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    WRAPPERS.iter().map(|(name, _)| *name)
}

fn find(model_type: &str) -> Option<(&'static str, &'static str)> {
    let mut wrappers = WRAPPERS.iter().copied();
    wrappers.find(|(name, _)| *name == model_type)
}

/// Sizes that a section leaves out where they are those of the class in `transformers`: a file of
/// its own has them all.
fn sizes(text: &Map<String, Value>) -> impl Iterator<Item = (&'static str, usize)> + use<> {
    let sizes = match text.get("model_type").and_then(Value::as_str) {
        Some("gemma3_text") => [262_208, 2304, 9216, 26, 8],
        Some("llama") => [32_000, 4096, 11_008, 32, 32],
        Some("mistral") => [32_000, 4096, 14_336, 32, 32],
        _ => [0; 5],
    };
    let keys = [
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
    ];
    keys.into_iter().zip(sizes).filter(|(_, size)| *size > 0)
}
