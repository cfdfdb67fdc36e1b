# SPDX-License-Identifier: Apache-2.0
"""What a data set holds, read by its own description: the truth that other loaders are held against."""

import hashlib
import io
import json
import os
import subprocess
import tarfile

from PIL import Image


class Sample:
    def __init__(self, key, parts):
        self.key = key
        self.parts = parts
        self.document = json.loads(parts["json"])
        self.images = [parts[s["part"]] for s in self.document["segments"] if s["type"] == "image"]
        self.texts = [s["text"] for s in self.document["segments"] if s["type"] == "text"]

    def caption(self):
        return "\n".join(s["text"] for s in self.document["segments"] if s["type"] == "text" and s["loss"])


def samples(dataset):
    """The samples of a data set in order, by plait's own reader; where that is not built, by the rules of tar."""
    try:
        from plait import Dataset
    except ImportError:
        yield from tar_samples(dataset)
        return
    data = Dataset(dataset)
    for i in range(len(data)):
        sample = data[i]
        yield Sample(sample.key, dict(sample.parts))


def tar_samples(dataset):
    with open(os.path.join(dataset, "dataset.json")) as f:
        shards = json.load(f)["shards"]
    for shard in shards:
        raw = subprocess.run(["zstd", "-dcq", os.path.join(dataset, shard["name"])], stdout=subprocess.PIPE, check=True).stdout
        tar, samples = tarfile.open(fileobj=io.BytesIO(raw)), {}
        for member in tar:
            key, suffix = member.name.split(".", 1)
            samples.setdefault(key, {})[suffix] = tar.extractfile(member).read()
        assert len(samples) == shard["samples"], (shard["name"], len(samples))
        yield from (Sample(key, parts) for key, parts in samples.items())


def pixels(image):
    """RGB pixels as a hash: of bytes, or of what a loader made of them."""
    if isinstance(image, (bytes, bytearray)):
        image = Image.open(io.BytesIO(image))
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def main(*tests):
    """Run the tests of a file and say how they went, a TAP line each: one that returns a text was skipped, for that reason."""
    import sys
    import traceback

    failed = False
    for number, test in enumerate(tests, 1):
        said = (test.__doc__ or test.__name__).strip()
        try:
            reason = test(sys.argv[1])
            print(f"ok {number} - {said}" + (f" # skip {reason}" if reason else ""), flush=True)
        except Exception:
            failed = True
            print(f"not ok {number} - {said}", flush=True)
            print("\n".join("# " + line for line in traceback.format_exc().splitlines()), flush=True)
    print(f"1..{len(tests)}")
    sys.exit(failed)
