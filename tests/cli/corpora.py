#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small made corpora for the tests of the tools: the same arguments give the same bytes.

corpora.py pairs  OUT.tar COUNT [FIRST]     pictures with captions
corpora.py sample OUT.tar NAME=FILE...      a tar of the given members, in this order
corpora.py set    DIR                       pairs/*.tar with duplicates, docs.tar, chat.json + chat-images.tar, text.jsonl
"""
import io
import json
import os
import sys
import tarfile

import numpy as np
from PIL import Image

WORDS = "amber brook cedar delta ember field grove harbor island jasper kettle lantern meadow north opal prairie".split()


def picture(seed, width=160, height=120):
    """Smooth shapes that differ much from seed to seed, so that no two are near duplicates by chance."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    fine = rng.integers(-6, 7, (height, width, 3))
    smooth = np.asarray(coarse.resize((width, height), Image.BICUBIC), dtype=np.int64)
    return Image.fromarray(np.clip(smooth + fine, 0, 255).astype(np.uint8))


def encoded(image, form="JPEG", quality=90):
    out = io.BytesIO()
    image.save(out, form, quality=quality)
    return out.getvalue()


def caption(seed):
    rng = np.random.default_rng([7, seed])
    return " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), 9)) + f" number {seed}"


class Shard:
    def __init__(self, path):
        self.tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)

    def add(self, name, data):
        if isinstance(data, str):
            data = data.encode()
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = len(data), 1600000000, 0o644
        self.tar.addfile(info, io.BytesIO(data))

    def close(self):
        self.tar.close()


def pairs(path, count, first=0, copies=()):
    """copies: (place, seed) pairs: the picture at this place is a smaller version of another one."""
    shard, copies = Shard(path), dict(copies)
    for i in range(first, first + count):
        image = picture(copies.get(i, i))
        if i in copies:
            image = image.resize((128, 96), Image.LANCZOS)
        form, extension = (("PNG", "png") if i % 10 == 3 else ("JPEG", "jpg"))
        shard.add(f"{i:06d}.{extension}", encoded(image, form))
        shard.add(f"{i:06d}.json", json.dumps({"key": f"{i:06d}", "similarity": 0.2 + (i % 20) / 100, "width": image.width,
                                               "height": image.height}))
        shard.add(f"{i:06d}.txt", caption(i))
    shard.close()


def docs(path, count):
    shard = Shard(path)
    for i in range(count):
        names = [f"{i:04d}{k}.jpg" for k in range(1 + i % 3)]
        texts = [caption(50000 + 10 * i + k) + "." for k in range(3)]
        shard.add(f"d{i:05d}.json", json.dumps({"text_list": texts, "image_info": [
            {"image_name": n, "matched_text_index": k % 3, "matched_sim": 0.3} for k, n in enumerate(names)]}))
        for k, n in enumerate(names):
            shard.add(f"d{i:05d}.{n}", encoded(picture(20000 + 10 * i + k)))
    shard.close()


def chat(path, images, count):
    shard, records = Shard(images), []
    for i in range(count):
        shard.add(f"pictures/{i}.jpg", encoded(picture(40000 + i)))
        records.append({"id": f"c{i}", "image": f"pictures/{i}.jpg", "conversations": [
            {"from": "human", "value": f"<image>\nWhat is {caption(60000 + i)}?"},
            {"from": "gpt", "value": f"It is {caption(61000 + i)}."}]})
    shard.close()
    with open(path, "w", encoding="utf-8") as f:
        json.dump(records, f, indent=1)


def text(path, count):
    with open(path, "w", encoding="utf-8") as f:
        for i in range(count):
            f.write(json.dumps({"id": f"t{i}", "text": " ".join(caption(70000 + 5 * i + k) for k in range(5))}) + "\n")


def whole_set(directory):
    os.makedirs(os.path.join(directory, "pairs"), exist_ok=True)
    for k in range(4):
        first = 24 * k
        copies = [(first + 5, 1), (first + 6, first + 2)] if k else []
        pairs(os.path.join(directory, "pairs", f"{k:05d}.tar"), 24, first, copies)
    docs(os.path.join(directory, "docs.tar"), 20)
    chat(os.path.join(directory, "chat.json"), os.path.join(directory, "chat-images.tar"), 20)
    text(os.path.join(directory, "text.jsonl"), 60)


def sample(path, members):
    shard = Shard(path)
    for member in members:
        name, _, source = member.partition("=")
        with open(source, "rb") as f:
            shard.add(name, f.read())
    shard.close()


def main(argv):
    if len(argv) >= 4 and argv[1] == "pairs":
        pairs(argv[2], int(argv[3]), int(argv[4]) if len(argv) > 4 else 0)
    elif len(argv) >= 3 and argv[1] == "sample":
        sample(argv[2], argv[3:])
    elif len(argv) == 3 and argv[1] == "set":
        whole_set(argv[2])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv)
