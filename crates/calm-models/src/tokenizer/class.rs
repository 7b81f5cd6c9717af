//! Classes of tokenizers in `transformers`, and the special tokens that they name by themselves.

use serde_json::{Map, Value};

/// Names of special tokens and their texts.
pub(super) type Names = &'static [(&'static str, &'static str)];

const END_OF_TEXT: &str = "<|endoftext|>";

/// Classes that name special tokens which no file names.
const CLASSES: [(&str, Names); 7] = [
    ("LlamaTokenizer", LLAMA),
    ("CodeLlamaTokenizer", LLAMA),
    (
        GEMMA,
        &[
            ("bos_token", "<bos>"),
            ("eos_token", "<eos>"),
            ("unk_token", "<unk>"),
            ("pad_token", "<pad>"),
            ("mask_token", "<mask>"),
        ],
    ),
    (
        QWEN2,
        &[
            ("eos_token", END_OF_TEXT),
            ("unk_token", END_OF_TEXT),
            ("pad_token", END_OF_TEXT),
        ],
    ),
    (
        GPT2,
        &[
            ("bos_token", END_OF_TEXT),
            ("eos_token", END_OF_TEXT),
            ("unk_token", END_OF_TEXT),
        ],
    ),
    (
        GPT_NEOX,
        &[
            ("bos_token", END_OF_TEXT),
            ("eos_token", END_OF_TEXT),
            ("unk_token", END_OF_TEXT),
            ("pad_token", "<|padding|>"),
        ],
    ),
    (
        XGLM,
        &[
            ("bos_token", "<s>"),
            ("eos_token", "</s>"),
            ("unk_token", "<unk>"),
            ("sep_token", "</s>"),
            ("pad_token", "<pad>"),
            ("cls_token", "<s>"),
        ],
    ),
];

const LLAMA: Names = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "<unk>"),
];

const GEMMA: &str = "GemmaTokenizer";
const QWEN2: &str = "Qwen2Tokenizer";
const GPT2: &str = "GPT2Tokenizer";
const GPT_NEOX: &str = "GPTNeoXTokenizer";
const XGLM: &str = "XGLMTokenizer";

/// The class for which a tokenizer is read, by `tokenizer_config.json` and `config.json`; none if it
/// is the general one, which names nothing by itself.
pub(super) fn class(
    tokenizer_config: &Map<String, Value>,
    config: &Map<String, Value>,
) -> Option<String> {
    let text = |fields: &Map<String, Value>, key: &str| Some(fields.get(key)?.as_str()?.to_owned());
    let key = "tokenizer_class";
    let named = text(tokenizer_config, key).or_else(|| text(config, key));
    let named = named.map(|name| name.strip_suffix("Fast").unwrap_or(&name).to_owned());
    let model_type = text(config, "model_type").unwrap_or_default();
    let own = match model_type.as_str() {
        "gemma" | "gemma2" | "gemma3" | "gemma3_text" => GEMMA,
        "qwen2" | "qwen2_moe" | "qwen3" | "qwen3_moe" => QWEN2,
        "gpt2" | "starcoder2" => GPT2,
        "gpt_neox" => GPT_NEOX,
        "xglm" => XGLM,
        // Whatever class their files name is known to be wrong.
        "mistral" | "mixtral" | "phi3" | "stablelm" | "olmo2" | "granite" => return None,
        _ => return named,
    };
    match named {
        Some(named) if model_type != "qwen2" => Some(named),
        _ => Some(own.to_owned()),
    }
}

/// The special tokens that a class names by itself.
pub(super) fn names(class: &str) -> Names {
    let found = CLASSES.iter().find(|(name, _)| *name == class);
    found.map_or(&[], |(_, names)| names)
}
