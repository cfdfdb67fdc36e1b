# SPDX-License-Identifier: Apache-2.0
"""Parquet in OBELICS' shape, read by pyarrow and by Hugging Face datasets."""

import glob
import json
import os

import own


def write(work):
    """None, or why it cannot be written here."""
    try:
        import plait
        plait.Dataset
    except (ImportError, AttributeError) as e:
        return f"the package plait is not there: {e}"
    from plait import parquet
    if not os.path.isdir(work + "/parquet"):
        assert parquet.main(["-o", work + "/parquet", work + "/mix"]) == 0
    return None


def check(rows, truth, pixels):
    assert [json.loads(r["general_metadata"])["key"] for r in rows] == list(truth)
    for row in rows:
        t = truth[json.loads(row["general_metadata"])["key"]]
        about = json.loads(row["metadata"])
        assert len(row["images"]) == len(row["texts"]) == len(about) == len(t.document["segments"])
        for image, text, a, s in zip(row["images"], row["texts"], about, t.document["segments"]):
            assert (image is None) != (text is None)
            assert a.get("role") == s.get("role") and a.get("loss") == s.get("loss")
            assert text == s["text"] if image is None else pixels(image) == own.pixels(t.parts[s["part"]])


def test_pyarrow(work):
    """pyarrow reads texts and images in their places; a rerun keeps the files"""
    reason = write(work)
    if reason:
        return reason
    import pyarrow.parquet as pq
    from plait import parquet
    truth = {s.key: s for s in own.samples(work + "/mix")}
    files = sorted(glob.glob(work + "/parquet/*.parquet"))
    check([r for f in files for r in pq.read_table(f).to_pylist()], truth, lambda image: own.pixels(image["bytes"]))
    before = [os.stat(f).st_mtime_ns for f in files]
    assert parquet.main(["-o", work + "/parquet", work + "/mix"]) == 0
    assert before == [os.stat(f).st_mtime_ns for f in files]


def test_datasets(work):
    """Hugging Face datasets decodes the images"""
    reason = write(work)
    if reason:
        return reason
    try:
        import datasets
    except ImportError as e:
        return f"datasets is not installed: {e}"
    truth = {s.key: s for s in own.samples(work + "/mix")}
    files = sorted(glob.glob(work + "/parquet/*.parquet"))
    check(list(datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=work + "/hf")), truth, own.pixels)


own.main(test_pyarrow, test_datasets)
