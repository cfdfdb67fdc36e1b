# SPDX-License-Identifier: Apache-2.0
"""What a sample means: a list of segments, each a text or an image."""
from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "avif")


class Text(NamedTuple):
    """A piece of text."""

    text: str
    #: "none", "system", "user", "assistant" or "tool"
    role: str = "none"
    #: is it trained on?
    loss: bool = False
    #: "chosen" or "rejected" in a preference, else None
    branch: Optional[str] = None


class Image(NamedTuple):
    """An image at its place in the document."""

    #: name of the part with its bytes; None where only its tiles were written
    part: Optional[str]
    #: its number among the document's images
    number: int
    width: int = 0
    height: int = 0
    role: str = "none"
    branch: Optional[str] = None
    #: names of the parts of its tiles, row by row
    tiles: Tuple[str, ...] = ()


class Document:
    """An ordered list of segments, with what the JSON says of them.

    ``raw`` is the JSON as it was read: key, source, origin, kind, stage, meta, and of a packed sequence ``documents``.
    """

    __slots__ = ("raw", "segments")

    def __init__(self, raw: Dict[str, Any], segments: List[Any]):
        self.raw = raw
        self.segments = segments

    @property
    def images(self) -> List[Image]:
        return [s for s in self.segments if isinstance(s, Image)]

    @property
    def texts(self) -> List[Text]:
        return [s for s in self.segments if isinstance(s, Text)]

    def text(self, separator: str = "\n") -> str:
        """All texts, joined."""
        return separator.join(s.text for s in self.segments if isinstance(s, Text))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.segments)

    def __len__(self) -> int:
        return len(self.segments)

    def __repr__(self) -> str:
        return f"<plait.Document of {len(self.segments)} segments, {len(self.images)} images>"


def image_names(parts: Mapping[str, bytes]) -> List[str]:
    """The parts that are images by their suffix, in the order of the file."""
    return [name for name in parts if name.rpartition(".")[2] in IMAGE_SUFFIXES]


def _segments(listed: Any) -> List[Any]:
    out: List[Any] = []
    images = 0
    for s in listed:
        role, branch = s.get("role", "none"), s.get("branch")
        if s["type"] == "image":
            out.append(Image(s.get("part"), images, s.get("width", 0), s.get("height", 0), role, branch, tuple(s.get("tiles", ()))))
            images += 1
        else:
            out.append(Text(s["text"], role, bool(s.get("loss", False)), branch))
    return out


def read_document(parts: Mapping[str, bytes]) -> Document:
    """The document of a sample. One that plait did not write is its images, in the order of the file, and its caption."""
    raw: Dict[str, Any] = {}
    if "json" in parts:
        found = json.loads(parts["json"])
        if isinstance(found, dict):
            raw = found
            if isinstance(raw.get("segments"), list):
                return Document(raw, _segments(raw["segments"]))
    out: List[Any] = [Image(name, i) for i, name in enumerate(image_names(parts))]
    if "txt" in parts:
        out.append(Text(parts["txt"].decode("utf-8", "replace"), loss=True))
    elif isinstance(raw.get("caption"), str):
        out.append(Text(raw["caption"], loss=True))
    return Document(raw, out)
