//! Architectures of GGUF files: for each a family, the names of its tensors, and its keys.
//!
//! The settings of a file are put into the words of `config.json`, and then read by the
//! family, so that a setting has one reader. To add an architecture, add an entry to [`ALL`].

use super::settings::{
    Extra, Key, biases, falcon, heads, neox, normalised_experts, stablelm, starcoder,
};
use super::{gemma, rope};
use crate::Family;
use crate::config::{BlockParam, GatedPart};
use crate::families::{ExpertNames, ExpertTensors, Fused, Names};

/// An architecture.
#[derive(Debug)]
pub(crate) struct Architecture {
    /// Its name in the file, which its keys begin with.
    pub(super) name: &'static str,
    pub(super) family: Family,
    /// Whether its blocks have experts: of two architectures of the same name, one does.
    pub(super) has_experts: bool,
    pub(super) names: &'static Names,
    /// Its keys, in the words of `config.json`.
    pub(super) keys: &'static [&'static [Key]],
    /// Settings that are not one key each.
    pub(super) extra: &'static [Extra],
}

/// As most are.
const LLAMA_LIKE: Architecture = Architecture {
    name: "llama",
    family: Family::Llama,
    has_experts: false,
    names: &NAMES,
    keys: &[SIZES, RMS],
    extra: &[heads, rope::settings],
};

pub(super) const ALL: &[Architecture] = &[
    Architecture {
        name: "llama",
        family: Family::Mixtral,
        has_experts: true,
        names: &Names {
            experts: EXPERTS,
            ..ROTATED_PAIRS
        },
        keys: &[
            SIZES,
            RMS,
            &[Key::count("expert_count", "num_local_experts"), USED],
        ],
        ..LLAMA_LIKE
    },
    Architecture {
        name: "qwen2moe",
        family: Family::Qwen2Moe,
        has_experts: true,
        names: &QWEN2_MOE,
        keys: &[SIZES, RMS, QWEN_EXPERTS],
        ..LLAMA_LIKE
    },
    Architecture {
        name: "qwen3moe",
        family: Family::Qwen3Moe,
        has_experts: true,
        names: &Names {
            experts: EXPERTS,
            ..NAMES
        },
        keys: &[SIZES, RMS, QWEN_EXPERTS],
        extra: &[heads, rope::settings, normalised_experts],
    },
    Architecture {
        name: "llama",
        family: Family::Llama,
        names: &ROTATED_PAIRS,
        extra: &[heads, rope::settings, biases],
        ..LLAMA_LIKE
    },
    Architecture {
        name: "qwen2",
        family: Family::Qwen2,
        ..LLAMA_LIKE
    },
    Architecture {
        name: "qwen3",
        family: Family::Qwen3,
        ..LLAMA_LIKE
    },
    Architecture {
        name: "smollm3",
        family: Family::SmolLm3,
        names: &ROTATED_PAIRS,
        extra: &[heads, rope::settings, biases],
        ..LLAMA_LIKE
    },
    Architecture {
        name: "gemma",
        family: Family::Gemma,
        ..LLAMA_LIKE
    },
    Architecture {
        name: "gemma2",
        family: Family::Gemma2,
        keys: &[SIZES, RMS, WINDOW, BOUNDS],
        extra: &[heads, rope::settings, gemma::query_scalar],
        ..LLAMA_LIKE
    },
    Architecture {
        name: "gemma3",
        family: Family::Gemma3,
        keys: &[SIZES, RMS, WINDOW, BOUNDS],
        extra: &[heads, gemma::rope, gemma::windows, gemma::query_scalar],
        ..LLAMA_LIKE
    },
    Architecture {
        name: "phi3",
        family: Family::Phi3,
        names: &PHI3,
        keys: &[SIZES, RMS, WINDOW],
        extra: &[heads, rope::settings, rope::long],
        ..LLAMA_LIKE
    },
    Architecture {
        name: "gpt2",
        family: Family::Gpt2,
        names: &FUSED,
        keys: &[GPT2],
        extra: &[],
        ..LLAMA_LIKE
    },
    Architecture {
        name: "gptneox",
        family: Family::GptNeox,
        names: &FUSED,
        keys: &[SIZES, LAYER_NORM],
        extra: &[heads, rope::neox, neox],
        ..LLAMA_LIKE
    },
    Architecture {
        name: "starcoder2",
        family: Family::Starcoder2,
        keys: &[SIZES, &[Key::number(LAYER_NORM_KEY, "norm_epsilon")]],
        extra: &[heads, rope::settings, starcoder],
        ..LLAMA_LIKE
    },
    Architecture {
        name: "stablelm",
        family: Family::StableLm,
        keys: &[SIZES, LAYER_NORM],
        extra: &[heads, rope::settings, stablelm],
        ..LLAMA_LIKE
    },
    Architecture {
        name: "bloom",
        family: Family::Bloom,
        names: &FUSED,
        keys: &[BLOOM, BLOOM_GROUPS],
        extra: &[],
        ..LLAMA_LIKE
    },
    Architecture {
        name: "falcon",
        family: Family::Falcon,
        names: &FALCON,
        keys: &[FALCON_SIZES, FALCON_GROUPS],
        extra: &[rope::settings, falcon],
        ..LLAMA_LIKE
    },
    Architecture {
        name: "olmo2",
        family: Family::Olmo2,
        ..LLAMA_LIKE
    },
    Architecture {
        name: "granite",
        family: Family::Granite,
        names: &ROTATED_PAIRS,
        keys: &[SIZES, RMS, FACTORS],
        extra: &[heads, rope::settings, biases],
        ..LLAMA_LIKE
    },
];

