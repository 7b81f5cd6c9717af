#!/usr/bin/env python3
"""The other side of `cargo xtask bench`: transformers on PyTorch, on the same checkpoints.

  peer.py load DIR PAIR
  peer.py prefill DIR PAIR --batch N --prompt N --repeats N
  peer.py decode DIR PAIR --batch N --prompt N --new N --repeats N
  peer.py train DIR PAIR --batch N --seq N --steps N
  peer.py finetune DIR PAIR --batch N --seq N --steps N
  peer.py epochs DIR PAIR --data FILE --initial FILE --epochs N --batch N --learning-rate R --every N

Prints the JSON of `cargo xtask measure`: `figures` by name, and `step_seconds_loss`. Composed models are not part of transformers:
decoding is of the anchor alone, and for training the composition is built of hooks on frozen models.
The bridges of `epochs` begin as those of `cargo xtask measure epochs --write-initial`, and so have no biases.
Times are medians over the repeats, after one that is not counted.
"""
import argparse
import json
import pathlib
import resource
import statistics
import time

import safetensors.torch
import torch
import transformers

class Bridge(torch.nn.Module):
    """Cross-attention of the anchor's hidden states over projected ones of the augmenting model."""

    def __init__(self, augmenting, anchor, bias):
        super().__init__()
        width = anchor.config.hidden_size
        self.projection = torch.nn.Linear(augmenting.config.hidden_size, width)
        heads = anchor.config.num_attention_heads
        self.attention = torch.nn.MultiheadAttention(width, heads, bias=bias, batch_first=True)
        self.seen = None

    def see(self, _block, _inputs, output):
        self.seen = first(output).detach()

    def add(self, _block, _inputs, output):
        hidden = first(output)
        seq = hidden.shape[1]
        later = torch.ones(seq, seq, dtype=torch.bool).triu(1)
        states = self.projection(self.seen)
        hidden = hidden + self.attention(hidden, states, states, attn_mask=later, need_weights=False)[0]
        return (hidden,) + output[1:] if isinstance(output, tuple) else hidden


def first(output):
    return output[0] if isinstance(output, tuple) else output


