# SPDX-License-Identifier: Apache-2.0
"""OpenFlamingo's own reading of documents: the k-th <image> of its text must come with the k-th image."""

import glob
import importlib.util
import os
import random
import sys

import numpy
import own
import torch
import webdataset as wds
from PIL import Image

TOKEN = 77777


class Tokenizer:
    """Gives back the text it was given; counts <image> as the code under test does."""

    eos_token = "</s>"
    additional_special_tokens = ["<|endofchunk|>", "<image>"]
    additional_special_tokens_ids = [TOKEN + 1, TOKEN]
    padding_side = ""

    def __call__(self, text, **_):
        self.text = text
        ids = [TOKEN] * text.count("<image>") + [1]
        return {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids))}


def load_data():
    spec = importlib.util.find_spec("open_flamingo")
    if spec is None:
        return None
    # The package itself builds models when it is imported; the script that uses its data code runs in this directory.
    sys.path.insert(0, os.path.join(spec.submodule_search_locations[0], "train"))
    import data
    data.MIN_KB = -1   # synthetic pictures are small
    return data


def tensor(image):
    return torch.from_numpy(numpy.array(image.convert("RGB").resize((96, 96)), dtype=numpy.float32)).permute(2, 0, 1)


def expected(t):
    """The text that its rules make of our segments, and the images in the order of the text."""
    pieces, marks = [], 0
    for s in t.document["segments"]:
        if s.get("branch") == "rejected":
            continue
        if s["type"] == "text":
            pieces.append(s["text"].replace("<image>", "< image>"))
        else:
            pieces.append("<image>")
            marks += 1
    return "".join("".join(pieces).split()), marks


def test_documents(work):
    """OpenFlamingo pairs each <image> with its picture, in the order of the text"""
    data = load_data()
    if data is None:
        return "open-flamingo is not installed"
    random.random = lambda: 1.0   # half of the documents of one image are dropped by chance
    truth = {s.key: s for s in own.samples(work + "/mix") if s.images}
    found = []
    for sample in wds.WebDataset(sorted(glob.glob(work + "/mix.openflamingo/*.tar")), shardshuffle=False):
        t, tokenizer = truth[sample["__key__"]], Tokenizer()
        images, _ = data.preprocess_interleaved([sample["json"]], tokenizer, tensor, 0.24, 1, 16)
        text, marks = expected(t)
        said = "".join(tokenizer.text.replace("<|endofchunk|>", "").replace("</s>", "").split())
        assert said == text, (said, text)
        want = [tensor(Image.open(own.io.BytesIO(i))) for s in t.document["segments"]
                if s["type"] == "image" and s.get("branch") != "rejected" for i in [t.parts[s["part"]]]]
        assert marks == len(want) <= 16
        for image, right in zip(images, want):   # it flips pictures by chance
            assert torch.equal(image, right) or torch.equal(image, right.flip(2))
        assert not images[len(want):].any()
        found.append(sample["__key__"])
    assert found == list(truth)


own.main(test_documents)
