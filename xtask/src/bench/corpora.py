"""Plain Python for what `cargo xtask measure corpora` times: python3 corpora.py DIRECTORY

Reads what `cargo xtask measure corpora --write-corpora DIRECTORY` wrote, cleans it by the same steps in one
thread, and writes the rows to a temporary directory. Everything is held in memory. Needs numpy.
"""

import hashlib
import json
import random
import re
import resource
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from pathlib import Path

import numpy

PERMUTATIONS, BANDS, SIMILAR = 120, 20, 0.8
PRIME = (1 << 31) - 1
FACTORS = numpy.random.default_rng(0).integers(1, PRIME, (2, PERMUTATIONS, 1), dtype=numpy.uint64)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
URL = re.compile(r"https?://\S+|\S+@\S+\.\S+")


def cleaned(text):
    text = unicodedata.normalize("NFC", text)
    text = "".join(c if unicodedata.category(c) not in ("Cc", "Cf") else " " for c in text)
    return " ".join(text.split())


def words(text):
    text = unicodedata.normalize("NFKC", text).lower()
    return "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in text).split()


def script_share(text, name):
    letters = [c for c in text if c.isalpha()]
    return sum(unicodedata.name(c, "").startswith(name) for c in letters) / max(1, len(letters))


def grams(tokens, n=12):
    return {" ".join(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}


def is_good(pair, of_words, benchmark, wholes):
    lengths = [len(text.split()) for text in pair]
    if not all(pair) or max(lengths) > 250 or max(lengths) > 4 * min(lengths):
        return False
    if any(script_share(text, name) < 0.5 for text, name in zip(pair, ("CYRILLIC", "LATIN"))):
        return False
    one, other = map(Counter, of_words)
    if 2 * sum((one & other).values()) >= 0.8 * sum(map(len, of_words)):
        return False
    if any(Counter(found.findall(pair[0])) != Counter(found.findall(pair[1])) for found in (NUMBER, URL)):
        return False
    return not any(" ".join(w) in wholes or not benchmark.isdisjoint(grams(w)) for w in of_words)


def signature(pair):
    text = "\n".join(pair)
    shingles = {text[i : i + 5] for i in range(max(1, len(text) - 4))}
    hashes = numpy.fromiter((hash(s) % PRIME for s in shingles), numpy.uint64, len(shingles))
    return ((FACTORS[0] * hashes + FACTORS[1]) % PRIME).min(axis=1)


def without_near_duplicates(pairs):
    buckets, kept, width = {}, [], PERMUTATIONS // BANDS
    for pair in pairs:
        found = signature(pair)
        keys = [(band, found[band * width : (band + 1) * width].tobytes()) for band in range(BANDS)]
        if any((found == buckets[key]).mean() >= SIMILAR for key in keys if key in buckets):
            continue
        for key in keys:
            buckets.setdefault(key, found)
        kept.append(pair)
    return kept


def rows(pairs, drawn):
    languages = ("bul_Cyrl", "eng_Latn")
    for pair in pairs:
        for source in (0, 1):
            shown = [*random.sample(drawn, random.randrange(6)), pair]
            lines = ["\n".join(f"{languages[i]}: {one[i]}" for i in (source, 1 - source)) for one in shown]
            prompt = "\n\n".join(lines)[: -len(pair[1 - source])]
            yield json.dumps({"prompt": prompt.rstrip(), "target": " " + pair[1 - source]}, ensure_ascii=False)


def main():
    directory = Path(sys.argv[1])
    files = [directory / "pairs.bul", directory / "pairs.eng"]
    begun = time.perf_counter()
    lines = [words(line) for line in open(directory / "benchmark.eng", encoding="utf-8")]
    wholes, benchmark = {" ".join(line) for line in lines}, set().union(*map(grams, lines))
    seen, pairs = set(), []
    for pair in zip(*(open(file, encoding="utf-8") for file in files)):
        pair = tuple(map(cleaned, pair))
        key = hashlib.blake2b("\0".join(pair).encode(), digest_size=16).digest()
        if is_good(pair, [words(text) for text in pair], benchmark, wholes) and key not in seen:
            seen.add(key)
            pairs.append(pair)
    pairs = without_near_duplicates(pairs)
    random.seed(0)
    d_c = random.sample(pairs, max(1, len(pairs) // 20))
    with tempfile.TemporaryDirectory() as out:
        for name, chosen in (("translation", pairs), ("d_c", d_c)):
            with open(Path(out) / f"{name}.jsonl", "w", encoding="utf-8") as file:
                file.writelines(row + "\n" for row in rows(chosen, chosen))
        documents = [pairs[start : start + 6] for start in range(0, len(pairs), 6)]
        with open(Path(out) / "pretrain.jsonl", "w", encoding="utf-8") as file:
            for document in documents:
                file.write(json.dumps({"text": "\n\n".join(map("\n".join, document))}, ensure_ascii=False) + "\n")
    seconds = time.perf_counter() - begun
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    figures = {"kept": len(pairs), "clean_s": seconds, "clean_mb_per_s": megabytes / seconds, "peak_rss_mib": peak}
    print(json.dumps(figures))


main()
