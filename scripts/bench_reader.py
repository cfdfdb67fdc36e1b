# SPDX-License-Identifier: Apache-2.0
"""What scripts/bench-reader measures: plait's reader and its peers over the same samples, each in one process.

usage: bench_reader.py repeat DIR N TAR...     N samples in tar shards, made of what TARs hold
       bench_reader.py copy DIR                the samples of the data set DIR/out as tar and as MDS, plain and zstd
       bench_reader.py huge DIR                DIR/huge: 10 GB under many names
       bench_reader.py WHAT WAY DIR            prints "samples seconds check"
       bench_reader.py have WAY                exit status 0 when its modules are there
WHAT: raw (bytes of every part; CPU seconds), reader (the C reader alone: frames read, verified, taken apart; "samples" are tar bytes; CPU
seconds), decoded (RGB of 224 x 224, cut in the middle, two threads or worker processes; seconds by the wall), random (samples by
number, drawn; CPU seconds), first (one sample of 10 GB, from opening the data set on; CPU seconds; WAY stream or dataset).
WAY: plait, plait-shuffled (raw), webdataset, mds, mds-local, mds-zstd, energon.
"""
import contextlib
import glob
import io
import json
import os
import random
import shutil
import sys
import tarfile
import tempfile
import time

SHARD = 2048
MODULES = {"webdataset": ["webdataset"], "mds": ["streaming"], "mds-local": ["streaming"], "mds-zstd": ["streaming"],
           "energon": ["webdataset", "energon"], "plait": ["plait"], "plait-shuffled": ["plait"]}
TARGET = 224
RANDOM, DECODED = 2000, 8192


def energon():
    """Energon's __init__ asks for a class that Debian's torch cannot give under Python 3.11, for an isinstance check."""
    import types
    try:
        import torch.distributed._shard.sharded_tensor     # noqa: F401
    except Exception:
        m = types.ModuleType("torch.distributed._shard.sharded_tensor")
        m.ShardedTensorBase = type("ShardedTensorBase", (), {})
        sys.modules[m.__name__] = m
    import megatron.energon
    return megatron.energon


# ---- the samples --------------------------------------------------------------------------------------------------------

def samples_of(tars):
    out, last = [], None
    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                key, suffix = os.path.basename(member.name).split(".", 1)
                if key != last:
                    out.append({})
                    last = key
                out[-1][suffix] = tar.extractfile(member).read()
    return [s for s in out if "jpg" in s and "txt" in s and "json" in s]


class Tars:
    """Shards of SHARD samples, as webdataset has them."""

    def __init__(self, where):
        os.makedirs(where)
        self.where, self.n, self.tar = where, 0, None

    def add(self, key, parts):
        if self.n % SHARD == 0:
            self.close()
            self.tar = tarfile.open(f"{self.where}/{self.n // SHARD:06d}.tar", "w", format=tarfile.USTAR_FORMAT)
        for suffix, data in parts.items():
            info = tarfile.TarInfo(f"{key}.{suffix}")
            info.size = len(data)
            self.tar.addfile(info, io.BytesIO(data))
        self.n += 1

    def close(self):
        if self.tar:
            self.tar.close()


def repeat(where, n, tars):
    some, out = samples_of(tars), Tars(where + "/in")
    for i in range(int(n)):
        out.add(f"{i:09d}", some[i % len(some)])
    out.close()


def copy(where):
    from streaming import MDSWriter
    import plait
    columns = {"jpg": "bytes", "json": "bytes"}
    out = Tars(where + "/tar")
    writers = [MDSWriter(out=where + "/mds", columns=columns), MDSWriter(out=where + "/mds-zstd", columns=columns, compression="zstd:1")]
    n = size = 0
    for s in plait.Dataset(where + "/out"):
        parts = {"json": s["json"], "jpg": s["0.jpg"]}
        out.add(s.key, parts)
        for w in writers:
            w.write(parts)
        n += 1
        size += len(parts["jpg"])
    out.close()
    for w in writers:
        w.finish()
    print(n, size)


