"""The keys of config.json that some decoder of transformers computes with.

Usage: python computed_keys.py > ../../src/families/computed_keys.tsv           (needs transformers)

Reads the sources of transformers: attributes of the configuration that the modelling code of a family
with a causal language model reads, and those that its configuration class reads while it is made. Left
out are keys of training, of initial weights, of results and of kernels, and those of other senses than
text. A line is a key and the families.
"""

import ast
import collections
import pathlib
import re

import transformers

ROOT = pathlib.Path(transformers.__file__).parent
DECODER = re.compile(r"^class \w+(ForCausalLM|LMHeadModel)\b", re.M)
OTHER_SENSES = re.compile("Vision|Audio|Image|Video|Speech|Patch|Pixel|Codec|Mimi")
# Names that change nothing about the logits of a text, or that are no keys.
HARMLESS = re.compile(
    r"^_|dropout|pdrop|layerdrop|jitter|aux_loss|z_loss|label|init_|_init|initializer|initialization|summary_"
    r"|^(mask_(time|feature)|apply_spec|audio|video|image|vision|speech|codec|codebook|patch|boi|eoi)"
    r"|(_config|_token_id|_index|_configs)$|^use_\w*(cache|kernel|kernels|mambapy|scan)$|_kernel$|^output_"
    r"|^(model_type|dtype|torch_dtype|cache_dir|code_revision|revision|token|trust_remote_code|local_files_only"
    r"|id2label|problem_type|return_dict|seed|sub_configs\w*|ignore_keys\w*|default_\w+|gradient_checkpointing"
    r"|mode|type|chunk_size_feed_forward|pretraining_tp|slow_but_exact"
    r"|is_decoder|is_encoder|num_logits_to_keep|inference_state_dtype|autocast_kernel_dtype|return_last_states"
    r"|languages|lang_id|pad_index|eos_index|text_config|decoder|layers|bi_data|sampling_rate|\w*_channels"
    r"|num_mel_bins|hop_length|\w+_top_n|rescale_prenorm_residual|time_step_(max|min|floor)|mamba_dt_(max|min)"
    r"|max_(source|target)_positions|num_channels|classifier_\w+|reuse_len|mem_len|use_mems_\w+|prompt_\w+"
    r"|make_ngram_vocab_size_divisible_by|chroma_length|num_chroma|feature_size|standardize|weight_mode"
    r"|norm_reduction_force_float32|scale_attention_softmax_in_fp32|attention_softmax_in_fp32"
    r"|residual_in_fp32|reorder_and_upcast_attn|get|pop|setdefault|pooling|expand|alpha|gradient_clipping"
    r"|max_num_tiles|max_aspect_ratio_id|mm_tokens_per_image|temporal_downsample_factor|num_image_with_embedding"
    r"|max_value_projector_\w+|projector_\w+|segment_types|max_patch_length|projection_dim|pronunciation_\w+"
    r"|moe_loss_weight|loop_config|text_encoder|vocabulary_map|recurrent_kv_cache_mode|max_text_tokens)$"
)


def is_config(node):
    name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
    return name == "config" or name.endswith(("text_config", "decoder_config", "attn_config", "ffn_config"))


def is_self(node):
    return isinstance(node, ast.Name) and node.id in ("self", "kwargs")


def is_rope(node):
    name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
    return name.startswith("rope_")


def text(node):
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def reads(tree, is_source):
    """Names that are read of a configuration."""
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and OTHER_SENSES.search(node.name)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        name = None
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and is_source(node.value):
            name = node.attr
        elif isinstance(node, ast.Subscript) and is_rope(node.value):
            name = text(node.slice)
        elif isinstance(node, ast.Call) and node.args:
            function, first = node.func, node.args[0]
            if isinstance(function, ast.Name) and function.id in ("getattr", "hasattr") and is_source(first):
                name = text(node.args[1])
            elif isinstance(function, ast.Attribute) and function.attr in ("get", "pop"):
                owner = function.value
                name = text(first) if is_rope(owner) or is_source(owner) else None
        is_method = name and callable(getattr(transformers.PreTrainedConfig, name, None))
        if name == "per_layer_config" or name and not is_method and not HARMLESS.search(name):
            yield name


families = collections.defaultdict(set)
for path in sorted(ROOT.glob("models/*/modeling_*.py")):
    source = path.read_text()
    if not DECODER.search(source):
        continue
    for name in reads(ast.parse(source), is_config):
        families[name].add(path.parent.name)
    for config in path.parent.glob("configuration_*.py"):
        tree = ast.parse(config.read_text())
        for name in reads(tree, is_self):
            families[name].add(path.parent.name)
for shared in ("modeling_rope_utils.py", "masking_utils.py"):
    for name in reads(ast.parse((ROOT / shared).read_text()), is_config):
        families[name] = families[name] or {"families with rotary positions or masks"}

print(f"# Made by tests/scripts/computed_keys.py with transformers {transformers.__version__}.")
for name in sorted(families):
    found = sorted(families[name])
    others = f" and {len(found) - 4} more" if found[4:] else ""
    print(name, ", ".join(found[:4]) + others, sep="\t")
