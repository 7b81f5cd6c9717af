//! Keys of a `config.json` that a family does not ask for: what each may mean, by its name and value.
//!
//! A key is refused only if it might change the numbers: some decoder of `transformers` computes with
//! it, or its name is like those of such keys. All others are passed over, as `transformers` does.

use serde_json::Value;

/// The meaning of a key that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It changes nothing about the logits of a text.
    Harmless,
    /// Nobody knows it.
    Unknown,
    /// Decoders of `transformers` compute with it: those of these families.
    Computed(&'static str),
    /// Nobody knows it, and a part of its name tells of computation.
    Suspicious(&'static str),
}

/// Keys that do not change what a model computes for given tokens: training, provenance, kernels, how
/// `transformers` returns things, and how it generates.
const HARMLESS: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_attn_implementation_internal",
    "_commit_hash",
    "_experts_implementation",
    "_experts_implementation_internal",
    "_flash_attn_2_enabled",
    "_from_model_config",
    "_model_name_or_path",
    "_name_or_path",
    "_num_labels",
    "_sliding_window_pattern",
    "architectures",
    "assistant_confidence_threshold",
    "assistant_early_exit",
    "assistant_lookbehind",
    "attention_dropout",
    "attention_softmax_in_fp32",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "bad_words_ids",
    "base_model_tp_plan",
    "begin_suppress_tokens",
    "cache_config",
    "cache_implementation",
    "chunk_size_feed_forward",
    "compile_config",
    "decoder_start_token_id",
    "disable_compile",
    "diversity_penalty",
    "do_sample",
    "dola_layers",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "epsilon_cutoff",
    "eta_cutoff",
    "experts_implementation",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "force_words_ids",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "generation_config",
    "gradient_checkpointing",
    "guidance_scale",
    "id2label",
    "ignore_keys_at_rope_validation",
    "init_std",
    "initializer_range",
    "is_assistant",
    "is_decoder",
    "is_llama_config",
    "label2id",
    "length_penalty",
    "loss_type",
    "low_memory",
    "max_length",
    "max_matching_ngram_size",
    "max_new_tokens",
    "max_sequence_length",
    "max_time",
    "max_window_layers",
    "min_length",
    "min_new_tokens",
    "min_p",
    "mlx_version",
    "model_max_length",
    "model_name",
    "model_type",
    "n_ctx",
    "n_special",
    "name_or_path",
    "neftune_noise_alpha",
    "no_repeat_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_logits_to_keep",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_past",
    "output_router_logits",
    "output_scores",
    "penalty_alpha",
    "predict_special_tokens",
    "prefill_chunk_size",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "prompt_lookup_num_tokens",
    "quantization_status",
    "remove_invalid_values",
    "renormalize_logits",
    "reorder_and_upcast_attn",
    "repetition_penalty",
    "resid_pdrop",
    "residual_in_fp32",
    "return_dict",
    "return_dict_in_generate",
    "router_aux_loss_coef",
    "scale_attention_softmax_in_fp32",
    "sep_token_id",
    "slow_but_exact",
    "stop_strings",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "suppress_tokens",
    "target_lookbehind",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_last_hidden_states",
    "token_healing",
    "tokenizer_class",
    "top_h",
    "top_k",
    "top_p",
    "torch_compile",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_flash_attention",
    "use_flash_attention_2",
    "use_flash_attn",
    "use_fused_rms_norm",
    "use_kernels",
    "use_memory_efficient_attention",
    "use_xformers",
    "watermarking_config",
];

/// Parts of the names of more such keys: of training, of initial weights, and of ids.
const HARMLESS_PARTS: [&str; 8] = [
    "dropout",
    "pdrop",
    "layerdrop",
    "initializer",
    "_token_id",
    "_token_index",
    "unsloth",
    "transformers",
];

/// Parts of the names of keys that change the numbers.
const SUSPICIOUS: [&str; 12] = [
    "multiplier",
    "scale",
    "scaling",
    "norm",
    "bias",
    "cap",
    "clip",
    "rope",
    "rotary",
    "alibi",
    "window",
    "expert",
];

/// Parts of the names of factors for which 1 is a choice: it stands instead of another.
const SCALES_OF_SCORES: [&str; 4] = ["mscale", "attn_scale", "attention_scale", "softmax_scale"];

/// Switches that are on in every decoder of this crate.
const ON: [&str; 8] = [
    "causal",
    "do_layer_norm_before",
    "is_causal",
    "layer_norm_elementwise_affine",
    "norm_bias",
    "pre_norm",
    "scale_attn_weights",
    "use_rms_norm",
];