def prepared(where):
    """Energon's files beside the tars, as its own prepare command writes them."""
    if not os.path.exists(where + "/tar/.nv-meta/split.yaml"):
        energon()
        from megatron.energon.epathlib import EPath
        from megatron.energon.flavors.webdataset import BaseWebdatasetFactory
        root = EPath(where + "/tar")
        with contextlib.redirect_stdout(sys.stderr):
            BaseWebdatasetFactory.prepare_dataset(root, [os.path.basename(p) for p in sorted(glob.glob(where + "/tar/*.tar"))],
                                                  split_parts_ratio=[("train", 1.0)], tar_index_only=False, workers=1)
        with open(where + "/tar/.nv-meta/dataset.yaml", "w") as f:
            f.write("__module__: megatron.energon\n__class__: CrudeWebdataset\n")
    return where + "/tar"


# ---- the ways: iterators over (jpg, json) ---------------------------------------------------------------------------

def by_plait(where, shuffle=False, threads=0):
    import plait
    stream = plait.Stream(where + "/out", 64, seed=1, shuffle=shuffle, threads=threads)

    def go():
        for s in stream:
            p = s.parts
            yield p["0.jpg"], p["json"]
    return go


def by_webdataset(where):
    import webdataset
    data = webdataset.WebDataset(sorted(glob.glob(where + "/tar/*.tar")), shardshuffle=False, empty_check=False)

    def go():
        for s in data:
            yield s["jpg"], s["json"]
    return go


def by_mds(where, zipped=False):
    from streaming import StreamingDataset
    local = where + "/mds"
    if zipped:      # as it is before anything has been unpacked
        local = tempfile.mkdtemp(dir=where)
        for f in glob.glob(where + "/mds-zstd/*"):
            os.link(f, os.path.join(local, os.path.basename(f)))
    data = StreamingDataset(local=local, shuffle=False, batch_size=1, keep_zip=True)

    def go():
        try:
            for s in data:
                yield s["jpg"], s["json"]
        finally:
            if zipped:
                shutil.rmtree(local)
    return go


def by_mds_local(where):
    from streaming import LocalDataset
    data = LocalDataset(where + "/mds")

    def go():
        for i in range(len(data)):
            s = data[i]
            yield s["jpg"], s["json"]
    return go


def by_energon(where):
    e = energon()
    from megatron.energon.task_encoder.base import DefaultTaskEncoder
    from megatron.energon.task_encoder.cooking import Cooker

    @e.stateless
    def cook(sample):
        return sample

    class Encoder(DefaultTaskEncoder):
        decoder = None
        cookers = [Cooker(cook)]

        @e.stateless
        def encode_sample(self, sample):
            return sample

        @e.stateless
        def batch(self, samples):
            return samples

    data = e.get_val_dataset(prepared(where), split_part="train", worker_config=e.WorkerConfig(rank=0, world_size=1, num_workers=0),
                             batch_size=64, task_encoder=Encoder())
    loader = e.get_loader(data)

    def go():
        for batch in loader:
            for s in batch:
                yield s["jpg"], s["json"]
    return go


WAYS = {"plait": by_plait, "plait-shuffled": lambda w: by_plait(w, True), "webdataset": by_webdataset, "mds": by_mds, "mds-local": by_mds_local,
        "mds-zstd": lambda w: by_mds(w, True), "energon": by_energon}


def raw(way, where):
    go = WAYS[way](where)
    n = check = 0
    start = time.process_time()
    for jpg, meta in go():
        n += 1
        check += len(jpg) + len(meta)
    return n, time.process_time() - start, check


# ---- decoded ---------------------------------------------------------------------------------------------------------------

def cut(data):
    """CLIP's transform, with Pillow: the DCT reduction where the picture is large enough, as it is always advised."""
    import numpy
    from PIL import Image
    im = Image.open(io.BytesIO(data))
    im.draft("RGB", (2 * TARGET, 2 * TARGET))
    im = im.convert("RGB")
    w, h = im.size
    scale = TARGET / min(w, h)
    im = im.resize((max(TARGET, round(w * scale)), max(TARGET, round(h * scale))), Image.BICUBIC)
    x, y = (im.size[0] - TARGET) // 2, (im.size[1] - TARGET) // 2
    return numpy.asarray(im.crop((x, y, x + TARGET, y + TARGET)))


def with_workers(dataset):
    """What a trainer writes: torch's DataLoader with two workers, batches of 64, pixels as one tensor."""
    import torch.utils.data
    return torch.utils.data.DataLoader(dataset, batch_size=64, num_workers=2)


