# SPDX-License-Identifier: Apache-2.0
"""The examples, on data sets that recipes made of real pictures where they are there, else of plait synth's."""
import functools
import importlib
import os
import sys
import unittest

import sets

try:
    import numpy     # noqa: F401
    import torch
    WHY = ""
except ImportError as e:
    WHY = f"no torch or numpy: {e}"

sys.path.insert(0, os.path.join(sets.ROOT, "shards", "python", "examples"))


def clip_set():
    if not sets.SHARED:
        return sets.pairs()
    with open(os.path.join(sets.ROOT, "configs", "clip.yaml")) as f:
        recipe = f.read()
    recipe = recipe.replace("data/laion/*.tar", sets.SHARED + "/cc3m/00003.tar").replace('"data/evals/*.tar"', "")
    for line in ("columns:", "filter:", "where:"):
        recipe = "".join(x for x in recipe.splitlines(True) if not x.strip().startswith(line))
    return sets.run("clip", recipe.replace("out/clip", "DIR/out"))


@functools.lru_cache(None)
def llava_set():
    if not sets.SHARED:
        path = sets.synth("chat", 100)
        source = f'{{name: c, shards: "{path}/chat/*.json*", images: "{path}/chat/*.tar", kind: chat}}'
    else:
        source = f'{{name: c, shards: {sets.SHARED}/llava/owleval.json, images: {sets.SHARED}/llava/images.tar, kind: chat}}'
    return sets.run("llava", f"""
name: llava
seed: 1
sources: [{source}]
dedup: {{enabled: false}}
balance: {{strategy: all}}
image: {{policy: pad_mean, size: 112, format: jpeg, quality: 92}}
output: {{stage: instruct, template: conversation, dir: DIR/out}}
""")


def pages_set():
    if not sets.SHARED:
        return sets.pages()
    return sets.run("webdocs", f"""
name: webdocs
seed: 1
sources: [{{name: d, shards: "{sets.SHARED}/mmc4/webdocs-18f-00000.tar", kind: interleaved}}]
dedup: {{enabled: false}}
balance: {{strategy: all}}
image: {{policy: keep_ratio, size: 96, format: webp, quality: 80}}
output: {{stage: align, dir: DIR/out}}
""")


@unittest.skipIf(WHY, WHY)
class TestExamples(unittest.TestCase):
    def learns(self, losses, steps):
        self.assertEqual(len(losses), steps)
        self.assertLess(sum(losses[-4:]), 0.97 * sum(losses[:4]), losses)

    def test_clip(self):
        path = clip_set()
        clip = importlib.import_module("clip")
        whole = clip.train(path, steps=16, batch=16)
        self.learns(whole, 16)
        checkpoint = os.path.join(sets.work(), "clip.pt")
        parts = clip.train(path, steps=7, batch=16, checkpoint=checkpoint) + clip.train(path, steps=16, batch=16, checkpoint=checkpoint)
        for a, b in zip(whole, parts):
            self.assertAlmostEqual(a, b, places=4)

    def test_llava(self):
        path = llava_set()
        llava = importlib.import_module("llava")
        alone = llava.train(path, steps=12)
        self.learns(alone, 12)
        for a, b in zip(alone, llava.train(path, steps=6, workers=2)):
            self.assertAlmostEqual(a, b, places=4)

    def test_the_readme(self):
        with open(os.path.join(sets.ROOT, "shards", "python", "README.md")) as f:
            block = f.read().split("```python\n")[1].split("```")[0]
        saved = os.path.join(sets.work(), "stream.pt")
        block = block.replace("out/llava-align", llava_set()).replace("stream.pt", saved).replace("batch_size=1024", "batch_size=16")
        found = {"torch": torch}
        exec(compile(block, "README.md", "exec"), found)
        self.assertEqual(found["stream"].epoch, 2)
        self.assertEqual(torch.load(saved), found["stream"].state_dict())

    def test_interleaved(self):
        self.learns(importlib.import_module("interleaved").train(pages_set(), steps=12), 12)