impl Architecture {
    /// The architecture of a file that names it so, and has experts or not.
    pub(super) fn find(name: &str, has_experts: bool) -> Option<&'static Self> {
        let mut named = ALL.iter().filter(|architecture| architecture.name == name);
        let first = named.clone().next();
        named
            .find(|architecture| architecture.has_experts == has_experts)
            .or(first)
    }
}

const USED: Key = Key::count("expert_used_count", "num_experts_per_tok");

const QWEN_EXPERTS: &[Key] = &[
    Key::count("expert_count", "num_experts"),
    USED,
    Key::count("expert_feed_forward_length", "moe_intermediate_size"),
    Key::count(
        "expert_shared_feed_forward_length",
        "shared_expert_intermediate_size",
    )
    .optional(),
];

/// Keys of nearly all architectures.
const SIZES: &[Key] = &[
    Key::count("context_length", "max_position_embeddings"),
    Key::count("embedding_length", "hidden_size"),
    Key::count("block_count", "num_hidden_layers"),
    Key::count("feed_forward_length", "intermediate_size").or("expert_feed_forward_length"),
    Key::count("attention.head_count", "num_attention_heads"),
    Key::count("attention.head_count_kv", "num_key_value_heads").or("attention.head_count"),
];

const RMS: &[Key] = &[Key::number(
    "attention.layer_norm_rms_epsilon",
    "rms_norm_eps",
)];

const LAYER_NORM_KEY: &str = "attention.layer_norm_epsilon";

const LAYER_NORM: &[Key] = &[Key::number(LAYER_NORM_KEY, "layer_norm_eps")];

const WINDOW: &[Key] = &[Key::count("attention.sliding_window", "sliding_window").optional()];

const BOUNDS: &[Key] = &[
    Key::number("attn_logit_softcapping", "attn_logit_softcapping").optional(),
    Key::number("final_logit_softcapping", "final_logit_softcapping").optional(),
];

/// Granite's.
const FACTORS: &[Key] = &[
    Key::number("attention.scale", "attention_multiplier"),
    Key::number("embedding_scale", "embedding_multiplier"),
    Key::number("residual_scale", "residual_multiplier"),
    Key::number("logit_scale", "logits_scaling"),
];

