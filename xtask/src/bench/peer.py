#!/usr/bin/env python3
"""The other side of `cargo xtask bench`: transformers on PyTorch, on the same checkpoints.

  peer.py make DIR PAIR                           random Llama checkpoints DIR/PAIR/{anchor,augment}
  peer.py load DIR PAIR
  peer.py prefill DIR PAIR --batch N --prompt N --repeats N
  peer.py decode DIR PAIR --batch N --prompt N --new N --repeats N

Prints one JSON object with the fields of `calm bench`. Only the anchor is run: composed models are
not part of transformers. Times are medians over the repeats, after one that is not counted.
"""
import argparse
import json
import pathlib
import resource
import statistics
import time

import torch
import transformers

# Blocks, width and heads of augmenting model and anchor; tokens.
PAIRS = {
    "tiny": ((4, 128, 4), (6, 256, 8), 1024),
    "small": ((8, 256, 4), (12, 512, 8), 8192),
    "base": ((12, 768, 12), (16, 1536, 12), 32000),
}


def make(directory, pair):
    augmenting, anchor, vocab = PAIRS[pair]
    for role, (blocks, width, heads) in (("augment", augmenting), ("anchor", anchor)):
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=vocab,
            hidden_size=width,
            num_hidden_layers=blocks,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            intermediate_size=-(-width * 8 // 3 // 64) * 64,
            max_position_embeddings=4352,
        )
        transformers.LlamaForCausalLM(config).save_pretrained(directory / pair / role)


class FirstToken(transformers.LogitsProcessor):
    """Remembers when the logits of the first token were there."""

    def __init__(self):
        self.begun = None

    def __call__(self, ids, logits):
        self.begun = self.begun or time.perf_counter()
        return logits


def median(repeats, work):
    work()
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["make", "load", "prefill", "decode"])
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("pair", choices=PAIRS)
    for flag, default in dict(batch=1, prompt=64, new=64, repeats=5, threads=0).items():
        parser.add_argument(f"--{flag}", type=int, default=default)
    args = parser.parse_args()
    if args.verb == "make":
        return make(args.dir, args.pair)
    if args.threads:
        torch.set_num_threads(args.threads)
    begun = time.perf_counter()
    load = transformers.AutoModelForCausalLM.from_pretrained
    roles = ("anchor", "augment") if args.verb == "load" else ("anchor",)
    models = [load(args.dir / args.pair / role, dtype=torch.float32).eval() for role in roles]
    out = dict(verb=args.verb, pair=args.pair, program=f"transformers {transformers.__version__}",
               torch=torch.__version__, threads=torch.get_num_threads(),
               load_s=time.perf_counter() - begun)
    for model in models:
        model(torch.zeros(1, 1, dtype=torch.long))
    out["first_token_s"] = time.perf_counter() - begun
    model = models[0]
    torch.manual_seed(0)
    ids = torch.randint(0, model.config.vocab_size, (args.batch, args.prompt))
    if args.verb == "prefill":
        seconds = median(args.repeats, lambda: model(ids, use_cache=False, logits_to_keep=1).logits.argmax(-1))
        out["anchor_alone_tokens_per_s"] = args.batch * args.prompt / seconds
    elif args.verb == "decode":
        settings = dict(max_new_tokens=args.new, min_new_tokens=args.new, do_sample=False)
        mask = torch.ones_like(ids)
        after_first = []

        def work():
            first = FirstToken()
            model.generate(ids, attention_mask=mask, pad_token_id=0, logits_processor=[first], **settings)
            after_first.append(time.perf_counter() - first.begun)

        seconds = median(args.repeats, work)
        steps = max(args.new - 1, 1)
        out["anchor_alone_ms_per_token"] = statistics.median(after_first[1:]) / steps * 1e3
        out["anchor_alone_cached_tokens_per_s"] = args.batch * args.new / seconds
    out["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(out))


main()
