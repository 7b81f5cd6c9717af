"""Opens a composition in transformers: python load_composition.py COMPOSITION TEXT

Needs torch, transformers and safetensors. The anchor that `open_composition` returns reads its
augmenting models in every pass. Generate with use_cache=False: the bridges keep no cache here.
"""

import json
import pathlib
import sys

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file


def open_composition(directory):
    directory = pathlib.Path(directory)
    about = json.loads((directory / "composition.json").read_text())
    theta = {name: tensor.float() for name, tensor in load_file(directory / "bridge.safetensors").items()}
    if about.get("mode", "iterative") != "iterative":
        raise NotImplementedError("the augmenting models read prompts only")
    anchor = load(about["anchor"], directory)
    for m, (reference, pairs) in enumerate(zip(about["augmenting"], about["connections"])):
        if reference.get("tokenizer_sha256") != about["anchor"].get("tokenizer_sha256"):
            raise NotImplementedError(f"{reference['path']} reads tokens of its own")
        connect(anchor, load(reference, directory), pairs, Bridges(f"a{m}", theta, about))
    return anchor


def load(reference, directory):
    """A frozen model, from the first of the places that composition.json names."""
    if reference.get("untrained_seed") is not None:
        raise NotImplementedError(f"the weights of {reference['path']} are drawn from a seed")
    options = {"dtype": torch.float32}
    if reference["path"].startswith("hf:"):
        path, options["revision"] = reference["path"].removeprefix("hf:").split("@", 1)
    else:
        places = [reference.get("relative_path"), reference.get("absolute_path"), reference["path"]]
        places = [directory / place for place in places if place] + [pathlib.Path(reference["path"])]
        path = next((place for place in places if place.exists()), places[-1])
    return transformers.AutoModelForCausalLM.from_pretrained(path, **options).eval().requires_grad_(False)


def connect(anchor, augmenting, pairs, bridges):
    """Bridges from blocks of one model to blocks of the other, [from, to], counted from 1."""
    states = {}

    def read(module, args, kwargs):
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        real = kwargs.get("attention_mask")
        real = torch.ones_like(ids) if real is None else real
        seq = ids.shape[1]
        causal = torch.ones(seq, seq, dtype=torch.bool, device=ids.device).tril()
        # What padding reads has no meaning, but must be something.
        states["visible"] = causal & real.bool()[:, None, None] | torch.eye(seq, dtype=torch.bool, device=ids.device)
        augmenting(input_ids=ids, attention_mask=real, use_cache=False)

    def keep(block):
        def hook(module, args, output):
            states[block] = output[0] if isinstance(output, tuple) else output

        return hook

    def add(bridge, block):
        def hook(module, args, output):
            hidden = output[0] if isinstance(output, tuple) else output
            hidden = hidden + bridges.read(bridge, hidden, states[block], states["visible"])
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        return hook

    anchor.register_forward_pre_hook(read, with_kwargs=True)
    for n, (i, j) in enumerate(pairs):
        blocks(augmenting)[i - 1].register_forward_hook(keep(i))
        blocks(anchor)[j - 1].register_forward_hook(add(n, i))


def blocks(model):
    count = model.config.get_text_config().num_hidden_layers
    lists = (part for part in model.modules() if isinstance(part, torch.nn.ModuleList))
    return next(part for part in lists if len(part) == count)


class Bridges:
    """Those to one augmenting model. Their options can be seen from the tensors that there are."""

    def __init__(self, name, theta, about):
        self.name, self.theta, self.heads = name, theta, about["heads"]
        self.epsilon = about.get("options", {}).get("norm_epsilon", 1e-6)

    def read(self, n, anchor, augmenting, visible):
        def tensor(name):
            return self.theta.get(f"{self.name}.c{n}.{name}")

        def linear(name, x):
            return F.linear(x, tensor(f"{name}.weight"), tensor(f"{name}.bias"))

        def norm(name, x):
            weight = tensor(f"{name}.weight")
            return x if weight is None else F.rms_norm(x, weight.shape, weight, self.epsilon)

        def split(x):
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        x, p = norm("anchor_norm", anchor), linear("proj", norm("augmenting_norm", augmenting))
        q, k, v = split(linear("q", x)), split(linear("k", p)), split(linear("v", p))
        heads = F.scaled_dot_product_attention(q, k, v, visible).transpose(1, 2)
        if tensor("head_gate.weight") is not None:
            heads = heads * linear("head_gate", x).sigmoid().unsqueeze(-1)
        output = norm("output_norm", linear("o", heads.flatten(2)))
        return output if tensor("gate") is None else output * tensor("gate").tanh()


if __name__ == "__main__":
    model = open_composition(sys.argv[1])
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.config.name_or_path)
    inputs = tokenizer(sys.argv[2], return_tensors="pt", return_token_type_ids=False)
    ids = model.generate(**inputs, max_new_tokens=16, do_sample=False, use_cache=False)
    print(tokenizer.decode(ids[0, inputs.input_ids.shape[1] :], skip_special_tokens=True))