/// Keys of an architecture of GPT-2's kind in its words: length of texts, width, blocks, inner width,
/// heads, and the norms' epsilon.
const fn sizes([context, width, blocks, inner, heads]: [&'static str; 5]) -> [Key; 6] {
    [
        Key::count("context_length", context),
        Key::count("embedding_length", width),
        Key::count("block_count", blocks),
        Key::count("feed_forward_length", inner).optional(),
        Key::count("attention.head_count", heads),
        Key::number(LAYER_NORM_KEY, "layer_norm_epsilon"),
    ]
}

const GPT2: &[Key] = &sizes(["n_positions", "n_embd", "n_layer", "n_inner", "n_head"]);

const BLOOM: &[Key] = &sizes(["seq_length", "hidden_size", "n_layer", "n_inner", "n_head"]);

/// As many as heads.
const BLOOM_GROUPS: &[Key] =
    &[Key::count("attention.head_count_kv", "n_head").or("attention.head_count")];

const FALCON_SIZES: &[Key] = &sizes([
    "max_position_embeddings",
    "hidden_size",
    "num_hidden_layers",
    "ffn_hidden_size",
    "num_attention_heads",
]);

const FALCON_GROUPS: &[Key] =
    &[Key::count("attention.head_count_kv", "num_kv_heads").or("attention.head_count")];

/// Names of all architectures, whose parts are stored one by one.
const NAMES: Names = Names {
    prefix: "",
    embedding: "token_embd",
    positions: "position_embd",
    embedding_norm: "token_embd_norm",
    final_norm: "output_norm",
    head: &["output"],
    block: "blk",
    parts: &[
        ("attn_norm", &[BlockParam::AttentionNorm]),
        ("attn_q", &[BlockParam::Query]),
        ("attn_k", &[BlockParam::Key]),
        ("attn_v", &[BlockParam::Value]),
        ("attn_q_norm", &[BlockParam::QueryNorm]),
        ("attn_k_norm", &[BlockParam::KeyNorm]),
        ("attn_output", &[BlockParam::Output]),
        ("post_attention_norm", &[BlockParam::AttentionPostNorm]),
        ("ffn_norm", &[BlockParam::FeedForwardNorm]),
        ("ffn_gate", &[BlockParam::Gate]),
        ("ffn_up", &[BlockParam::Up]),
        ("ffn_down", &[BlockParam::Down]),
        ("post_ffw_norm", &[BlockParam::FeedForwardPostNorm]),
    ],
    parallel_parts: &[],
    experts: &[],
    fused: Fused::ByPart,
    input_first: false,
    // Divisors of rotary frequencies, which become settings.
    buffers: &[
        "rope_freqs.weight",
        "rope_factors_long.weight",
        "rope_factors_short.weight",
    ],
    rotated_pairs: false,
    norms_are_factors: true,
};

/// Architectures that GGML rotates in adjacent pairs of a head's values, where the families rotate
/// its halves.
const ROTATED_PAIRS: Names = Names {
    rotated_pairs: true,
    ..NAMES
};

const EXPERTS: &[ExpertNames] = &[ExpertNames {
    router: "ffn_gate_inp",
    tensors: ExpertTensors::StackedParts {
        gate: "ffn_gate_exps.weight",
        up: "ffn_up_exps.weight",
        down: "ffn_down_exps.weight",
    },
}];

const QWEN2_MOE: Names = Names {
    parts: &[
        ("attn_norm", &[BlockParam::AttentionNorm]),
        ("attn_q", &[BlockParam::Query]),
        ("attn_k", &[BlockParam::Key]),
        ("attn_v", &[BlockParam::Value]),
        ("attn_output", &[BlockParam::Output]),
        ("ffn_norm", &[BlockParam::FeedForwardNorm]),
        ("ffn_gate", &[BlockParam::Gate]),
        ("ffn_up", &[BlockParam::Up]),
        ("ffn_down", &[BlockParam::Down]),
        ("ffn_gate_shexp", &[BlockParam::Shared(GatedPart::Gate)]),
        ("ffn_up_shexp", &[BlockParam::Shared(GatedPart::Up)]),
        ("ffn_down_shexp", &[BlockParam::Shared(GatedPart::Down)]),
        (super::weights::SHARED_GATE, &[BlockParam::SharedGate]),
    ],
    experts: EXPERTS,
    ..NAMES
};

/// Queries, keys and values in one tensor.
const FUSED: Names = Names {
    parts: &[
        ("attn_norm", &[BlockParam::AttentionNorm]),
        (
            "attn_qkv",
            &[BlockParam::Query, BlockParam::Key, BlockParam::Value],
        ),
        ("attn_output", &[BlockParam::Output]),
        ("ffn_norm", &[BlockParam::FeedForwardNorm]),
        ("ffn_up", &[BlockParam::Up]),
        ("ffn_down", &[BlockParam::Down]),
    ],
    ..NAMES
};

/// The larger models of Falcon norm attention and feed-forward layer apart.
const FALCON: Names = Names {
    parallel_parts: &[
        ("attn_norm_2", &[BlockParam::AttentionNorm]),
        ("attn_norm", &[BlockParam::FeedForwardNorm]),
    ],
    ..FUSED
};

const PHI3: Names = Names {
    parts: &[
        ("attn_norm", &[BlockParam::AttentionNorm]),
        (
            "attn_qkv",
            &[BlockParam::Query, BlockParam::Key, BlockParam::Value],
        ),
        ("attn_output", &[BlockParam::Output]),
        ("ffn_norm", &[BlockParam::FeedForwardNorm]),
        ("ffn_up", &[BlockParam::Gate, BlockParam::Up]),
        ("ffn_down", &[BlockParam::Down]),
    ],
    ..NAMES
};
