# SPDX-License-Identifier: Apache-2.0
"""Samples, and batches of them."""
from __future__ import annotations

from typing import Any, Dict, Iterator, List, Sequence

from . import _plait
from ._document import Document, image_names, read_document


class Sample(_plait.Sample):
    """One sample: its ``key``, its ``parts`` (bytes by suffix, in the order of the shard) and what they mean.

    ``index`` is its number in the data set, ``position`` its place in the epoch, ``shard`` the number of its shard.
    ``pixels`` holds decoded images when they were asked for: ``[height, width, 3]`` for the first image (None if the sample
    has none), ``[images, height, width, 3]`` for all of them. A part that the shard could not give whole is None.
    """

    __slots__ = ()

    @property
    def document(self) -> Document:
        """Segments of text and images, in order; parsed when it is first asked for."""
        if self._document is None:
            self._document = read_document(self.parts)
        return self._document

    @property
    def image_names(self) -> List[str]:
        """Suffixes of the parts that are images."""
        return image_names(self.parts)

    @property
    def images(self) -> List[bytes]:
        """The encoded images, in the order of the shard."""
        return [self.parts[name] for name in image_names(self.parts)]

    @property
    def text(self) -> str:
        """All texts of the document, joined by line breaks."""
        return self.document.text()

    def __getitem__(self, suffix: str) -> bytes:
        return self.parts[suffix]

    def __contains__(self, suffix: str) -> bool:
        return suffix in self.parts

    def __reduce__(self) -> Any:
        return Sample, (self.key, self.parts, self.index, self.position, self.shard, self.pixels)

    def __repr__(self) -> str:
        return f"<plait.Sample {self.index} '{self.key}': {', '.join(self.parts)}>"


class Batch:
    """The samples of one rank's share of a global batch.

    ``number`` counts the epoch's global batches; ``end`` is the position to go on from once every rank has done this one;
    ``skipped`` samples were lost to damage. With decoding, ``pixels`` is one array ``[images, height, width, 3]``, ``ok`` tells
    which of them were decoded (others are black), and image i belongs to sample ``sample_of[i]``.
    """

    __slots__ = ("samples", "number", "position", "end", "skipped", "pixels", "ok", "sample_of")

    def __init__(self, samples: List[Sample], number: int = 0, position: int = 0, end: int = 0, skipped: int = 0,
                 pixels: Any = None, ok: Any = None, sample_of: Any = None):
        self.samples = samples
        self.number = number
        self.position = position
        self.end = end
        self.skipped = skipped
        self.pixels = pixels
        self.ok = ok
        self.sample_of = sample_of

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __getitem__(self, i: int) -> Sample:
        return self.samples[i]

    def __getstate__(self) -> Dict[str, Any]:
        # The samples' own pixels are pieces of the array.
        own = [s.pixels for s in self.samples]
        try:
            for s in self.samples:
                s.pixels = None
            return {name: getattr(self, name) if name != "samples" else [s.__reduce__()[1] for s in self.samples]
                    for name in self.__slots__}
        finally:
            for s, p in zip(self.samples, own):
                s.pixels = p

    def __setstate__(self, state: Dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self.samples = [Sample(*s) for s in state["samples"]]

    def pin_memory(self) -> "Batch":
        """For DataLoader(pin_memory=True)."""
        if hasattr(self.pixels, "pin_memory"):
            self.pixels = self.pixels.pin_memory()
        return self

    def __repr__(self) -> str:
        return f"<plait.Batch {self.number} of {len(self.samples)} samples>"


def collate(samples: Sequence[Sample]) -> Batch:
    """A Batch of samples: ``DataLoader(..., collate_fn=plait.collate)``. Pixels of one shape are stacked, else left in the samples."""
    out = Batch(list(samples))
    pixels: List[Any] = []
    sample_of: List[int] = []
    for i, s in enumerate(samples):
        if s.pixels is None:
            continue
        several = s.pixels if len(s.pixels.shape) == 4 else s.pixels[None]
        pixels.append(several)
        sample_of += [i] * len(several)
    shapes = {p.shape[1:] for p in pixels}
    if len(shapes) == 1:
        import numpy
        if hasattr(pixels[0], "numpy"):
            import torch
            out.pixels = torch.cat(pixels)
        else:
            out.pixels = numpy.concatenate(pixels)
        out.sample_of = numpy.array(sample_of)
        out.ok = numpy.ones(len(sample_of), bool)
    return out
