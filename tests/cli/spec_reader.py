# SPDX-License-Identifier: Apache-2.0
"""A reader of plait's data sets, written from shards/SPEC.md alone: the standard library, and the zstd program for frames."""
import json
import os
import struct
import subprocess


def members(tar):
    """(name, data) of each member of some tar bytes, up to their end or the first zero block."""
    at = 0
    while at + 512 <= len(tar) and any(tar[at:at + 512]):
        head = tar[at:at + 512]
        name, prefix = (head[a:b].split(b"\0")[0].decode() for a, b in ((0, 100), (345, 500)))
        size = int(head[124:135], 8)
        yield (prefix + "/" + name if prefix else name), tar[at + 512:at + 512 + size]
        at += 512 + (size + 511) // 512 * 512


def sample(tar):
    """Key and parts (suffix: data) of one sample's tar bytes."""
    names = [(name.rpartition("/"), data) for name, data in members(tar)]
    key = names[0][0][0] + names[0][0][1] + names[0][0][2].partition(".")[0]
    return key, {last.partition(".")[2]: data for (_, _, last), data in names}


class Shard:
    def __init__(self, path):
        self.path, self.entries = path, []
        if path.endswith(".tar"):
            offsets = [v for (v,) in struct.iter_unpack("<Q", open(path + ".idx", "rb").read())]
            self.entries = [(None, None, a, b - a) for a, b in zip(offsets, offsets[1:])]
            return
        frames, descriptor, magic = struct.unpack("<IBI", self.read(os.path.getsize(path) - 9, 9))
        assert (descriptor, magic) == (0x80, 0x8F92EAB1)
        table = os.path.getsize(path) - 9 - 12 * frames
        sizes = [packed for packed, _, _ in struct.iter_unpack("<III", self.read(table, 12 * frames))]
        self.starts = [sum(sizes[:i]) for i in range(frames + 1)]
        index = self.read(self.starts[-2], sizes[-1])
        magic, _, name, version, n = struct.unpack("<II4sIQ", index[:24])
        assert (magic, name, version) == (0x184D2A5B, b"PLTI", 1)
        self.entries = list(struct.iter_unpack("<QIII", index[24:24 + 20 * n]))

    def read(self, at, size):
        with open(self.path, "rb") as f:
            f.seek(at)
            return f.read(size)

    def __getitem__(self, i):
        _, frame, offset, length = self.entries[i]
        if frame is None:
            return sample(self.read(offset, length))
        packed = self.read(self.starts[frame], self.starts[frame + 1] - self.starts[frame])
        tar = subprocess.run(["zstd", "-dcq"], input=packed, stdout=subprocess.PIPE, check=True).stdout
        return sample(tar[offset:offset + length])


def shards(directory):
    """The shards of a data set, in reading order, with what dataset.json says of each."""
    for s in json.load(open(os.path.join(directory, "dataset.json")))["shards"]:
        yield s, Shard(os.path.join(directory, s["name"]))