def compose(anchor, augmenting, bias=True):
    """Bridges at the places of the paper's plan: every fourth block of the augmenting model."""
    blocks = [model.model.layers for model in (augmenting, anchor)]
    count = max(1, len(blocks[0]) // 4)
    bridges = torch.nn.ModuleList()
    for number in range(1, count + 1):
        bridge = Bridge(augmenting, anchor, bias)
        last = number == count
        blocks[0][len(blocks[0]) * number // count - 1].register_forward_hook(bridge.see)
        blocks[1][len(blocks[1]) * number // count - 1 - last].register_forward_hook(bridge.add)
        bridges.append(bridge)
    weight = anchor.model.embed_tokens.weight
    return bridges.to(weight.device, weight.dtype)


def train(models, args):
    """Seconds of a step of training bridges between two frozen models."""
    anchor, augmenting = (model.requires_grad_(False) for model in models)
    bridges = compose(anchor, augmenting)

    def logits(ids):
        with torch.no_grad():
            augmenting.model(ids, use_cache=False)
        return anchor(ids, use_cache=False).logits

    return step_seconds(args, anchor.config.vocab_size, bridges, logits)


def finetune(models, args):
    """Seconds of a step of training a whole model."""
    (model,) = models
    return step_seconds(args, model.config.vocab_size, model, lambda ids: model(ids, use_cache=False).logits)


def step_seconds(args, vocab, trained, logits):
    optimizer = torch.optim.AdamW(trained.parameters(), 1e-4)
    seconds = []
    for _ in range(args.steps + 2):
        ids = torch.randint(0, vocab, (args.batch, args.seq + 1), device=args.device)
        begun = time.perf_counter()
        found = logits(ids[:, :-1])
        loss = torch.nn.functional.cross_entropy(found.flatten(0, 1).float(), ids[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[2:])


def begin_with(bridges, stored):
    """Gives the bridges the parameters of a composition's file."""
    for number, bridge in enumerate(bridges):
        part = {name: stored[f"a0.c{number}.{name}"] for name in
                ("proj.weight", "proj.bias", "q.weight", "k.weight", "v.weight", "o.weight")}
        with torch.no_grad():
            bridge.projection.weight.copy_(part["proj.weight"])
            bridge.projection.bias.copy_(part["proj.bias"])
            queries_keys_values = [part[f"{name}.weight"] for name in "qkv"]
            bridge.attention.in_proj_weight.copy_(torch.cat(queries_keys_values))
            bridge.attention.out_proj.weight.copy_(part["o.weight"])


def collate(rows):
    """Ids padded to the longest row, and what each position is to predict, -100 for nothing."""
    length = max(len(row["ids"]) for row in rows) - 1
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    labels = torch.full((len(rows), length), -100)
    for place, row in enumerate(rows):
        tokens = torch.tensor(row["ids"])
        ids[place, : len(tokens) - 1] = tokens[:-1]
        start = max(row["target_start"], 1)
        labels[place, start - 1 : len(tokens) - 1] = tokens[start:]
    return ids, labels


def epochs(models, args):
    """The obvious loop: every batch is shuffled rows, padded, and run through both models."""
    anchor, augmenting = (model.requires_grad_(False) for model in models)
    bridges = compose(anchor, augmenting, bias=False)
    begin_with(bridges, safetensors.torch.load_file(args.initial))
    data = json.loads(args.data.read_text())

    def loss_of(rows, reduction):
        ids, labels = (x.to(args.device) for x in collate(rows))
        # Padding is on the right, where a causal model does not look: a mask would change nothing
        # but the time.
        with torch.no_grad():
            augmenting.model(ids, use_cache=False)
        logits = anchor(ids, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction=reduction)
        return loss, (labels >= 0).sum().item()

    def held_out():
        rows = data["held_out"]
        with torch.no_grad():
            parts = [loss_of(rows[at : at + args.batch], "sum") for at in range(0, len(rows), args.batch)]
        return sum(loss.item() for loss, _ in parts) / sum(count for _, count in parts)

    out = dict(initial_loss=held_out(), step_seconds_loss=[])
    begun, untimed, step = time.perf_counter(), 0.0, 0
    rows = data["examples"]
    steps = args.epochs * -(-len(rows) // args.batch)
    optimizer = torch.optim.AdamW(bridges.parameters(), args.learning_rate)
    torch.manual_seed(0)
    for _ in range(args.epochs):
        for chosen in torch.randperm(len(rows)).split(args.batch):
            loss_of([rows[number] for number in chosen], "mean")[0].backward()
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            if step % args.every == 0 or step == steps:
                paused = time.perf_counter()
                loss = held_out()
                untimed += time.perf_counter() - paused
                out["step_seconds_loss"].append([step, time.perf_counter() - begun - untimed, loss])
    out.update(steps=steps, train_s=time.perf_counter() - begun - untimed)
    return out


class FirstToken(transformers.LogitsProcessor):
    """Remembers when the logits of the first token were there."""

    def __init__(self):
        self.begun = None

    def __call__(self, ids, logits):
        self.begun = self.begun or time.perf_counter()
        return logits


def median(repeats, work, device):
    def done():
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    done()
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        done()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["load", "prefill", "decode", "train", "finetune", "epochs"])
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("pair")
    for flag, default in dict(batch=1, prompt=64, new=64, repeats=5, seq=128, steps=10, threads=0, epochs=3, every=4).items():
        parser.add_argument(f"--{flag}", type=int, default=default)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    for flag in ("data", "initial"):
        parser.add_argument(f"--{flag}", type=pathlib.Path)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    begun = time.perf_counter()
    load = transformers.AutoModelForCausalLM.from_pretrained
    roles = ("anchor", "augment") if args.verb in ("load", "train", "epochs") else ("anchor",)
    dtype = getattr(torch, args.dtype)
    models = [load(args.dir / args.pair / role, dtype=dtype).to(args.device).eval() for role in roles]
    out = dict(load_s=time.perf_counter() - begun)
    if args.verb in ("train", "finetune"):
        step = {"train": train, "finetune": finetune}[args.verb](models, args)
        out.update(step_s=step, tokens_per_s=args.batch * args.seq / step)
    elif args.verb == "epochs":
        out.update(epochs(models, args))
    else:
        with torch.no_grad():
            infer(models, args, begun, out)
    if args.device.startswith("cuda"):
        out["peak_gpu_mib"] = torch.cuda.max_memory_allocated() // 2**20
    out["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    curve = out.pop("step_seconds_loss", [])
    print(json.dumps(dict(figures=out, step_seconds_loss=curve)))


def infer(models, args, begun, out):
    for model in models:
        model(torch.zeros(1, 1, dtype=torch.long, device=args.device))
    out["first_token_s"] = time.perf_counter() - begun
    model = models[0]
    torch.manual_seed(0)
    ids = torch.randint(0, model.config.vocab_size, (args.batch, args.prompt), device=args.device)
    if args.verb == "prefill":
        def work():
            model(ids, use_cache=False, logits_to_keep=1).logits.argmax(-1)

        seconds = median(args.repeats, work, args.device)
        out["anchor_alone_tokens_per_s"] = args.batch * args.prompt / seconds
    elif args.verb == "decode":
        settings = dict(max_new_tokens=args.new, min_new_tokens=args.new, do_sample=False)
        mask = torch.ones_like(ids)
        after_first = []

        def work():
            first = FirstToken()
            model.generate(ids, attention_mask=mask, pad_token_id=0, logits_processor=[first], **settings)
            after_first.append(time.perf_counter() - first.begun)

        seconds = median(args.repeats, work, args.device)
        steps = max(args.new - 1, 1)
        out["anchor_alone_ms_per_token"] = statistics.median(after_first[1:]) / steps * 1e3
        out["anchor_alone_cached_tokens_per_s"] = args.batch * args.new / seconds


main()
