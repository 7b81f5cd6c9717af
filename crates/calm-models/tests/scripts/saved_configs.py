"""Settings of small models, as many versions of transformers save them.

Usage, once for every version and then for all of them:

    python saved_configs.py > VERSION.json                               (needs that version, and torch)
    python saved_configs.py --join *.json > ../fixtures/saved_configs.json

The settings of a model are the same in every version; whatever differs in the files is the version's
doing. A version that lacks a family leaves it out.
"""

import json
import sys

SHAPE = dict(
    vocab_size=80,
    hidden_size=48,
    intermediate_size=20,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)


def save():
    import torch
    import transformers

    version = tuple(int(part) for part in transformers.__version__.split(".")[:2])

    def rope(kind="default", **section):
        if version >= (5, 0):
            return dict(rope_parameters=dict(rope_type=kind, rope_theta=10000.0, **section))
        key = "rope_type" if version >= (4, 43) and kind != "longrope" else "type"
        return dict(rope_theta=10000.0, rope_scaling=None if kind == "default" else {key: kind, **section})

    def half_turned(key):
        # Version 5.0 takes it under its old name in one family, whatever the section says.
        return {key: 0.5, **(rope(partial_rotary_factor=0.5) if version >= (5, 0) else {})}

    window = dict(use_sliding_window=True, sliding_window=4)
    divisors = dict(short_factor=[1.0] * 6, long_factor=[2.0] * 6)
    llama3 = dict(factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
    models = [
        ("llama", "Llama", rope()),
        ("llama-linear", "Llama", rope("linear", factor=2.0)),
        ("llama3", "Llama", dict(tie_word_embeddings=True, eos_token_id=[2, 3], **rope("llama3", **llama3))),
        ("mistral", "Mistral", dict(sliding_window=5, **rope())),
        ("mistral-full", "Mistral", dict(sliding_window=None, **rope())),
        ("qwen2", "Qwen2", rope()),
        (
            "qwen2-yarn",
            "Qwen2",
            dict(max_window_layers=1, **window, **rope("yarn", factor=4.0, original_max_position_embeddings=32)),
        ),
        ("qwen3", "Qwen3", dict(head_dim=6, **rope())),
        ("smollm3", "SmolLM3", dict(no_rope_layer_interval=2, **window, **rope())),
        ("gemma", "Gemma", dict(head_dim=6, **rope())),
        ("gemma2", "Gemma2", dict(head_dim=6, sliding_window=4, query_pre_attn_scalar=256, **rope())),
        ("gemma3", "Gemma3Text", dict(head_dim=6, sliding_window=4)),
        ("phi3", "Phi3", dict(sliding_window=5, **rope())),
        ("phi3-longrope", "Phi3", dict(original_max_position_embeddings=32, **rope("longrope", **divisors))),
        ("olmo2", "Olmo2", rope()),
        ("granite", "Granite", dict(attention_multiplier=0.3, residual_multiplier=0.22, **rope())),
        ("starcoder2", "Starcoder2", dict(sliding_window=5, **rope())),
        ("mixtral", "Mixtral", dict(sliding_window=5, num_local_experts=4, **rope())),
        ("qwen2_moe", "Qwen2Moe", dict(num_experts=4, moe_intermediate_size=8, **rope())),
        ("qwen3_moe", "Qwen3Moe", dict(head_dim=6, num_experts=4, moe_intermediate_size=8, num_experts_per_tok=2)),
    ]
    models = [(name, family, {**SHAPE, **own}) for name, family, own in models]
    ids = dict(vocab_size=80, bos_token_id=1, eos_token_id=2)
    gpt2 = dict(n_embd=48, n_layer=3, n_head=4, n_positions=128, **ids)
    padded = dict(pad_token_id=0, **ids)
    no_groups = {key: value for key, value in SHAPE.items() if key != "num_key_value_heads"}
    falcon = dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=4, **padded)
    models += [
        ("gpt2", "GPT2", gpt2),
        ("gpt_neox", "GPTNeoX", dict(**half_turned("rotary_pct"), **no_groups)),
        ("stablelm", "StableLm", dict(use_qkv_bias=True, **half_turned("partial_rotary_factor"), **SHAPE)),
        ("gemma3-images", "Gemma3", dict(text_config=dict(head_dim=6, sliding_window=4, **SHAPE))),
        ("bloom", "Bloom", dict(hidden_size=48, n_layer=3, n_head=4, **padded)),
        ("falcon", "Falcon", dict(multi_query=True, **falcon)),
        ("falcon-grouped", "Falcon", dict(new_decoder_architecture=True, num_kv_heads=2, bias=True, **falcon)),
        ("xglm", "XGLM", dict(d_model=48, ffn_dim=20, num_layers=3, attention_heads=4, **padded)),
    ]
    saved = {}
    for name, family, settings in models:
        try:
            config = getattr(transformers, f"{family}Config")(**settings)
        except (AttributeError, ValueError) as error:
            print(f"{transformers.__version__} has no {name}: {error}", file=sys.stderr)
            continue
        config.architectures = [f"{family}ForCausalLM"]
        setattr(config, "dtype" if version >= (4, 56) else "torch_dtype", torch.bfloat16)
        generation = transformers.GenerationConfig.from_model_config(config)
        saved[name] = dict(
            config=json.loads(config.to_json_string(use_diff=True)),
            generation=json.loads(generation.to_json_string(use_diff=True)),
        )
    json.dump(saved, sys.stdout)


def join(paths):
    """One list per model, without copies that differ in the version alone."""
    joined = {}
    for path in paths:
        with open(path) as file:
            for name, files in json.load(file).items():
                version = files["config"].pop("transformers_version")
                files["generation"].pop("transformers_version", None)
                found = next((other for other in joined.setdefault(name, []) if other["files"] == files), None)
                if found is None:
                    found = dict(versions=[], files=files)
                    joined[name].append(found)
                found["versions"].append(version)
    lines = (f'{json.dumps(name)}: [\n' + ",\n".join(map(json.dumps, found)) + "\n]" for name, found in joined.items())
    print("{\n" + ",\n".join(lines) + "\n}")


if sys.argv[1:2] == ["--join"]:
    join(sys.argv[2:])
else:
    save()