def decoded(way, where):
    n = check = 0
    if way == "plait":
        import plait
        stream = plait.Stream(where + "/out", 64, seed=1, threads=2, batches=True,
                              decode=plait.Decode(TARGET, tensors=True))
        start = time.perf_counter()
        for batch in stream:
            n += len(batch)
            check += batch.pixels.numel()
            if n >= DECODED:
                break
        return n, time.perf_counter() - start, check
    if way == "webdataset":
        import webdataset
        data = webdataset.WebDataset(sorted(glob.glob(where + "/tar/*.tar")), shardshuffle=False, empty_check=False)
        loader = with_workers(data.map(lambda s: (cut(s["jpg"]).copy(), s["json"])))
    else:
        from streaming import StreamingDataset

        class Pictures(StreamingDataset):
            def __getitem__(self, i):
                s = super().__getitem__(i)
                return cut(s["jpg"]).copy(), s["json"]
        loader = with_workers(Pictures(local=where + "/mds", shuffle=False, batch_size=64))
    start = time.perf_counter()
    for pixels, _ in loader:
        n += len(pixels)
        check += pixels.numel()
        if n >= DECODED:
            break
    return n, time.perf_counter() - start, check


# ---- by number ---------------------------------------------------------------------------------------------------------------

def by_number(way, where):
    total = json.load(open(where + "/mds/index.json"))
    total = sum(s["samples"] for s in total["shards"])
    draw = random.Random(1)
    numbers = [draw.randrange(total) for _ in range(RANDOM)]
    if way == "plait":
        import plait
        start = time.process_time()
        data = plait.Dataset(where + "/out")
    else:
        # A data set larger than the disk that is there for it: room for two unpacked shards beside the packed ones.
        from streaming import StreamingDataset
        local = tempfile.mkdtemp(dir=where)
        for f in glob.glob(where + "/mds-zstd/*"):
            os.link(f, os.path.join(local, os.path.basename(f)))
        packed = sum(os.path.getsize(f) for f in glob.glob(local + "/*.zstd"))
        numbers = numbers[:100]
        data = StreamingDataset(local=local, shuffle=False, batch_size=1, keep_zip=True, cache_limit=packed + (140 << 20))
        start = time.process_time()
    for i in numbers:
        s = data[i]
        if len(s["0.jpg" if way == "plait" else "jpg"]) < 100:
            raise SystemExit("no picture")
    seconds = time.process_time() - start
    if way != "plait":
        shutil.rmtree(local)
    return len(numbers), seconds, 0


def alone(way, where):
    import plait
    loader = plait.Stream(where + "/out", 64, shuffle=False, threads=0, decode=None)._loader(0, 0, 1, leave_images=True)
    start = time.process_time()
    while loader.next() is not None:
        pass
    return loader.stats()["frame_bytes"], time.process_time() - start, 0


def huge(where):
    """10 GB under many names: every shard again and again."""
    os.makedirs(where + "/huge")
    with open(where + "/out/dataset.json") as f:
        said = json.load(f)
    rows, said["shards"], size = said["shards"], [], 0
    while size < 10 ** 10:
        row = rows[len(said["shards"]) % len(rows)]
        name = f"{len(said['shards']):06d}.tar.zst"
        os.link(os.path.join(where, "out", row["name"]), os.path.join(where, "huge", name))
        said["shards"].append(dict(row, name=name))
        size += row["bytes"]
    said["samples"] = sum(r["samples"] for r in said["shards"])
    said["images"] = sum(r["images"] for r in said["shards"])
    with open(where + "/huge/dataset.json", "w") as f:
        json.dump(said, f)


def first(way, where):
    """way: stream, the first sample of the shuffled order; dataset, one from the middle."""
    import plait
    start = time.process_time()
    if way == "stream":
        next(iter(plait.Stream(where + "/huge", 256, seed=1)))
    else:
        data = plait.Dataset(where + "/huge")
        data[len(data) // 2]
    return 1, time.process_time() - start, 0


def have(way):
    for name in MODULES[way]:
        energon() if name == "energon" else __import__(name)


def main(args):
    if args[0] == "repeat":
        repeat(args[1], args[2], args[3:])
    elif args[0] == "copy":
        copy(args[1])
    elif args[0] == "huge":
        huge(args[1])
    elif args[0] == "have":
        have(args[1])
    else:
        n, seconds, check = {"raw": raw, "reader": alone, "decoded": decoded, "random": by_number, "first": first}[args[0]](args[1], args[2])
        print(n, f"{seconds:.6f}", check)


if __name__ == "__main__":
    main(sys.argv[1:])
