# SPDX-License-Identifier: Apache-2.0
"""webdataset, in one process and under torch's DataLoader."""

import glob
import json
import os

import own
import webdataset as wds


def tars(work, name):
    return sorted(glob.glob(os.path.join(work, name, "*.tar")))


def test_pairs(work):
    """webdataset decodes pairs as jpg;png;webp and txt"""
    truth = {s.key: s for s in own.samples(work + "/pairs")}
    pipe = wds.WebDataset(tars(work, "pairs.webdataset"), shardshuffle=False).decode("pil")
    keys = []
    for key, image, text in pipe.to_tuple("__key__", "jpg;png;webp", "txt"):
        assert text == truth[key].caption()
        assert own.pixels(image) == own.pixels(truth[key].images[0])
        keys.append(key)
    assert keys == list(truth)


def check(sample, truth):
    document = sample["json"] if isinstance(sample["json"], dict) else json.loads(sample["json"])
    names = [s["part"] for s in document["segments"] if s["type"] == "image"]
    assert [sample[n] for n in names] == truth.images
    for s, t in zip(document["segments"], truth.document["segments"]):
        assert {**s, "part": None} == {**t, "part": None}


def test_all_kinds(work):
    """webdataset reads documents of every kind, byte for byte"""
    truth = {s.key: s for s in own.samples(work + "/mix")}
    keys = []
    for sample in wds.WebDataset(tars(work, "mix.webdataset"), shardshuffle=False):
        check(sample, truth[sample["__key__"]])
        keys.append(sample["__key__"])
    assert keys == list(truth)


def test_torch(work):
    """torch's DataLoader with two workers gives each sample of the tars once"""
    truth = {s.key: s for s in own.samples(work + "/mix")}
    loader = wds.WebLoader(wds.WebDataset(tars(work, "mix.webdataset"), shardshuffle=False), batch_size=None, num_workers=2)
    keys = []
    for sample in loader:
        check(sample, truth[sample["__key__"]])
        keys.append(sample["__key__"])
    assert sorted(keys) == sorted(truth)


def test_torchdata(work):
    """torchdata's StatefulDataLoader goes on in the middle"""
    try:
        from torchdata.stateful_dataloader import StatefulDataLoader
    except ImportError as e:
        return f"torchdata does not import beside this torch: {e}"
    dataset = [s["__key__"] for s in wds.WebDataset(tars(work, "mix.webdataset"), shardshuffle=False)]
    loader = StatefulDataLoader(dataset, batch_size=None, num_workers=0)
    first, state = [], None
    for key in loader:
        first.append(key)
        if len(first) == 20:
            state = loader.state_dict()
            break
    again = StatefulDataLoader(dataset, batch_size=None, num_workers=0)
    again.load_state_dict(state)
    assert first + list(again) == [s.key for s in own.samples(work + "/mix")]


def test_sizes(work):
    """sizes.json counts what the tars hold"""
    for name in ("mix.webdataset", "pairs.webdataset", "mix.openflamingo"):
        with open(os.path.join(work, name, "sizes.json")) as f:
            sizes = json.load(f)
        found = {os.path.basename(t): sum(1 for _ in wds.WebDataset([t], shardshuffle=False)) for t in tars(work, name)}
        assert sizes == found


own.main(test_pairs, test_all_kinds, test_torch, test_torchdata, test_sizes)
