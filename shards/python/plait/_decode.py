# SPDX-License-Identifier: Apache-2.0
"""How images become arrays."""
from __future__ import annotations

import dataclasses
from typing import Any, Dict, Tuple, Union

from . import _plait

_FITS = {"none": 0, "squash": 1, "crop": 2}
_FILTERS = {"bicubic": 0, "lanczos": 1, "triangle": 2}
_IMAGES = {"first": 1, "all": 2}


@dataclasses.dataclass(frozen=True)
class Decode:
    """Decode images to uint8 RGB, orientation and colour profile applied, alpha laid on white.

    size     side of the result, or (height, width)
    fit      "crop": scaled to cover the size, then cut in the middle, as CLIP does; "squash": to the size, ratio given up;
             "none": the image's own size (not in a Stream)
    filter   "bicubic", "lanczos" or "triangle", all antialiased as Pillow's
    images   "first" of each sample, or "all"
    keep_bytes   leave the encoded images in the samples' parts, too
    tensors  torch tensors in place of NumPy arrays
    scale    a JPEG is decoded at the largest DCT reduction whose sides are at least this many times the size; 0 is 2, 1 the fastest
    max_pixels   refuse larger images; 0 is 100 million
    """

    size: Union[int, Tuple[int, int]] = 224
    fit: str = "crop"
    filter: str = "bicubic"
    images: str = "first"
    keep_bytes: bool = False
    tensors: bool = False
    scale: int = 0
    max_pixels: int = 0

    def __post_init__(self) -> None:
        for value, known, name in ((self.fit, _FITS, "fit"), (self.filter, _FILTERS, "filter"), (self.images, _IMAGES, "images")):
            if value not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")
        if min(self.shape) < 1:
            raise ValueError(f"size is at least 1, not {self.size!r}")

    @property
    def shape(self) -> Tuple[int, int]:
        """(height, width)"""
        return (self.size, self.size) if isinstance(self.size, int) else (int(self.size[0]), int(self.size[1]))

    def _arguments(self) -> Tuple[int, int, int, int, int, int]:
        height, width = self.shape
        return _FITS[self.fit], width, height, _FILTERS[self.filter], self.scale, self.max_pixels

    def _options(self) -> Dict[str, int]:
        """For a loader."""
        if self.fit == "none":
            raise ValueError('fit="none" gives images of different sizes: a Stream needs one size')
        names = ("fit", "width", "height", "filter", "scale", "max_pixels")
        return dict(zip(names, self._arguments()), decode=_IMAGES[self.images], leave_images=not self.keep_bytes)

    def _array(self, array: Any) -> Any:
        if not self.tensors:
            return array
        import torch
        return torch.from_numpy(array)


def decode_image(data: bytes, decode: Decode = Decode(fit="none")) -> Any:
    """One encoded image as an array ``[height, width, 3]``. Releases the interpreter's lock: threads decode at the same time."""
    import numpy
    pixels, width, height = _plait.decode(bytes(data), *decode._arguments())
    return decode._array(numpy.frombuffer(pixels, numpy.uint8).reshape((height, width, 3)))
