"""How far bf16 is from f32: here, and in transformers.

Usage: python half_precision.py CALM [SEEDS [NAME...]]     (needs torch, transformers, tokenizers, safetensors)

CALM is the program, NAME a golden checkpoint. For the configuration of each golden checkpoint, SEEDS random checkpoints (8 by default) are made with weights
that are exact in bf16, and as many ten times as wide. Values expected of each are those of transformers in f32. Both sides
compute in bf16, and `‖found - expected‖ / ‖expected‖` over real positions is taken, of the worst of all hidden states and
logits. Prints median and worst of both sides for each configuration and width, and the median of the ratios.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import safetensors.torch
import torch
import transformers
from shapes import CONFIGS, generate, widened


def error(found, expected, mask):
    found, expected = found[mask].float(), expected[mask].float()
    return ((found - expected).norm() / expected.norm()).item()


def of_transformers(model, expected):
    """The worst error of a model in bf16."""
    mask = expected["attention_mask"]
    found = generate.forward(model.bfloat16(), expected["input_ids"], mask)
    return max(error(found[name], expected[name], mask.bool()) for name in found)


def of_calm(calm, directory):
    command = [calm, "verify", directory, "--dtype", "bf16", "--json", "--threads", "1"]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout)
    return max(tensor["relative_error"] for tensor in report["tensors"])


def compare(calm, config, seed):
    torch.manual_seed(seed)
    # The other ways to compute experts are for wider models.
    config._experts_implementation = "eager"
    model = generate.random_model(config, torch.bfloat16)
    expected = generate.expected_values(model)
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory)
        generate.write_tokenizer(path / "tokenizer.json")
        safetensors.torch.save_file(expected, path / "expected.safetensors")
        model.bfloat16().save_pretrained(path)
        return of_calm(calm, path), of_transformers(model, expected)


def main(calm, seeds=8, *names):
    transformers.utils.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    print("configuration, width: here median, worst; transformers median, worst; median ratio", flush=True)
    for name, _, config in CONFIGS:
        if names and name not in names:
            continue
        # The factors of LongRoPE are a list for one width.
        for factor in (1,) if "longrope" in name else (1, 10):
            wide = type(config).from_dict(widened(config.to_dict(), factor))
            pairs = [compare(calm, wide, seed) for seed in range(int(seeds))]
            here, there = zip(*pairs)
            ratio = statistics.median(a / b for a, b in pairs)
            sides = [f"{statistics.median(side):.1e} {max(side):.1e}" for side in (here, there)]
            print(f"{name:22} {factor}x  {sides[0]}  {sides[1]}  {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
