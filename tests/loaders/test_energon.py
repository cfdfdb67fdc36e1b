# SPDX-License-Identifier: Apache-2.0
"""Megatron Energon: crude samples with a cooker, sequences, captions; and that `energon prepare` would write the same index."""

import glob
import os
import shutil
import sqlite3

import own
import torch
import torch_stub  # noqa: F401  before energon
from megatron.energon import Cooker, DefaultTaskEncoder, Sample, WorkerConfig, basic_sample_keys, edataclass, get_loader, get_train_dataset
from megatron.energon import stateless
from megatron.energon.flavors.webdataset.prepare import WebdatasetPreparator
from PIL import Image
from torchvision.transforms.functional import to_tensor


@edataclass
class Cooked(Sample):
    document: dict
    images: list


@stateless
def cook(raw):
    document = raw["json"]
    names = [s["part"] for s in document["segments"] if s["type"] == "image"]
    return Cooked(**basic_sample_keys(raw), document=document, images=[raw[name] for name in names])


class Encoder(DefaultTaskEncoder):
    cookers = [Cooker(cook)]


def load(path, encoder=None):
    dataset = get_train_dataset(path, worker_config=WorkerConfig(rank=0, world_size=1, num_workers=0), batch_size=None,
                                shuffle_buffer_size=None, max_samples_per_sequence=None, parallel_shard_iters=1,
                                shuffle_over_epochs_multiplier=None, repeat=False, task_encoder=encoder or DefaultTaskEncoder())
    return list(get_loader(dataset))


def same_pixels(tensor, image):
    return torch.equal(tensor, to_tensor(Image.open(image_file(image)).convert("RGB")))


def image_file(data):
    import io
    return io.BytesIO(data)


def test_crude(work):
    """Energon cooks crude samples: documents and pixels"""
    truth = {s.key: s for s in own.samples(work + "/mix")}
    found = load(work + "/mix.energon", Encoder())
    assert [s.__key__ for s in found] == list(truth)
    for s in found:
        t = truth[s.__key__]
        for a, b in zip(s.document["segments"], t.document["segments"]):
            assert {**a, "part": None} == {**b, "part": None}
        assert len(s.images) == len(t.images) and all(same_pixels(a, b) for a, b in zip(s.images, t.images))


def test_interleaved(work):
    """Energon reads sequences of texts and images"""
    truth = {s.key: s for s in own.samples(work + "/mix")}
    found = load(work + "/mix.interleaved")
    assert [s.__key__ for s in found] == list(truth)
    for s in found:
        t = truth[s.__key__]
        assert len(s.sequence) == len(t.document["segments"])
        for item, segment in zip(s.sequence, t.document["segments"]):
            assert item == segment["text"] if segment["type"] == "text" else same_pixels(item, t.parts[segment["part"]])


def test_captioning(work):
    """Energon reads pairs as captioned images"""
    truth = {s.key: s for s in own.samples(work + "/pairs")}
    found = load(work + "/pairs.captioning")
    assert [s.__key__ for s in found] == list(truth)
    for s in found:
        assert s.caption == truth[s.__key__].caption() and same_pixels(s.image, truth[s.__key__].images[0])


def rows(path):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        return {t: db.execute(f"SELECT * FROM {t} ORDER BY 1, 2, 3").fetchall() for t in ("samples", "sample_parts")} | {
            "schema": sorted(r[0] for r in db.execute("SELECT name FROM sqlite_master"))}


def test_index(work):
    """.tar.idx and index.sqlite are those that Energon's own preparation writes"""
    ours, theirs = work + "/mix.energon", work + "/prepared"
    os.makedirs(theirs)
    tars = sorted(os.path.basename(t) for t in glob.glob(ours + "/*.tar"))
    for tar in tars:
        shutil.copy(os.path.join(ours, tar), theirs)
    WebdatasetPreparator.prepare_dataset(theirs, tars, split_parts_ratio=[("train", 1)], workers=1)
    for tar in tars:
        with open(os.path.join(ours, tar + ".idx"), "rb") as a, open(os.path.join(theirs, tar + ".idx"), "rb") as b:
            assert a.read() == b.read()
    assert rows(ours + "/.nv-meta/index.sqlite") == rows(theirs + "/.nv-meta/index.sqlite")


own.main(test_crude, test_interleaved, test_captioning, test_index)
