# SPDX-License-Identifier: Apache-2.0
"""Any sample, by number or key."""
from __future__ import annotations

import json
import operator
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from . import _plait
from ._decode import Decode, decode_image
from ._sample import Sample

Path = Union[str, "os.PathLike[str]"]


class Shard(NamedTuple):
    """One shard of a data set; its samples are numbers ``first`` to ``first + samples - 1``."""

    path: str
    first: int
    samples: int
    images: int
    tokens: int
    bytes: int


class Dataset:
    """A finished data set, or a list of shards, as one row of samples numbered from 0.

    path     a directory with ``dataset.json``, or one shard; or a list of shards, in this order
    decode   give decoded images in ``sample.pixels``
    cache    bytes of uncompressed frames that each reading thread keeps; 0 is 16 MiB
    max_open shards open at once; 0 is 32

    ``data[i]`` reads one frame of one shard, whatever the size of the data set. Any number of threads may read at the same time, and so
    may processes, forked or spawned. It pickles as its paths, and refuses to open what has changed since.
    """

    def __init__(self, path: Union[Path, Sequence[Path]], *, decode: Optional[Decode] = None, cache: int = 0, max_open: int = 0):
        paths: Sequence[Path] = [path] if isinstance(path, (str, os.PathLike)) else path
        self._listed = not isinstance(path, (str, os.PathLike))
        self._paths: List[str] = [os.path.abspath(os.fspath(p)) for p in paths]
        self._settings: Tuple[int, int] = (cache, max_open)
        self.decode = decode
        self._core: Optional[_plait.Dataset] = _plait.Dataset(self._paths, self._listed, Sample, cache, max_open)
        self._len: int = self._open().count()

    def __len__(self) -> int:
        return self._len

    def __getitem__(self, i: Any) -> Any:
        """The sample of a number or a key; a list of samples for a slice."""
        if isinstance(i, str):
            return self._read(self.find(i))
        if isinstance(i, slice):
            return self.__getitems__(range(*i.indices(self._len)))
        n = operator.index(i)
        if n < 0:
            n += self._len
        if not 0 <= n < self._len:
            raise IndexError(f"sample {i} of {self._len}")
        return self._read(n)

    def __getitems__(self, numbers: Sequence[int]) -> List[Sample]:
        """Samples of several numbers, each frame read once where they share one."""
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        out: List[Any] = [None] * len(numbers)
        for place in order:
            out[place] = self[numbers[place]]
        return out

    def _read(self, n: int) -> Sample:
        sample = self._open().read(n)
        return sample if self.decode is None else self._decoded(sample, self.decode)

    def _decoded(self, sample: Sample, decode: Decode) -> Sample:
        names = sample.image_names
        if decode.images == "first":
            sample.pixels = decode_image(sample.parts[names[0]], decode) if names else None
        else:
            arrays = [decode_image(sample.parts[name], decode) for name in names]
            if decode.fit == "none" or not arrays:
                sample.pixels = arrays
            elif decode.tensors:
                import torch
                sample.pixels = torch.stack(arrays)
            else:
                import numpy
                sample.pixels = numpy.stack(arrays)
        if not decode.keep_bytes:
            for name in names:
                del sample.parts[name]
        return sample

    def find(self, key: str) -> int:
        """The number of the first sample with this key; KeyError. The first call reads the index of every shard."""
        return self._open().find(key)

    def __iter__(self) -> Iterator[Sample]:
        from ._stream import Stream
        if self.decode is not None and self.decode.fit == "none":
            return (self[i] for i in range(self._len))
        return iter(Stream(self, 64, shuffle=False, rank=0, world=1, threads=1, decode=self.decode, _workers=(0, 1)))

    @property
    def shards(self) -> List[Shard]:
        return [Shard(*row) for row in self._open().shards()]

    @property
    def info(self) -> Dict[str, Any]:
        """What dataset.json says; empty when shards were opened."""
        text = self._open().json()
        return {} if text is None else json.loads(text)

    @property
    def digest(self) -> str:
        """32 hex digits: data sets that share them give the same sample for the same number."""
        return self._open().digest()

    def _open(self) -> _plait.Dataset:
        if self._core is None:
            raise ValueError("the data set is closed")
        return self._core

    def close(self) -> None:
        """Let go of the files. Passes that are under way go on."""
        self._core = None

    def __enter__(self) -> "Dataset":
        return self

    def __exit__(self, *unused: Any) -> None:
        self.close()

    def __reduce__(self) -> Any:
        return _reopen, (self._paths, self._listed, self.decode, self._settings, self.digest)

    def __repr__(self) -> str:
        return f"<plait.Dataset of {self._len} samples: {self._paths[0]}{', ...' if len(self._paths) > 1 else ''}>"


def _reopen(paths: List[str], listed: bool, decode: Optional[Decode], settings: Tuple[int, int], digest: str) -> Dataset:
    out = Dataset(paths if listed else paths[0], decode=decode, cache=settings[0], max_open=settings[1])
    if out.digest != digest:
        raise _plait.DamagedError(f"'{paths[0]}' is not the data set that it was when it was pickled")
    return out
