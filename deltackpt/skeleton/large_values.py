"""Byte strings and texts that are too large for a skeleton: their bytes stand in the tensor table, cut into chunks."""

from __future__ import annotations

from dataclasses import dataclass

from deltackpt.errors import FormatError
from deltackpt.skeleton.boxes import Box
from deltackpt.skeleton.holes import Hole
from deltackpt.skeleton.nodes import LargeValue
from deltackpt.skeleton.strided_source import StridedSource
from deltackpt.skeleton.tags import Tag
from deltackpt.skeleton.view import View
from deltackpt.tensor.dtype import dtype_named

KINDS = frozenset({Tag.BYTES, Tag.BYTEARRAY, Tag.SURROGATE_STR})


@dataclass(frozen=True, slots=True)
class _LiveBytes:
    """The bytes of a value, in one dimension."""

    raw: memoryview

    def own_memory(self) -> memoryview:
        return self.raw

    def copy(self, box: Box, out: memoryview) -> None:
        out[:] = self.raw[box.slices[0]]


def _open(raw: bytes | bytearray, view: View) -> StridedSource:
    return StridedSource(_LiveBytes(memoryview(raw).toreadonly()), view)


def large_hole(name: str, part: str, kind: Tag, raw: bytes | bytearray) -> Hole:
    """The place of a value in a skeleton; ``kind`` is the tag that a short one would have."""
    view = View(dtype_named("uint8"), (len(raw),))
    return Hole(name, part, int(Tag.LARGE_VALUE), 0, (int(kind),), view, ("value", id(raw)), raw, _open)


def allocate(nbytes: int, *, zeroed: bool) -> tuple[bytearray, memoryview]:
    """Room for the bytes of a value, to be filled."""
    handle = bytearray(nbytes)
    return handle, memoryview(handle)


def value(node: LargeValue, raw: bytearray) -> bytes | bytearray | str:
    """The value whose bytes were filled in."""
    if node.kind is Tag.SURROGATE_STR:
        try:
            return raw.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise FormatError(f"skeleton: a text that is not UTF-8 ({error}); run deltackpt verify") from None
    return bytes(raw) if node.kind is Tag.BYTES else raw
