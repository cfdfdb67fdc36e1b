# SPDX-License-Identifier: Apache-2.0
"""MosaicML Streaming: what is exported, and the way back: shards that Streaming wrote are ingested."""

import io
import os
import shutil
import subprocess

import own
import xxhash
from PIL import Image
from streaming import MDSWriter, StreamingDataset


def read(work, name, dataset):
    # reading unpacks compressed shards beside themselves
    local = os.path.join(work, "copy-" + name)
    shutil.copytree(os.path.join(work, name), local)
    truth = {s.key: s for s in own.samples(os.path.join(work, dataset))}
    streamed = StreamingDataset(local=local, shuffle=False, batch_size=1, validate_hash="xxh3_64")
    keys = []
    for sample in streamed:
        t = truth[sample["key"]]
        assert sample["document"] == t.document
        assert sample["text"] == "\n".join(t.texts)
        images = [sample["image"]] if "image" in sample else sample["images"]
        assert [own.pixels(i) for i in images] == [own.pixels(i) for i in t.images]
        keys.append(sample["key"])
    assert keys == list(truth) and len(streamed) == len(truth)
    last = streamed[len(truth) - 1]
    assert last["key"] == keys[-1]
    return streamed


def test_plain(work):
    """Streaming reads MDS: document, text, list of images"""
    read(work, "mix.mds", "mix")


def test_zstd(work):
    """Streaming reads MDS compressed with zstd"""
    read(work, "mix.mdsz", "mix")


def test_image(work):
    """Streaming reads one image a sample as a PIL image"""
    streamed = read(work, "pairs.mds", "pairs")
    assert isinstance(streamed[0]["image"], Image.Image)


def test_ingest(work):
    """plait ingests what MDSWriter wrote, plain and compressed: images, captions, numbers"""
    truth = list(own.samples(work + "/pairs"))
    columns = {"image": "jpeg", "caption": "str", "id": "str", "similarity": "float32", "width": "int", "extra": "json"}
    for compression in (None, "zstd:1", "gz"):
        out = os.path.join(work, f"written-{compression}".replace(":", "-"))
        with MDSWriter(out=out, columns=columns, compression=compression, hashes=["sha1"], size_limit=100_000) as writer:
            for i, s in enumerate(truth):
                writer.write({"image": s.images[0], "caption": s.caption(), "id": f"sample {i}", "similarity": i / 64,
                              "width": Image.open(io.BytesIO(s.images[0])).width, "extra": {"n": i}})
        corpus = out + ".corpus"
        run("plait-ingest", "-q", "-j1", "-n", "mds", "-c", "similarity", "-o", corpus, out)
        rows = run("plait-sql", "--no-header", corpus, "-e",
                   "SELECT key, similarity, text_bytes, images_ok, status FROM samples").splitlines()
        want = [f"{xxhash.xxh3_64_hexdigest(f'sample {i}')}|{i / 64}|{len(s.caption().strip().encode())}|1|keep" for i, s in enumerate(truth)]
        assert sorted(r.replace("\t", "|") for r in rows) == sorted(want), (rows[:2], want[:2])


def run(tool, *arguments):
    tool = os.path.join(os.environ["PLAIT_BIN"], tool)
    return subprocess.run([tool, *arguments], stdout=subprocess.PIPE, check=True, text=True).stdout


own.main(test_plain, test_zstd, test_image, test_ingest)
