# SPDX-License-Identifier: Apache-2.0
"""An epoch in a shuffled order that resumes from one integer."""
from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys
import threading
from multiprocessing.context import get_spawning_popen
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from . import _plait
from ._dataset import Dataset, Path
from ._decode import Decode
from ._sample import Batch, Sample

_OK, _NO_IMAGE = 0, 8     # enum pl_status
_STATE = "plait.stream"


class _Epoch:
    """The epoch's number, shared with DataLoader's workers, so that set_epoch reaches those that live on."""

    def __init__(self, value: int, shared: Any = None):
        self._shared = multiprocessing.RawValue(ctypes.c_uint64, value) if shared is None else shared

    def get(self) -> int:
        return int(self._shared.value)

    def set(self, value: int) -> None:
        self._shared.value = value

    def __reduce__(self) -> Any:
        # Shared memory travels to a process that is being started, and nowhere else.
        return _Epoch, (self.get(), self._shared) if get_spawning_popen() is not None else (self.get(),)


def _rank_and_world() -> Tuple[int, int]:
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def _worker() -> Tuple[int, int]:
    """Which of how many DataLoader workers this process is."""
    data = sys.modules.get("torch.utils.data")
    info = data.get_worker_info() if data is not None else None
    return (0, 1) if info is None else (info.id, info.num_workers)


def _torch_class(data: Any) -> Any:
    if not hasattr(_torch_class, "made"):
        _torch_class.made = type("Stream", (Stream, data.IterableDataset), {})     # type: ignore[attr-defined]
    return _torch_class.made     # type: ignore[attr-defined]


def _seen_as(self: Any) -> Any:
    data = sys.modules.get("torch.utils.data")
    return Stream if data is None or not hasattr(data, "IterableDataset") else _torch_class(data)


