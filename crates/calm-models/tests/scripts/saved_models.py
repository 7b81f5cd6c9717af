"""Whether transformers opens what this project saves, for every family, and computes the same with it.

Usage: python saved_models.py TARGET [SEEDS [NAME...]]     (needs torch, transformers, tokenizers, safetensors)

TARGET is the folder with the program and the examples (`cargo build --release --workspace --examples`). For the
configuration of each golden checkpoint, or those named, SEEDS random checkpoints (2 by default) are made. Each is saved again as
f32 and bf16 (example `copy`), trained further as a whole and by a low-rank adapter (`calm pretrain --from`, two steps),
and all four are held against transformers as `open_in_transformers.py` does. Prints the worst relative error of each way.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from open_in_transformers import check
from shapes import CONFIGS, generate

WAYS = ["f32", "bf16", "all", "lora"]
TEXTS = ["the quick brown fox, 42 times", "a small model of few words"]


def make(config, dtype, seed, directory):
    torch.manual_seed(seed)
    directory.mkdir()
    generate.write_tokenizer(directory / "tokenizer.json")
    model = generate.random_model(config, dtype)
    model.to(dtype).save_pretrained(directory, max_shard_size=["5GB", "20KB"][seed % 2])


def save(target, way, source, out):
    texts = out.parent / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    train = ["--train", texts, "--context", "32", "--rows", "2", "--steps", "2", "--quiet"]
    train = [target / "calm", "pretrain", "--from", source, *train, "--learning-rate", "1e-3", "--out", out]
    commands = {
        "f32": [target / "examples/copy", source, out, "f32"],
        "bf16": [target / "examples/copy", source, out, "bf16"],
        "all": train,
        "lora": [*train, "--lora", "2"],
    }
    subprocess.run(commands[way], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([target / "examples/logits", out], check=True)
    return check(out)[0]


def main(target, seeds=2, *names):
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for name, dtype, config in CONFIGS:
        if names and name not in names:
            continue
        worst = dict.fromkeys(WAYS, 0.0)
        for seed in range(int(seeds)):
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                make(config, dtype, seed, folder / "source")
                for way in WAYS:
                    error = save(pathlib.Path(target).resolve(), way, folder / "source", folder / way)
                    worst[way] = max(worst[way], error)
        print(f"{name:22} " + "  ".join(f"{way} {error:.1e}" for way, error in worst.items()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
