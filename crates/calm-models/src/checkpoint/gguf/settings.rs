//! Settings: metadata in the words of `config.json`, which the model's family then reads.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::error::GgufError;
use super::{Gguf, special};
use crate::ModelError;
use crate::checkpoint::header::TensorInfo;

/// Keys of any architecture that do not change what a model computes for given tokens, or repeat
/// what tensors say.
const HARMLESS: &[&str] = &[
    "mm.tokens_per_image",
    "rope.scaling.finetuned",
    "tensor_data_layout",
    "vocab_size",
];

/// A key of metadata, without the architecture before it, and the key of `config.json` that means
/// the same.
#[derive(Debug)]
pub(super) struct Key {
    key: &'static str,
    name: &'static str,
    kind: Kind,
    absent: Absent,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Count,
    Number,
}

/// The meaning of a key's absence.
#[derive(Debug, Clone, Copy)]
enum Absent {
    Error,
    /// The family's default.
    Default,
    /// The value of another key.
    Other(&'static str),
}

impl Key {
    pub(super) const fn count(key: &'static str, name: &'static str) -> Self {
        Self {
            key,
            name,
            kind: Kind::Count,
            absent: Absent::Error,
        }
    }

    pub(super) const fn number(key: &'static str, name: &'static str) -> Self {
        Self {
            kind: Kind::Number,
            ..Self::count(key, name)
        }
    }

    /// A key that may be absent, for the family's default.
    pub(super) const fn optional(self) -> Self {
        Self {
            absent: Absent::Default,
            ..self
        }
    }

    /// A key whose absence means the value of another.
    pub(super) const fn or(self, other: &'static str) -> Self {
        Self {
            absent: Absent::Other(other),
            ..self
        }
    }
}

/// Adds settings that are not one key each.
pub(super) type Extra = fn(&mut Draft<'_>) -> Result<(), ModelError>;

/// The text of a `config.json` that says what the file says.
pub(super) fn read(gguf: &Gguf) -> Result<String, ModelError> {
    let mut draft = Draft {
        gguf,
        settings: Map::new(),
        used: BTreeSet::new(),
    };
    let architecture = gguf.architecture;
    draft.set("model_type", architecture.family.name());
    for key in architecture.keys.iter().copied().flatten() {
        draft.take(key)?;
    }
    for extra in architecture.extra {
        extra(&mut draft)?;
    }
    draft.add_tensors()?;
    draft.settings.extend(special::ids(gguf)?);
    draft.add_unknown();
    Ok(Json::Object(draft.settings).to_string())
}

/// Settings as they are gathered.
pub(super) struct Draft<'a> {
    gguf: &'a Gguf,
    settings: Map<String, Json>,
    /// Keys that were asked for.
    used: BTreeSet<String>,
}

impl Draft<'_> {
    fn take(&mut self, key: &Key) -> Result<(), ModelError> {
        let value = match self.value(key.kind, key.key)? {
            // Of a window, none at all.
            Some(value) if matches!(key.absent, Absent::Default) && value == json!(0) => {
                return Ok(());
            }
            Some(value) => value,
            None => match key.absent {
                Absent::Default => return Ok(()),
                Absent::Other(other) => {
                    let value = self.value(key.kind, other)?;
                    value.ok_or_else(|| self.missing(key.key))?
                }
                Absent::Error => return Err(self.missing(key.key)),
            },
        };
        self.set(key.name, value);
        Ok(())
    }

    fn value(&mut self, kind: Kind, key: &str) -> Result<Option<Json>, ModelError> {
        Ok(match kind {
            Kind::Count => self.count(key)?.map(Json::from),
            Kind::Number => self.number(key)?.map(Json::from),
        })
    }

