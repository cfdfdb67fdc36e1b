# SPDX-License-Identifier: Apache-2.0
"""Corpora of tables alone, with no shards behind them: what dedup reads, in any number.

usage: tables.py make CORPUS IMAGES SHARDS SEED [BLANK]   a corpus of pairs; BLANK of the images are blank: half of them are one picture
       tables.py verdicts CORPUS...                       what dedup said, without the numbers that arguments have
       tables.py stars DISTANCE CORPUS...                 are no two kept images near each other, and all dropped ones near theirs?
       tables.py chains CORPUS N SHARDS SEED              N chains A, B, C: 30 bits from one to the next, 60 in all; A the largest picture
       tables.py links CORPUS...                          of those, did B go for A, and did A and C stay?
       tables.py truth DIR                                does truth.tsv of plait synth --hashes tell the truth?
"""
import ast
import json
import os
import random
import struct
import sys

SAMPLE = [("key", "<u8"), ("text_hash", "<u8"), ("offset", "<u8"), ("length", "<u8"), ("first_image", "<u8"),
          ("id_hash", "<u8"), ("frame", "<i4"), ("images", "<u4"), ("images_ok", "<u4"), ("text_bytes", "<u4"),
          ("text_words", "<u4"), ("text_tokens", "<u4"), ("segments", "<u4"), ("kind", "|u1"), ("status", "|u1"), ("pad", "|u1", (2,)), ("text_chars", "<u4"), ("urls", "<u4"),
          ("char_repetition", "<f4"), ("word_repetition", "<f4"), ("special_ratio", "<f4"), ("digit_ratio", "<f4"),
          ("alnum_ratio", "<f4"), ("punctuation_ratio", "<f4"), ("script", "|u1", (4,)), ("language", "|u1", (4,)),
          ("language_margin", "<f4"), ("pad2", "|u1", (4,))]
IMAGE = [("sample", "<u8"), ("offset", "<u8"), ("length", "<u8"), ("store", "<u4"), ("position", "<u4"), ("width", "<u4"),
         ("height", "<u4"), ("xxh3", "|u1", (16,)), ("pdq", "|u1", (32,)), ("pdq_quality", "|u1"), ("where", "|u1"),
         ("format", "|u1"), ("orientation", "|u1"), ("status", "|u1"), ("pad", "|u1", (3,)), ("similarity", "<f4"),
         ("bits_per_pixel", "<f4"), ("mean", "<f4"), ("contrast", "<f4"), ("entropy", "<f4"), ("edges", "<f4"), ("blur", "<f4"),
         ("frames", "<u4"), ("jpeg_quality", "|u1"), ("blank", "|u1"), ("pad2", "|u1", (6,))]
SOURCE = {"kind": "pairs", "caption_field": None, "text_field": None, "image_after_text": False, "images": None, "columns": [],
          "hash": "pdq-aa", "limits": {"max_bytes": 67108864, "max_pixels": 100000000, "max_side": 65500, "timeout_ms": 20000,
                                       "max_memory": 1073741824, "max_missing": 0.05}, "tables": 3}


def write(path, dtype, rows, n):
    head = "{'descr': %r, 'fortran_order': False, 'shape': (%d,), }" % (dtype, n)
    head += " " * (-(len(head) + 11) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + rows)


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    size, = struct.unpack_from("<H", data, 8)
    head = ast.literal_eval(data[10:10 + size].decode())
    return data[10 + size:], head["shape"][0]


