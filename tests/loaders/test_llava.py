# SPDX-License-Identifier: Apache-2.0
"""LLaVA's JSON by the rules of its training script: what its loader strips, replaces and drops must leave all as it was."""

import json
import os

import own


def load(work):
    with open(os.path.join(work, "mix.llava", "llava.json")) as f:
        return json.load(f)


def test_own_code(work):
    """LLaVA's LazySupervisedDataset"""
    try:
        import llava.train.train  # noqa: F401
    except ImportError as e:
        return f"LLaVA is not on PyPI ({e}): its rules are checked below"
    return "another package of this name is installed"


def test_conversations(work):
    """a human begins, turns alternate, an answer ends; <image> stands as often as there are images"""
    entries = load(work)
    assert entries
    for e in entries:
        assert [t["from"] for t in e["conversations"]] == ["human", "gpt"] * (len(e["conversations"]) // 2)
        images = [e["image"]] if isinstance(e.get("image"), str) else e.get("image", [])
        assert sum(t["value"].count("<image>") for t in e["conversations"] if t["from"] == "human") == len(images)
        assert not any("<image>" in t["value"] for t in e["conversations"] if t["from"] == "gpt")
        assert "image" not in e or images


def test_samples(work):
    """every pair, chat and chosen answer is there with its texts and the bytes of its images"""
    truth = {s.key: s for s in own.samples(work + "/mix")}
    entries = {e["id"]: e for e in load(work)}
    spoken = {k for k, t in truth.items() if t.document["kind"] in ("pairs", "chat", "preference")}
    assert set(entries) == spoken
    for key, e in entries.items():
        t = truth[key]
        segments = [s for s in t.document["segments"] if s.get("branch") != "rejected"]
        names = [e["image"]] if isinstance(e.get("image"), str) else e.get("image", [])
        for name, s in zip(names, [s for s in segments if s["type"] == "image"], strict=True):
            with open(os.path.join(work, "mix.llava", "images", name), "rb") as f:
                assert f.read() == t.parts[s["part"]]
        said = "\n".join(x["value"] for x in e["conversations"]).replace("<image>", "")
        want = "\n".join(s["text"].replace("<image>", "< image>") for s in segments if s["type"] == "text")
        assert said.split() == want.split(), (said, want)


own.main(test_own_code, test_conversations, test_samples)