    /// Sets a key of `config.json`.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Json>) {
        self.settings.insert(name.to_owned(), value.into());
    }

    /// Takes a setting back that the family does not have.
    pub(super) fn remove(&mut self, name: &str) {
        self.settings.remove(name);
    }

    /// The base of rotary frequencies.
    pub(super) fn theta(&self) -> f64 {
        let theta = self.settings.get("rope_theta").and_then(Json::as_f64);
        theta.unwrap_or(1e4)
    }

    /// A setting that is known by now.
    pub(super) fn known(&self, name: &str) -> u64 {
        self.settings.get(name).and_then(Json::as_u64).unwrap_or(0)
    }

    /// A whole number, also where it stands once for every block and is the same for all of them.
    pub(super) fn count(&mut self, key: &str) -> Result<Option<u64>, ModelError> {
        let key = self.used(key);
        if let Ok(Some(list)) = self.gguf.metadata.integers(&key)
            && let [first, rest @ ..] = list.as_slice()
            && rest.iter().all(|other| other == first)
            && let Ok(first) = u64::try_from(*first)
        {
            return Ok(Some(first));
        }
        self.gguf.checked(self.gguf.metadata.count(&key))
    }

    pub(super) fn number(&mut self, key: &str) -> Result<Option<f64>, ModelError> {
        let key = self.used(key);
        let number = self.gguf.checked(self.gguf.metadata.number(&key))?;
        match number {
            Some(number) if !number.is_finite() => Err(self
                .gguf
                .invalid(GgufError::key(&key, "is not a finite number"))),
            number => Ok(number),
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, ModelError> {
        let key = self.used(key);
        let text = self.gguf.checked(self.gguf.metadata.text(&key))?;
        Ok(text.map(str::to_owned))
    }

    pub(super) fn truth(&mut self, key: &str) -> Result<Option<bool>, ModelError> {
        let key = self.used(key);
        self.gguf.checked(self.gguf.metadata.truth(&key))
    }

    /// A truth value for every block.
    pub(super) fn truths(&mut self, key: &str) -> Option<Vec<bool>> {
        let key = self.used(key);
        self.gguf.metadata.truths(&key).ok().flatten()
    }

    /// The error for a value that asks for something else than is implemented.
    pub(super) fn refused(&self, key: &str, reason: impl Into<String>) -> ModelError {
        self.gguf.invalid(GgufError::key(&self.whole(key), reason))
    }

    fn missing(&self, key: &str) -> ModelError {
        self.refused(key, "is missing; the file is damaged or incomplete")
    }

    fn used(&mut self, key: &str) -> String {
        let key = self.whole(key);
        self.used.insert(key.clone());
        key
    }

    fn whole(&self, key: &str) -> String {
        format!("{}.{key}", self.gguf.architecture.name)
    }

    /// Type, shape and place of a tensor.
    pub(super) fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.gguf.weights.info(name)
    }

    /// The numbers of a tensor.
    pub(super) fn numbers(&self, name: &str) -> Result<Option<Vec<f32>>, ModelError> {
        self.gguf.weights.numbers(name)
    }

    /// Settings that the tensors tell: size of the vocabulary, and whether the head is the embedding.
    fn add_tensors(&mut self) -> Result<(), ModelError> {
        let rows = |name: &str| {
            self.tensor(name)
                .and_then(|info| info.shape.first().copied())
        };
        let embedding = "token_embd.weight";
        let Some(vocab_size) = rows(embedding) else {
            let reason = "is missing; the file is damaged, or holds no language model";
            return Err(self.gguf.invalid(GgufError::tensor(embedding, reason)));
        };
        let tied = self.tensor("output.weight").is_none();
        self.set("vocab_size", vocab_size);
        self.set("tie_word_embeddings", tied);
        Ok(())
    }

    /// Keys of the architecture that nobody asked for, by their own names: whether they may be passed
    /// over is for the one reader of settings to say.
    fn add_unknown(&mut self) {
        let prefix = self.whole("");
        let metadata = &self.gguf.metadata;
        for key in metadata.keys() {
            let Some(inner) = key.strip_prefix(&*prefix) else {
                continue;
            };
            let value = metadata.json(key);
            let is_off = inner.starts_with("expert_") && value == json!(0);
            if !is_off && !self.used.contains(key) && !HARMLESS.contains(&inner) {
                self.settings.insert(key.to_owned(), value);
            }
        }
    }
}