def make(corpus, images, shards, seed, blank=0):
    rng = random.Random(seed)
    os.makedirs(corpus, exist_ok=True)
    # one of five comes of a picture that others come of, too, up to 40 bits away
    stems = [random.Random(k).getrandbits(256) for k in range(max(1, images // 25))]
    facts = []
    for shard in range(shards):
        n = images * (shard + 1) // shards - images * shard // shards
        rows = []
        for i in range(n):
            quality, content = 90, rng.randbytes(16)
            pdq = rng.getrandbits(256)
            if rng.random() < 0.2:
                pdq = rng.choice(stems)
                for bit in rng.sample(range(256), rng.randrange(41)):
                    pdq ^= 1 << bit
            if rng.random() < blank / images:
                quality, pdq = 0, 0
                content = bytes(16) if rng.random() < 0.5 else content
            rows.append((rng.getrandbits(64), pdq, quality, rng.choice((64, 128, 256)), content, 1000 + rng.randrange(5)))
        facts.append(shard_of(corpus, shard, rows, rng))
    manifest(corpus, facts, rng)


def shard_of(corpus, shard, rows, rng):
    """The tables of a shard of (key, pdq, quality, side, content, bytes); its entry of the manifest."""
    n, unit = len(rows), "%05d" % shard
    write(f"{corpus}/{unit}.samples.npy", SAMPLE,
          b"".join(struct.pack("<6Qi6I4B48x", r[0], 0, 0, 0, i, 0, -1, 1, 1, 0, 0, 0, 2, 1, 0, 0, 0) for i, r in enumerate(rows)), n)
    write(f"{corpus}/{unit}.images.npy", IMAGE,
          b"".join(struct.pack("<3Q4I16s32s5B3x7fI2B6x", i, 0, size, 0, 0, side, side, content, pdq.to_bytes(32, "little"), quality, 0, 1, 1,
                               0, *[0.0] * 7, 1, 90, 0) for i, (_, pdq, quality, side, content, size) in enumerate(rows)), n)
    return {"path": f"{os.path.basename(corpus)}/{unit}.tar", "unit": unit, "xxh3": "%032x" % rng.getrandbits(128), "bytes": 1, "mtime": 1,
            "samples": n, "images": n, "kept": n, "not_regular": 0, "dunder": 0, "no_key": 0}


def manifest(corpus, facts, rng):
    name, images = os.path.basename(corpus), sum(f["images"] for f in facts)
    with open(f"{corpus}/manifest.json", "w") as f:
        json.dump({"format": "plait-corpus", "version": 1, "plait": "0.1.0", "source": {"name": name, **SOURCE},
                   "digest": "%032x" % rng.getrandbits(128), "stores": [], "samples": images, "images": images, "kept": images,
                   "shards": facts}, f)


def chains(corpus, n, shards, seed):
    rng = random.Random(seed)
    os.makedirs(corpus)
    rows = []
    for i in range(n):
        pdq, bits = rng.getrandbits(256), rng.sample(range(256), 60)
        for link, side in enumerate((256, 128, 64)):
            rows.append((3 * i + link + 1, pdq, 90, side, rng.randbytes(16), 1000))
            for bit in bits[30 * link:30 * link + 30]:
                pdq ^= 1 << bit
    rng.shuffle(rows)
    manifest(corpus, [shard_of(corpus, k, rows[k::shards], rng) for k in range(shards)], rng)


def links(corpora):
    """Of chains: A and C are kept, and B has gone for A."""
    for c in corpora:
        keys = {(unit, i): r[0] for unit, i, r in rows_of(c, "samples", "<6Qi6I4B48x")}
        said = {keys[unit, i]: r for unit, i, r in rows_of(c, "dedup-images", DEDUP)}
        for key, (survivor, _, _, _, distance, reason) in said.items():
            assert (reason != 0) == (key % 3 == 2), key
            assert reason == 0 or (survivor, distance) == (key - 1, 30), key
        assert len(said) > 0 and len(said) % 3 == 0


def rows_of(corpus, what, fmt):
    for name in sorted(os.listdir(corpus)):
        if name.endswith(f".{what}.npy"):
            data, n = read(f"{corpus}/{name}")
            size = struct.calcsize(fmt)
            for i in range(n):
                yield name.split(".")[0], i, struct.unpack_from(fmt, data, i * size)


DEDUP = "<QQIIHB5x"


def verdicts(corpora):
    for c in corpora:
        names = [x["name"] for x in json.load(open(f"{c}/dedup.json"))["corpora"]]
        for unit, i, r in rows_of(c, "dedup-images", DEDUP):
            print(os.path.basename(c), unit, i, r[0], r[1], names[r[2]] if r[5] else "-", r[3], r[4], r[5])


def stars(distance, corpora):
    names, rng = {}, random.Random(1)
    for c in corpora:
        names[json.load(open(f"{c}/manifest.json"))["source"]["name"]] = c
    images = {(c, int(unit), i): r for c in corpora for unit, i, r in rows_of(c, "images", "<3Q4I16s32s5B3x7fI2B6x")}
    said = {(c, int(unit), i): r for c in corpora for unit, i, r in rows_of(c, "dedup-images", DEDUP)}
    # evaluation sets have no verdicts, and do not drop one another
    judged = [c for c in corpora if os.path.exists(f"{c}/dedup.json")]
    order = {c: [names[x["name"]] for x in json.load(open(f"{c}/dedup.json"))["corpora"]] for c in judged}
    said.update({k: (0, 0, 0, 0, 0, 0) for k in images if k[0] not in judged})
    kept = [(int.from_bytes(images[k][8], "little"), k[0] in judged) for k, v in said.items() if v[5] == 0 and images[k][9] >= 50]
    for k, v in said.items():
        if v[5] == 0:
            continue
        survivor = (order[k[0]][v[2]], v[3], v[1])
        assert said[survivor][5] == 0, (k, survivor)
        apart = bin(int.from_bytes(images[k][8], "little") ^ int.from_bytes(images[survivor][8], "little")).count("1")
        assert apart == v[4] <= distance or (images[k][9] < 50 and images[k][7] == images[survivor][7]), (k, survivor, apart, v)
    for i, a in enumerate(kept):
        for b in kept[i + 1:] if len(kept) < 4000 else rng.sample(kept, 300):
            assert a is b or bin(a[0] ^ b[0]).count("1") > distance or not (a[1] or b[1]), (a, b)
    print(len(said) - sum(v[5] != 0 for v in said.values()), "of", len(said), "kept")


def truth(top):
    images = {"%s%04d" % (unit, i): r for unit, i, r in rows_of(f"{top}/hashes", "images", "<3Q4I16s32s5B3x7fI2B6x")}
    hashes = {k: int.from_bytes(r[8], "little") for k, r in images.items()}
    assert all(bin(h).count("1") == 128 for h in hashes.values())
    lines = [line.rstrip("\n").split("\t") for line in open(f"{top}/truth.tsv")][1:]
    blank = {hashes[x[2]] for x in lines if x[3] == "blank"}
    distances, files, planted = set(), {}, {x[2] for x in lines}
    for _, unit, key, what, of, note in lines:
        original = hashes[of] if what == "near_duplicate" else min(blank)
        assert key.startswith(unit) and bin(hashes[key] ^ original).count("1") == int(note), key
        assert what != "near_duplicate" or of not in planted, key
        assert (images[key][9] >= 60) == (what == "near_duplicate"), key
        if what == "near_duplicate":
            distances.add(int(note))
        elif what == "blank":
            files[images[key][7]] = files.get(images[key][7], 0) + 1
    own = [hashes[k] for k in images if k not in planted]
    assert distances == set(range(0, 41, 2)) and len(blank) == 1 and len(set(own)) == len(own)
    assert max(files.values()) > sum(files.values()) / 3 and len(files) > sum(files.values()) / 3
    assert min(bin(a ^ b).count("1") for a, b in zip(own, own[1:])) > 60


if sys.argv[1] == "make":
    make(sys.argv[2], *map(int, sys.argv[3:]))
elif sys.argv[1] == "verdicts":
    verdicts(sys.argv[2:])
elif sys.argv[1] == "chains":
    chains(sys.argv[2], *map(int, sys.argv[3:]))
elif sys.argv[1] == "links":
    links(sys.argv[2:])
elif sys.argv[1] == "truth":
    truth(sys.argv[2])
else:
    stars(int(sys.argv[2]), sys.argv[3:])
