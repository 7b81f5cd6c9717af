"""Whether transformers opens what this project saved, and computes the same with it.

Usage: python open_in_transformers.py DIRECTORY...     (needs torch, transformers, safetensors)

Every directory is a checkpoint with the `logits.safetensors` that the example `logits` wrote:

    cargo run --release --workspace --example copy -- CHECKPOINT DIRECTORY bf16
    cargo run --release --workspace --example logits -- DIRECTORY
    python open_in_transformers.py DIRECTORY

Prints the relative error of the logits of real positions, computed in float32 from the weights as
stored. Fails above 1e-5, and if anything is left over or missing, if the tokenizer gives other ids, or
if generation would end at another token.
"""

import json
import pathlib
import sys

import safetensors
import torch
import transformers

TOLERANCE = 1e-5


def open_model(directory):
    # Falcon's eager attention adds the biases of ALiBi twice.
    alibi = json.loads((directory / "config.json").read_text()).get("alibi", False)
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        directory,
        dtype=torch.float32,
        attn_implementation="sdpa" if alibi else "eager",
        output_loading_info=True,
    )
    wrong = {kind: found for kind, found in report.items() if found}
    assert not wrong, f"{directory}: {wrong}"
    return model.eval()


def stored_dtypes(directory):
    with safetensors.safe_open(directory / "model.safetensors", "pt") as weights:
        return {str(weights.get_tensor(name).dtype).removeprefix("torch.") for name in weights.keys()}


@torch.no_grad()
def check(directory):
    with safetensors.safe_open(directory / "logits.safetensors", "pt") as file:
        expected = {name: file.get_tensor(name) for name in file.keys()}
        text = file.metadata()["text"]
    model = open_model(directory)
    mask = expected["attention_mask"]
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    logits = model(expected["input_ids"], attention_mask=mask, position_ids=positions).logits
    found, wanted = logits[mask.bool()], expected["logits"][mask.bool()]
    error = ((found - wanted).norm() / wanted.norm()).item()
    assert error <= TOLERANCE, f"{directory}: relative error {error:.1e}"

    config = json.loads((directory / "config.json").read_text())
    # Whatever tokenizer_config.json says, AutoTokenizer of transformers 5 builds a Qwen2Tokenizer out of
    # the vocabulary for this family, which splits words as Qwen does.
    qwen2 = config["model_type"] == "qwen2"
    read = transformers.PreTrainedTokenizerFast if qwen2 else transformers.AutoTokenizer
    tokenizer = read.from_pretrained(directory)
    ids = tokenizer(text).input_ids
    assert ids == expected["text_ids"].tolist(), f"{directory}: {ids}, not {expected['text_ids'].tolist()}"

    dtypes = stored_dtypes(directory)
    assert dtypes == {config["dtype"]}, f"{directory}: {dtypes} in config.json: {config['dtype']}"
    ends = (model.generation_config.eos_token_id, config["eos_token_id"])
    assert ends[0] == ends[1], f"{directory}: ends of text {ends}"
    for name, token in [("eos", tokenizer.eos_token_id), ("pad", tokenizer.pad_token_id)]:
        wanted = config[f"{name}_token_id"]
        known = wanted if isinstance(wanted, list) else [wanted]
        if known[0] is not None and known[0] not in tokenizer.added_tokens_decoder:
            continue  # An ordinary token, which would become special if the tokenizer named it.
        assert token in known, f"{directory}: the tokenizer's {name} is {token}, not {wanted}"
    return error, *dtypes


transformers.utils.logging.disable_progress_bar()
if __name__ == "__main__":
    for directory in map(pathlib.Path, sys.argv[1:]):
        error, dtype = check(directory)
        print(f"{directory}  {dtype}  {error:.1e}")