class Stream:
    """The samples of a data set, once per epoch, in an order that is a function of (seed, epoch) alone.

    path        as of Dataset, or a Dataset
    batch_size  of the GLOBAL batch, all ranks together; the world size must divide it
    batches     yield this rank's part of each global batch (a Batch) rather than single samples
    seed, shuffle, epoch    what fixes the order
    rank, world default: torch.distributed's if it is initialised, else the environment's RANK and WORLD_SIZE, else 0 of 1
    drop_last   leave out a last batch that is not full
    threads     that read, uncompress and decode ahead; default: as many as there are cores up to 4, one in a worker of DataLoader
    decode      a Decode: images as arrays
    on_damage   "raise" DamagedError, or "skip" what is damaged and count it
    block, window   of the shuffle: samples of a block (0: 16 MiB of them), and how many blocks are mixed (0: 2)
    lanes       how many parts a window has, each for some of the ranks; a multiple of the world size saves ranks from uncompressing all
    memory      bytes of uncompressed frames read ahead; 0 is 72 MiB, in plain order 24

    Global batch k is positions k * batch_size to (k + 1) * batch_size of the epoch; rank r of w takes the r-th of w equal parts of it. Under
    torch's DataLoader worker i of n takes every n-th of those parts, which is the order in which DataLoader asks them. So ranks, workers
    and threads change nothing about which samples make up global batch k.

    With DataLoader use ``batches=True`` and ``batch_size=None``, or the samples with ``batch_size=stream.local_batch_size`` and a
    ``collate_fn`` such as ``plait.collate``. Threads serve better than workers: each worker uncompresses every frame of the window.
    """

    # DataLoader asks isinstance(stream, IterableDataset). The answer is yes where torch has been imported, and torch is not imported for it.
    __class__ = property(_seen_as)     # type: ignore[assignment]

    def __init__(self, path: Union[Path, Sequence[Path], Dataset], batch_size: int, *, batches: bool = False, seed: int = 0,
                 shuffle: bool = True, epoch: int = 0, rank: Optional[int] = None, world: Optional[int] = None,
                 drop_last: bool = False, threads: Optional[int] = None, decode: Optional[Decode] = None, on_damage: str = "raise",
                 block: int = 0, window: int = 0, lanes: int = 0, memory: int = 0, _workers: Optional[Tuple[int, int]] = None):
        if (rank is None) != (world is None):
            raise ValueError("rank and world go together")
        if rank is None or world is None:
            rank, world = _rank_and_world()
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} of {world}")
        if batch_size < 1 or batch_size % world:
            raise ValueError(f"batch_size is the global batch: {batch_size} samples cannot be shared by {world} ranks")
        if on_damage not in ("raise", "skip"):
            raise ValueError(f"on_damage is raise or skip, not {on_damage!r}")
        self.dataset = path if isinstance(path, Dataset) else Dataset(path)
        self.batch_size, self.batches, self.seed, self.shuffle = batch_size, batches, seed, shuffle
        self.rank, self.world, self.drop_last, self.threads = rank, world, drop_last, threads
        self.decode, self.on_damage = decode, on_damage
        self._options: Dict[str, int] = {"window": window, "lanes": lanes, "memory": memory, "skip": on_damage == "skip"}
        if decode is not None:
            self._options.update(decode._options())
        self._block = block
        self._workers = _workers
        self._epoch = _Epoch(epoch)
        self._start: Optional[Dict[str, Any]] = None     # where the next pass of its epoch begins
        self._pass: Optional[_Pass] = None

    # ---- how much there is -----------------------------------------------------------------------------------

    @property
    def local_batch_size(self) -> int:
        """Samples of this rank in a full global batch."""
        return self.batch_size // self.world

    @property
    def epoch(self) -> int:
        return self._epoch.get()

    @property
    def global_batches(self) -> int:
        """Global batches of an epoch."""
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __len__(self) -> int:
        """What a whole epoch yields on this rank: samples, or local batches."""
        if self.batches:
            return self.global_batches
        full, rest = divmod(len(self.dataset), self.batch_size)
        out = full * self.local_batch_size
        if rest and not self.drop_last:
            out += (self.rank + 1) * rest // self.world - self.rank * rest // self.world
        return out

    # ---- going through it ------------------------------------------------------------------------------------

    def set_epoch(self, epoch: int) -> None:
        """The next pass is over this epoch: from its start, unless a loaded state says otherwise."""
        if epoch != self.epoch:
            self._start = None
            self._pass = None
        self._epoch.set(epoch)

    def _order(self) -> Dict[str, int]:
        """What the order depends on beside seed and epoch."""
        out = {"samples": len(self.dataset), "batch_size": self.batch_size, "shuffle": int(self.shuffle)}
        if self.shuffle:
            if self._block == 0:
                self._block = self.dataset._open().block()
            out.update(block=self._block, window=self._options["window"] or _plait.WINDOW, lanes=self._options["lanes"] or 1)
        return out

    def _loader(self, position: int, worker: int, workers: int, **more: Any) -> Any:
        threads = self.threads
        if threads is None:
            threads = 1 if _worker()[1] > 1 else min(4, os.cpu_count() or 1)
        return _plait.Loader(
            self.dataset._open(), seed=self.seed, epoch=self.epoch, position=position, batch=self.batch_size,
            drop_last=self.drop_last, rank=self.rank, world=self.world, worker=worker, workers=workers, shuffle=self.shuffle,
            block=self._order().get("block", 0), threads=threads, **self._options, **more)

    def __iter__(self) -> "_Pass":
        """A pass from where the loaded state says, else from the start of the epoch."""
        worker, workers = self._workers or _worker()
        start, self._start = self._start, None
        if start is None or start["epoch"] != self.epoch:
            start = {"position": 0, "offset": 0, "own": False}
        self._pass = _Pass(self, start, worker, workers)
        return self._pass

    # ---- the state -------------------------------------------------------------------------------------------

    def _place(self) -> Tuple[int, int, Optional[List[int]]]:
        if self._pass is not None:
            return self._pass.place()
        if self._start is not None and self._start["epoch"] == self.epoch:
            return self._start["position"], self._start["offset"], self._start["worker"]
        return 0, 0, None

    def state_dict(self) -> Dict[str, Any]:
        """Where this stream is: after the last sample or batch that it yielded in this process.

        ``position`` counts the epoch's samples that all ranks together have done; it is what resumes with any world size and number of
        workers. ``offset`` counts samples of this rank behind it, and is 0 between batches. Where DataLoader has workers, the stream in
        the main process does not move: use ``state_after``, or ``global_state`` on the state of torchdata's StatefulDataLoader.
        """
        position, offset, worker = self._place()
        state: Dict[str, Any] = {"kind": _STATE, "seed": self.seed, "epoch": self.epoch, "position": position, "offset": offset,
                                 "world": self.world, "order": self._order(), "data": self.dataset.digest}
        if worker is not None:
            state["worker"] = worker
        return state

    def state_after(self, batches: int, *, start: int = 0) -> Dict[str, Any]:
        """The state once so many batches of this epoch are done since position ``start`` of it."""
        end = self.global_batches * self.batch_size if self.drop_last else len(self.dataset)
        state = self.state_dict()
        state.update(position=min(start + batches * self.batch_size, end), offset=0)
        state.pop("worker", None)
        return state

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Go on where the state says, with any world size and any number of workers and threads.

        ValueError where the data set, the batch size or a setting of the order is not what it was; and where a state from the middle
        of a global batch comes to another world size.
        """
        if state.get("kind") != _STATE:
            raise ValueError("this is not the state of a plait.Stream (global_state takes that of a StatefulDataLoader)")
        if state["data"] != self.dataset.digest:
            raise ValueError("the state is of another data set, or this one has changed")
        ours = dict(self._order(), seed=self.seed)
        theirs = dict(state["order"], seed=state["seed"])
        wrong = [f"{k} was {theirs.get(k)}, is {ours.get(k)}" for k in {**ours, **theirs} if ours.get(k) != theirs.get(k)]
        if wrong:
            raise ValueError("the state is of another order: " + ", ".join(wrong))
        if state["offset"] and state["world"] != self.world:
            raise ValueError(f"the state lies inside a global batch of {state['world']} ranks: {self.world} ranks need one between batches")
        own = state.get("worker")
        if own is not None and list(own) != list(_worker()):
            raise ValueError(f"the state is of worker {own[0]} of {own[1]} alone: take plait.global_state of the whole loader's")
        self._epoch.set(state["epoch"])
        self._pass = None
        self._start = {"epoch": state["epoch"], "position": state["position"], "offset": state["offset"], "own": own is not None,
                       "worker": own}

    # ---- what others see -------------------------------------------------------------------------------------

    def stats(self) -> Dict[str, int]:
        """Counts of the pass under way: samples, skipped_samples, bad_images, frames, bytes, memory, ..."""
        return {} if self._pass is None else self._pass.stats()

    @property
    def damage(self) -> Optional[str]:
        """The first damage that was skipped in the pass under way."""
        return None if self._pass is None else self._pass.damage()

    def __getstate__(self) -> Dict[str, Any]:
        return dict(self.__dict__, _pass=None)

    def __reduce__(self) -> Any:
        return _restore, (self.__getstate__(),)

    def __repr__(self) -> str:
        return (f"<plait.Stream of {len(self.dataset)} samples in global batches of {self.batch_size}, "
                f"rank {self.rank} of {self.world}>")


def _restore(state: Dict[str, Any]) -> Stream:
    out = Stream.__new__(Stream)
    out.__dict__.update(state)
    return out


class _Pass:
    """One pass over an epoch, from a start."""

    def __init__(self, stream: Stream, start: Dict[str, Any], worker: int, workers: int):
        self._stream = stream
        self._size = stream.batch_size
        self._n = len(stream.dataset)
        self._end = stream.global_batches * self._size if stream.drop_last else self._n
        self._worker = [worker, workers] if workers > 1 else None
        self._workers = workers
        # A worker's own state begins at its own next batch; any other at a batch that worker 0 takes.
        first = 0 if start["own"] else worker
        self._position = min(start["position"] + first * self._size, self._end)     # of the batch under way
        self._next_position = self._position
        self._skip = start["offset"] if first == 0 else 0     # samples of the next batch
        self._loader: Any = None
        self._lock = threading.Lock()
        self._samples: List[Sample] = []     # of the batch under way, what is left of them, the last one first
        self._of = 0                         # how many they were
        self._begin = (min(start["position"], self._end), first, workers)

    def place(self) -> Tuple[int, int, Optional[List[int]]]:
        left = len(self._samples)
        if left:
            return self._position, self._of - left, self._worker
        return self._next_position, self._skip, self._worker

    def stats(self) -> Dict[str, int]:
        return {} if self._loader is None else self._loader.stats()

    def damage(self) -> Optional[str]:
        return None if self._loader is None else self._loader.damage()

    def _fetch(self) -> Batch:
        if self._loader is None:
            self._loader = self._stream._loader(*self._begin)
        found = self._loader.next()
        if found is None:
            raise StopIteration
        samples, number, position, end, skipped, pixels, statuses = found
        batch = Batch(samples, number, position, end, skipped)
        decode = self._stream.decode
        if decode is not None:
            self._attach(batch, pixels, statuses, decode)
        # Where this worker goes on once the batch is done.
        self._position = self._next_position
        self._next_position = min(position + self._workers * self._size, self._end)
        return batch

    def _attach(self, batch: Batch, pixels: Any, statuses: List[int], decode: Decode) -> None:
        import numpy
        batch.pixels = decode._array(numpy.asarray(pixels))
        batch.ok = numpy.array([s == _OK for s in statuses], bool)
        batch.sample_of = numpy.zeros(len(statuses), numpy.int64)
        first_only = decode.images == "first"
        for i, sample in enumerate(batch.samples):
            a, b = sample._first_image, sample._first_image + sample._images
            batch.sample_of[a:b] = i
            if not first_only:
                sample.pixels = batch.pixels[a:b]
            elif statuses[a] == _OK:
                sample.pixels = batch.pixels[a]
            if self._stream.on_damage == "raise":
                for status in statuses[a:b]:
                    if status not in (_OK, _NO_IMAGE):
                        raise _plait.DamagedError(f"an image of sample '{sample.key}' cannot be decoded: {_plait.status_name(status)}")

    def __iter__(self) -> "_Pass":
        return self

    def __next__(self) -> Any:
        # The lock is for what takes several steps. Where batches are given, there are no samples left.
        try:
            return self._samples.pop()
        except IndexError:
            pass
        with self._lock:
            return self._next_batch() if self._stream.batches else self._next_sample()

    def _next_batch(self) -> Batch:
        batch = self._fetch()
        self._skip = 0
        return batch

    def _next_sample(self) -> Sample:
        # Another thread may have fetched a batch meanwhile, and others may empty it.
        while True:
            try:
                return self._samples.pop()
            except IndexError:
                pass
            samples = self._fetch().samples
            self._of = len(samples)
            left = samples[self._skip:]
            left.reverse()
            self._skip, self._samples = 0, left


def _states(found: Any) -> Iterator[Dict[str, Any]]:
    if isinstance(found, dict):
        if found.get("kind") == _STATE:
            yield found
        else:
            for value in found.values():
                yield from _states(value)
    elif isinstance(found, (list, tuple)):
        for value in found:
            yield from _states(value)


def global_state(state: Dict[str, Any]) -> Dict[str, Any]:
    """The state for Stream.load_state_dict, made of that of a torchdata StatefulDataLoader with any number of workers.

    The loader's items must be whole local batches (see Stream). What it gives can be loaded with another world size and another
    number of workers.
    """
    found = list(_states(state))
    if not found:
        raise ValueError("there is no plait.Stream in this state")
    if len({(s["epoch"], s["seed"], s["data"]) for s in found}) > 1:
        raise ValueError("the workers' states are of several passes")
    first = min(found, key=lambda s: (s["position"], s["offset"]))
    out = {k: v for k, v in first.items() if k != "worker"}
    since = state.get("_steps_since_snapshot", 0) if len(found) > 1 or "worker" in first else 0
    if since:
        out["position"] = min(out["position"] + since * out["order"]["batch_size"], out["order"]["samples"])
    return out