/// The width of a head: that of keys and of values, which must be the same.
pub(super) fn heads(draft: &mut Draft<'_>) -> Result<(), ModelError> {
    let heads = draft.known("num_attention_heads");
    let stored = draft
        .tensor("blk.0.attn_q.weight")
        .map(|info| info.shape[0] as u64);
    let stored = stored.and_then(|rows| rows.checked_div(heads));
    let width = draft.known("hidden_size").checked_div(heads);
    let keys = draft.count("attention.key_length")?;
    let values = draft.count("attention.value_length")?;
    let width = keys.or(stored).or(width).unwrap_or_default();
    if let Some(values) = values.filter(|values| *values != width) {
        let reason = format!("is {values}, but keys have {width} numbers; both must be alike");
        return Err(draft.refused("attention.value_length", reason));
    }
    draft.set("head_dim", width);
    Ok(())
}

/// Whether projections of the attention, and of feed-forward layers, have biases.
pub(super) fn biases(draft: &mut Draft<'_>) -> Result<(), ModelError> {
    for (name, tensor) in [
        ("attention_bias", "blk.0.attn_q.bias"),
        ("mlp_bias", "blk.0.ffn_up.bias"),
    ] {
        let is_there = draft.tensor(tensor).is_some();
        draft.set(name, is_there);
    }
    Ok(())
}

/// Whether queries, keys and values have biases, and the feed-forward layer is beside the attention.
pub(super) fn stablelm(draft: &mut Draft<'_>) -> Result<(), ModelError> {
    // The tensors say so, too, and are always right.
    draft.truth("use_parallel_residual")?;
    let has = |tensor: &str| draft.tensor(tensor).is_some();
    let (bias, is_parallel) = (has("blk.0.attn_q.bias"), !has("blk.0.ffn_norm.weight"));
    let is_normed = has("blk.0.attn_q_norm.weight");
    draft.set("use_qkv_bias", bias);
    draft.set("use_parallel_residual", is_parallel);
    draft.set("qk_layernorm", is_normed);
    Ok(())
}

/// Whether projections have biases.
pub(super) fn starcoder(draft: &mut Draft<'_>) -> Result<(), ModelError> {
    let bias = draft.tensor("blk.0.attn_q.bias").is_some();
    draft.set("use_bias", bias);
    Ok(())
}

/// Whether the attention has biases, and the feed-forward layer is beside it. The family has neither
/// key-value heads nor a width of heads in its settings.
pub(super) fn neox(draft: &mut Draft<'_>) -> Result<(), ModelError> {
    if let Some(is_parallel) = draft.truth("use_parallel_residual")? {
        draft.set("use_parallel_residual", is_parallel);
    }
    let bias = draft.tensor("blk.0.attn_qkv.bias").is_some();
    draft.set("attention_bias", bias);
    draft.remove("num_key_value_heads");
    draft.remove("head_dim");
    Ok(())
}

/// The kind of block, which norms and key-value heads tell, and whether projections have biases.
pub(super) fn falcon(draft: &mut Draft<'_>) -> Result<(), ModelError> {
    let has = |tensor: &str| draft.tensor(tensor).is_some();
    let (two_norms, bias) = (has("blk.0.attn_norm_2.weight"), has("blk.0.attn_qkv.bias"));
    let is_new = two_norms || draft.known("num_kv_heads") != 1;
    draft.set("new_decoder_architecture", is_new);
    draft.set("num_ln_in_parallel_attn", if two_norms { 2 } else { 1 });
    draft.set("multi_query", !is_new);
    draft.set("bias", bias);
    Ok(())
}

/// Weights of the experts that are used sum to 1, which is in no key.
pub(super) fn normalised_experts(draft: &mut Draft<'_>) -> Result<(), ModelError> {
    draft.set("norm_topk_prob", true);
    Ok(())
}
