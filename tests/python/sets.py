# SPDX-License-Identifier: Apache-2.0
"""Data sets for the tests, made by the tools under PLAIT_BIN in a directory that goes when the program ends."""
import atexit
import functools
import json
import os
import shutil
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("PLAIT_BIN") or os.path.join(ROOT, "build", "release", "bin")
SHARED = os.environ.get("PLAIT_SHARED_DATA") or ""


@functools.lru_cache(None)
def work():
    path = tempfile.mkdtemp(prefix="plait-python-")
    atexit.register(leave, path, os.getpid())
    return path


def leave(path, pid):
    if os.getpid() == pid:      # not in what was forked
        shutil.rmtree(path, ignore_errors=True)


def tool(name, *args):
    subprocess.run([os.path.join(BIN, "plait-" + name), "-q", *args], check=True, stdout=subprocess.DEVNULL)


def run(name, recipe):
    """The data set of a recipe; DIR in it is the directory for it all."""
    base = os.path.join(work(), name)
    os.makedirs(base, exist_ok=True)
    path = os.path.join(base, "recipe.yaml")
    with open(path, "w") as f:
        f.write(recipe.replace("DIR", base))
    tool("run", "-j", "1", path)
    return os.path.join(base, "out")


@functools.lru_cache(None)
def synth(kind, n, size=96):
    path = os.path.join(work(), f"in-{kind}-{n}")
    tool("synth", "-k", kind, "-n", str(n), "--size", str(size), "--broken", "0", "--duplicates", "0", "--seed", "7", "-o", path)
    return path


@functools.lru_cache(None)
def texts():
    """2,000 small texts in shards of 150: many samples, many frames, no pictures."""
    path = synth("text", 2000)
    return run("texts", f"""
name: texts
seed: 1
sources: [{{name: t, shards: "{path}/text/*", kind: text, weight: 0}}]
dedup: {{enabled: false}}
output: {{stage: align, shard_samples: 150, frame_size: 16KiB, dir: DIR/out}}
""")


@functools.lru_cache(None)
def pairs():
    """200 pictures of 96 x 96 with captions, in shards of 50."""
    path = synth("pairs", 200)
    return run("pairs", f"""
name: pairs
seed: 1
sources: [{{name: p, shards: "{path}/pairs/*.tar", kind: pairs, weight: 0}}]
dedup: {{enabled: false}}
image: {{policy: center_crop, size: 96, format: jpeg, quality: 90}}
output: {{stage: align, template: pair-caption, shard_samples: 50, frame_size: 64KiB, dir: DIR/out}}
""")


@functools.lru_cache(None)
def pages():
    """60 interleaved pages."""
    path = synth("interleaved", 60)
    return run("pages", f"""
name: pages
seed: 1
sources: [{{name: d, shards: "{path}/interleaved/*.tar", kind: interleaved, weight: 0}}]
dedup: {{enabled: false}}
image: {{policy: center_crop, size: 64, format: webp, quality: 80}}
output: {{stage: align, shard_samples: 25, dir: DIR/out}}
""")


def shards(path):
    with open(os.path.join(path, "dataset.json")) as f:
        return [os.path.join(path, s["name"]) for s in json.load(f)["shards"]]
