# SPDX-License-Identifier: Apache-2.0
"""Texts with near duplicates, and a check of dedup's tables by comparing all of them.

usage: near_text.py make DIR        JSON lines of texts in DIR, one file of documents
       near_text.py check JACCARD CORPUS JSONL...    the tables against the texts (files in the order of their units)
"""
import ast
import base64
import json
import random
import struct
import sys
import zlib

sys.dont_write_bytecode = True

NGRAM = 5


def words(text):
    """The tokens: runs between spaces, and each character of Han by itself."""
    spaced = "".join(f" {c} " if "\u4e00" <= c <= "\u9fff" else c for c in text.lower())
    return spaced.split()


def shingles(text):
    w = words(text)
    if len(w) < NGRAM:
        return {tuple(w)}
    return {tuple(w[i:i + NGRAM]) for i in range(len(w) - NGRAM + 1)}


def jaccard(a, b):
    return len(a & b) / len(a | b)


def apart(a, b):
    """The distance that the tables give."""
    return -(-1000 * (len(a | b) - len(a & b)) // len(a | b))


def edited(rng, text, edits, alphabet):
    """So many words (or characters, where there are no spaces) replaced by others."""
    sep = " " if " " in text else ""
    parts = text.split(" ") if sep else list(text)
    for i in rng.sample(range(len(parts)), edits):
        parts[i] = rng.choice(alphabet)
    return sep.join(parts)


def noise(rng):
    """A grey PNG unlike any other."""
    side = 48
    rows = b"".join(b"\0" + rng.randbytes(side) for _ in range(side))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks)


def make(folder):
    rng = random.Random(5)
    english = [f"w{i}" for i in range(3000)]
    chinese = [chr(0x4E00 + i) for i in range(2000)]
    texts = []
    for group in range(60):
        alphabet = chinese if group % 5 == 4 else english
        n = rng.randrange(30, 200)
        base = (" " if alphabet is english else "").join(rng.choice(alphabet) for _ in range(n))
        texts.append(base)
        for _ in range(rng.randrange(4)):      # some near, some just not
            texts.append(edited(rng, base, rng.randrange(1, 8), alphabet))
        if group % 6 == 0:                     # equal to one that may give way itself
            texts.append("  " + texts[-1].upper())
        if group % 7 == 0:                     # a chain: each near the one before
            for _ in range(5):
                texts.append(edited(rng, texts[-1], 2, alphabet))
    licence = [rng.choice(english) for _ in range(100)]   # more that share a key than are compared all with all
    texts += [edited(rng, " ".join(licence), rng.randrange(5), english) for _ in range(180)]
    texts += [" ".join(licence[:70] + rng.choices(english, k=30)) for _ in range(100)]
    texts += ["short", "short one", "short one", ""]
    rng.shuffle(texts)
    for shard in range(4):
        with open(f"{folder}/{shard:05}.jsonl", "w", encoding="utf-8") as f:
            for text in texts[shard::4]:
                f.write(json.dumps({"text": text}) + "\n")
    with open(f"{folder}/docs.jsonl", "w", encoding="utf-8") as f:
        for i, text in enumerate(texts[:60]):  # copies with another end, as interleaved documents
            image = base64.b64encode(noise(rng)).decode()
            info = [{"image_name": f"{i}.png", "matched_text_index": 0, "image_base64": image}]
            f.write(json.dumps({"text_list": [text + f" end{i}", "A last sentence."], "image_info": info}) + "\n")


def read_table(path):
    with open(path, "rb") as f:
        data = f.read()
    size = struct.unpack("<H", data[8:10])[0]
    head = ast.literal_eval(data[10:10 + size].decode())
    body = data[10 + size:]
    row = struct.Struct("<QQIIHB5x")
    return [row.unpack_from(body, i * row.size) for i in range(head["shape"][0])]


def check(least, corpus, files):
    texts, fate = [], []
    base = []
    for name in files:
        base.append(len(texts))
        with open(name, encoding="utf-8") as f:
            texts += [json.loads(line)["text"] for line in f]
        fate += read_table(f"{corpus}/{name.split('/')[-1].split('.')[0]}.dedup.npy")
    assert len(texts) == len(fate)
    sets = [shingles(t) for t in texts]
    here = [i for i, t in enumerate(texts) if t]
    kept = [i for i in here if fate[i][5] == 0]
    length = [len(t.encode()) for t in texts]
    near = 0
    for i in here:
        _, row, _, shard, distance, verdict = fate[i]
        if verdict == 0:
            continue
        survivor = base[shard] + row
        assert survivor in kept, f"{i}: {survivor} does not stay itself"
        j = jaccard(sets[i], sets[survivor])
        if verdict == 24:
            assert j == 1 and distance == 0, f"{i} is not equal to {survivor}"
        else:
            near += 1
            a, b = sets[i], sets[survivor]
            assert verdict == 28 and j >= least, f"{i} is not near {survivor}: {j}"
            assert length[survivor] >= length[i]
            assert distance == apart(a, b), f"{i}: {distance}, {j}"
            own = max(n for n, t in zip(length, texts) if words(t) == words(texts[i]))   # who speaks for its equals
            nearest = min(apart(a, sets[k]) for k in kept if length[k] > own or k == survivor)
            assert distance == nearest, f"{i} is nearer to another than to {survivor}"
    missed = [(i, k) for n, i in enumerate(kept) for k in kept[:n] if jaccard(sets[i], sets[k]) >= least]
    print(len(here), len(kept), near, len(missed))


if sys.argv[1] == "make":
    make(sys.argv[2])
else:
    check(float(sys.argv[2]), sys.argv[3], sys.argv[4:])