/// More switches for which `false` is a choice: off is not what is so anyway.
const CHOICES: [&str; 15] = [
    "attention_bias",
    "enable_bias",
    "gated_mlp",
    "mlp_bias",
    "norm_topk_prob",
    "qkv_bias",
    "rotary",
    "tie_word_embeddings",
    "use_attention_bias",
    "use_bias",
    "use_parallel_residual",
    "use_qkv_bias",
    "use_rope",
    "use_rotary_embedding",
    "use_rotary_embeddings",
];

/// One line per key: its name, and the families. Made by a script of `tests/scripts`.
const COMPUTED: &str = include_str!("computed_keys.tsv");

/// Meaning of a key with this value.
pub(super) fn meaning(key: &str, value: &Value) -> Meaning {
    let is_part = |part: &&str| key.contains(*part);
    if HARMLESS.contains(&key) || HARMLESS_PARTS.iter().any(is_part) {
        return Meaning::Harmless;
    }
    if says_nothing(key, value) {
        return Meaning::Harmless;
    }
    let lower = key.to_lowercase();
    match (
        computed(key),
        SUSPICIOUS.iter().find(|part| lower.contains(**part)),
    ) {
        (Some(families), _) => Meaning::Computed(families),
        (None, Some(part)) => Meaning::Suspicious(part),
        (None, None) => Meaning::Unknown,
    }
}

/// The families whose decoders compute with a key.
fn computed(key: &str) -> Option<&'static str> {
    let mut lines = COMPUTED.lines().filter_map(|line| line.split_once('\t'));
    lines
        .find(|(name, _)| *name == key)
        .map(|(_, families)| families)
}

/// Whether a value switches nothing on: `null`, empty, `false`, a factor of 1, or none of things that
/// are counted.
fn says_nothing(key: &str, value: &Value) -> bool {
    let is_any = |parts: &[&str]| parts.iter().any(|part| key.contains(part));
    match value {
        Value::Null => true,
        Value::Bool(true) => ON.contains(&key),
        Value::Bool(false) => !ON.contains(&key) && !CHOICES.contains(&key),
        Value::String(value) => value.is_empty(),
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => value.is_empty(),
        Value::Number(value) => match value.as_f64() {
            Some(1.0) => {
                is_any(&["multiplier", "scale", "scaling", "factor"]) && !is_any(&SCALES_OF_SCORES)
            }
            Some(0.0) => is_any(&["expert", "cap", "clip", "rank", "num_", "n_"]),
            _ => false,
        },
    }
}

/// Whether two values are equal, 1 and 1.0 included.
pub(super) fn is_same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && a.as_f64() == b.as_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_list_is_whole() {
        let lines = COMPUTED
            .lines()
            .skip(1)
            .map(|line| line.split_once('\t').unwrap());
        let lines: Vec<_> = lines.collect();
        assert!(lines.len() > 400);
        assert!(lines.is_sorted() && lines.iter().all(|(_, families)| !families.is_empty()));
        for key in [
            "hidden_size",
            "logit_scale",
            "clip_qkv",
            "num_experts",
            "rope_theta",
            "beta_fast",
        ] {
            assert!(computed(key).is_some(), "{key}");
        }
        assert_eq!(computed("# Made by"), None);
    }

    #[test]
    fn names_and_values_decide() {
        let cases = [
            ("logit_scale", json!(0.0625), Meaning::Computed("")),
            ("parallel_attn", json!(true), Meaning::Computed("")),
            ("use_bias", json!(false), Meaning::Computed("")),
            ("short_mscale", json!(1.0), Meaning::Computed("")),
            ("use_rope", json!(false), Meaning::Suspicious("rope")),
            ("is_causal", json!(false), Meaning::Computed("")),
            ("num_local_experts", json!(8), Meaning::Computed("")),
            ("partial_rotary_factor", json!(0), Meaning::Computed("")),
            ("MyNormKind", json!("l2"), Meaning::Suspicious("norm")),
            ("kv_bias_v2", json!(true), Meaning::Suspicious("bias")),
            ("ropeBase", json!(5), Meaning::Suspicious("rope")),
            ("merged_from", json!(["a", "b"]), Meaning::Unknown),
            ("unk_token_id", json!(3), Meaning::Harmless),
            ("hidden_dropout", json!(0.1), Meaning::Harmless),
            ("logit_scale", json!(1), Meaning::Harmless),
            ("num_local_experts", json!(0), Meaning::Harmless),
            ("is_causal", json!(true), Meaning::Harmless),
            ("parallel_attn", json!(false), Meaning::Harmless),
            ("rope_interleaved", json!(false), Meaning::Harmless),
            ("use_qk_norm_v2", json!(false), Meaning::Harmless),
            ("rope_anything", Value::Null, Meaning::Harmless),
            ("attention_window", json!([]), Meaning::Harmless),
        ];
        for (key, value, expected) in cases {
            let found = match meaning(key, &value) {
                Meaning::Computed(_) => Meaning::Computed(""),
                other => other,
            };
            assert_eq!(found, expected, "{key}: {value}");
        }
    }
}
