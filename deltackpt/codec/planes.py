"""Byte planes: byte *i* of every element side by side, each plane kept in the cheapest of three ways.

In a float the bytes differ in kind (sign and exponent, high mantissa, noise), so apart they compress and together
they do not. A *block* is ``n`` elements as planes, least significant byte first: one header for each plane (kind,
length), then their bodies in the same order. ``docs/format/recipes.md`` has the layout.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np

from deltackpt.codec import frames
from deltackpt.codec.lanes import LANE, Bytes, Lanes
from deltackpt.codec.payload import Cursor, PayloadError, Piece
from deltackpt.codec.scratch import scratch

_HEADER = struct.Struct("<BI")  # kind, bytes of the body
# A frame must save 1/64 of its plane to be worth decoding.
_MIN_SAVING = 64


class PlaneKind(enum.IntEnum):
    """How one plane's bytes are kept. The numbers are on disk: never reuse or renumber one."""

    RAW = 0
    CONSTANT = 1
    ZSTD = 2


def is_constant(plane: Bytes) -> bool:
    """Whether every byte is the first one. A look at two others mostly tells; else two passes at memory speed."""
    first = plane[0]
    if plane[-1] != first or plane[plane.size // 2] != first:
        return False
    return bool(plane.min() == plane.max())


# --- encoding -------------------------------------------------------------------------------------------


def split(lanes: Lanes, slot: str = "planes") -> list[Bytes]:
    """The planes of ``lanes``, in scratch ``slot``. Shift and cast are vectorised, a strided copy is not."""
    width = lanes.itemsize
    planes = scratch.array(slot, np.uint8, lanes.size * width).reshape(width, lanes.size)
    shifted = scratch.array("shifted", lanes.dtype, lanes.size)
    np.copyto(planes[0], lanes, casting="unsafe")
    for i in range(1, width):
        np.right_shift(lanes, 8 * i, out=shifted)
        np.copyto(planes[i], shifted, casting="unsafe")
    return list(planes)


def write_block(planes: Sequence[Bytes], noise: Sequence[bool]) -> list[Piece]:
    """A block of ``planes``, in new bytes. Where ``noise`` says so a plane is kept raw without a try."""
    bodies = [_keep(plane, hopeless) for plane, hopeless in zip(planes, noise, strict=True)]
    header = b"".join(_HEADER.pack(kind, len(body)) for kind, body in bodies)
    return [header, *(body for _, body in bodies)]


def write_constant(value: int, width: int) -> list[Piece]:
    """The block of any number of elements that are all ``value``."""
    return [_HEADER.pack(PlaneKind.CONSTANT, 1) * width, value.to_bytes(width, "little")]


def _keep(plane: Bytes, hopeless: bool) -> tuple[PlaneKind, bytes]:
    if hopeless:
        return PlaneKind.RAW, plane.tobytes()
    if is_constant(plane):
        return PlaneKind.CONSTANT, plane[:1].tobytes()
    frame = frames.squeeze(plane)
    if len(frame) > plane.size - plane.size // _MIN_SAVING:
        return PlaneKind.RAW, plane.tobytes()
    return PlaneKind.ZSTD, frame


# --- decoding -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block:
    """A block's planes, decompressed: ``count`` bytes each, or the one value that all of them have."""

    count: int
    planes: tuple[Bytes | int, ...]

    @classmethod
    def read(cls, payload: Cursor, width: int, count: int) -> Self:
        """The block of ``count`` elements (at least one) that starts at the cursor; PayloadError if it cannot be."""
        headers = [_HEADER.unpack(payload.take(_HEADER.size)) for _ in range(width)]
        return cls(count, tuple(_plane(kind, payload.take(length), count) for kind, length in headers))

    @property
    def constant(self) -> int | None:
        """The one value of all elements; None when there may be several."""
        if not all(isinstance(plane, int) for plane in self.planes):
            return None
        return int.from_bytes(cast(tuple[int, ...], self.planes), "little")

    def join(self, out: Lanes) -> None:
        """Fill ``out``, of ``count`` elements."""
        whole = _joined(self.planes, out, "joined")
        if whole is not out:
            out[...] = whole


def _plane(kind: int, body: memoryview, count: int) -> Bytes | int:
    """A plane of ``count`` bytes, or the one value that all of them have."""
    match kind:
        case PlaneKind.RAW if len(body) == count:
            return np.frombuffer(body, np.uint8)
        case PlaneKind.CONSTANT if len(body) == 1:
            return body[0]
        case PlaneKind.ZSTD:
            return np.frombuffer(frames.decompress(body, count), np.uint8)
    raise PayloadError(f"plane of kind {kind} with {len(body)} bytes for {count} elements")


def _joined(parts: Sequence[Lanes | int], out: Lanes | None, slot: str) -> Lanes | int:
    """Bytes to 16 bits to 32 to 64, in pairs, as the narrow steps move least; what is constant stays a number.

    The result is ``out`` (scratch ``slot`` where that is None), or a part or a number that needed no work.
    """
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    low = _joined(parts[:half], None, slot + "l")
    high = _joined(parts[half:], None, slot + "h")
    if isinstance(low, int) and isinstance(high, int):
        return low | high << 8 * half
    return _widened(low, high, 8 * half, out, slot)


def _widened(low: Lanes | int, high: Lanes | int, bits: int, out: Lanes | None, slot: str) -> Lanes:
    if out is None:
        narrow = high if isinstance(low, int) else low
        out = scratch.array(slot, LANE[bits // 4], np.size(narrow))
    if isinstance(high, int):
        np.copyto(out, low)
        if high:
            np.bitwise_or(out, high << bits, out=out)
    else:
        np.copyto(out, high)
        np.left_shift(out, bits, out=out)
        if not isinstance(low, int) or low:
            np.bitwise_or(out, low, out=out)
    return out
