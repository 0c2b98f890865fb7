"""The coders behind the recipes: each turns a chunk into pieces of a payload, and a payload into the chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from deltackpt.codec import frames, planes, residual
from deltackpt.codec.grouping import Grouping, Mask, exponents
from deltackpt.codec.lanes import Bytes, Lanes, as_lanes, lanes_of, whole_size
from deltackpt.codec.payload import Cursor, PayloadError, Piece
from deltackpt.codec.rounding import rounded
from deltackpt.codec.scaling import UNSCALED, Scale, scaled
from deltackpt.codec.scratch import scratch
from deltackpt.tensor.dtype import Element


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk to encode, as bytes and as whole elements. ``lanes`` may be scratch of the thread."""

    plain: memoryview
    element: Element
    lanes: Lanes

    @classmethod
    def of(cls, plain: memoryview, element: Element) -> Chunk:
        return cls(plain, element, lanes_of(plain, element, "chunk"))

    @property
    def tail(self) -> bytes:
        """The ragged bytes after the last whole element, at most seven."""
        return bytes(self.plain[whole_size(len(self.plain), self.element) :])


@dataclass(frozen=True, slots=True)
class Target:
    """Where a chunk is decoded to: aligned bytes, all of which a coder must write."""

    out: Bytes
    element: Element

    @property
    def lanes(self) -> Lanes:
        return as_lanes(self.out[: whole_size(self.out.size, self.element)], self.element)

    @property
    def tail(self) -> Bytes:
        return self.out[whole_size(self.out.size, self.element) :]


@dataclass(frozen=True, slots=True)
class Advice:
    """What a sample of a chunk told: which planes did not compress at all, and what its base is to be scaled by."""

    noise: tuple[bool, ...] = ()
    scale: Scale = UNSCALED


NO_ADVICE = Advice()


class Coder(Protocol):
    """One way to keep a chunk.

    A coder may ignore ``advice``. The pieces are new bytes or the plain view itself, never scratch. ``base`` are its
    elements, float32 for a cast. ``decode`` writes all of the target or raises PayloadError, and leaves behind in the
    cursor whatever it did not understand.
    """

    def encode(self, chunk: Chunk, base: Lanes | None, advice: Advice) -> list[Piece]: ...

    def decode(self, payload: Cursor, target: Target, base: Lanes | None) -> None: ...


class Raw:
    """The plain bytes themselves."""

    def encode(self, chunk: Chunk, base: Lanes | None, advice: Advice) -> list[Piece]:
        return [chunk.plain]

    def decode(self, payload: Cursor, target: Target, base: Lanes | None) -> None:
        np.copyto(target.out, np.frombuffer(payload.take(target.out.size), np.uint8))


class Zstd:
    """One zstd frame of the plain bytes: for text, indices, and whatever repeats at a distance."""

    def encode(self, chunk: Chunk, base: Lanes | None, advice: Advice) -> list[Piece]:
        return [frames.compress(np.frombuffer(chunk.plain, np.uint8))]

    def decode(self, payload: Cursor, target: Target, base: Lanes | None) -> None:
        np.copyto(target.out, np.frombuffer(frames.decompress(payload.rest(), target.out.size), np.uint8))


class Planes:
    """A block of the elements' planes, then the ragged tail."""

    def encode(self, chunk: Chunk, base: Lanes | None, advice: Advice) -> list[Piece]:
        return [*write_block(chunk.lanes, advice.noise), chunk.tail]

    def decode(self, payload: Cursor, target: Target, base: Lanes | None) -> None:
        read_block(payload, target.lanes)
        read_tail(payload, target)


class Delta:
    """A block of the residuals' planes, then the ragged tail."""

    def encode(self, chunk: Chunk, base: Lanes | None, advice: Advice) -> list[Piece]:
        return [*write_block(residuals_of(chunk, required(base)), advice.noise), chunk.tail]

    def decode(self, payload: Cursor, target: Target, base: Lanes | None) -> None:
        read_block(payload, target.lanes)
        residual.restore(target.lanes, required(base), target.lanes)
        read_tail(payload, target)


class DeltaScaled:
    """The scale, then a delta against the base multiplied by it. For float32."""

    def encode(self, chunk: Chunk, base: Lanes | None, advice: Advice) -> list[Piece]:
        below = scaled(required(base), advice.scale)
        return [advice.scale.pack(), *write_block(residuals_of(chunk, below), advice.noise), chunk.tail]

    def decode(self, payload: Cursor, target: Target, base: Lanes | None) -> None:
        if target.element is not Element.FLOAT32:
            raise PayloadError(f"a scaled base of {target.element.name}")
        scale = Scale.read(payload)
        read_block(payload, target.lanes)
        residual.restore(target.lanes, scaled(required(base), scale), target.lanes)
        read_tail(payload, target)


class Cast:
    """A delta against float32 values rounded to the chunk's 16-bit element."""

    def encode(self, chunk: Chunk, base: Lanes | None, advice: Advice) -> list[Piece]:
        below = rounded(required(base), chunk.element)
        return [*write_block(residuals_of(chunk, below), advice.noise), chunk.tail]

    def decode(self, payload: Cursor, target: Target, base: Lanes | None) -> None:
        below = rounded(required(base), target.element)
        read_block(payload, target.lanes)
        residual.restore(target.lanes, below, target.lanes)
        read_tail(payload, target)


class DeltaGrouped:
    """The grouping, a block of residuals for each group that is not empty, then the ragged tail."""

    def encode(self, chunk: Chunk, base: Lanes | None, advice: Advice) -> list[Piece]:
        if not chunk.lanes.size:
            return [chunk.tail]
        residuals = residuals_of(chunk, required(base))
        keys = exponents(required(base), chunk.element)
        grouping = Grouping.fitting(keys[:: 1 + keys.size // _GROUPING_SAMPLE], chunk.element)
        changed = np.not_equal(residuals, unchanged(residuals), out=scratch.array("changed", np.bool_, residuals.size))
        pieces: list[Piece] = [grouping.pack()]
        for mask in grouping.masks(keys):
            pieces += _write_group(residuals, mask, changed, advice.noise)
        return [*pieces, chunk.tail]

    def decode(self, payload: Cursor, target: Target, base: Lanes | None) -> None:
        old = required(base)
        if not target.element.exponent_bits:
            raise PayloadError(f"residuals of {target.element.name} grouped by an exponent that it does not have")
        if target.lanes.size:
            _read_groups(payload, target, old)
        residual.restore(target.lanes, old, target.lanes)
        read_tail(payload, target)


# Exponents looked at to choose the groups.
_GROUPING_SAMPLE = 1 << 14


def _write_group(residuals: Lanes, mask: Mask, changed: Mask, noise: Sequence[bool]) -> list[Piece]:
    """The block of the residuals under ``mask``. A group without a change is not gathered: that is what costs."""
    if not np.logical_and(mask, changed, out=scratch.array("changed-here", np.bool_, mask.size)).any():
        return planes.write_constant(unchanged(residuals), residuals.itemsize)
    members = np.flatnonzero(mask)
    group: Lanes = scratch.array("group", residuals.dtype, members.size)
    # 'clip' takes straight into the output; the positions are in range by construction.
    np.take(residuals, members, out=group, mode="clip")
    return write_block(group, noise)


def _read_groups(payload: Cursor, target: Target, base: Lanes) -> None:
    """All residuals of a chunk, in its own order."""
    lanes = target.lanes
    grouping = Grouping.read(payload, target.element)
    lanes.fill(unchanged(lanes))
    for mask in grouping.masks(exponents(base, target.element)):
        _read_group(payload, lanes, mask)


def _read_group(payload: Cursor, lanes: Lanes, mask: Mask) -> None:
    """Put the next block where ``mask`` says, over ``lanes`` that hold residuals without a change."""
    block = planes.Block.read(payload, lanes.itemsize, int(np.count_nonzero(mask)))
    if block.constant is None:
        group: Lanes = scratch.array("group", lanes.dtype, block.count)
        block.join(group)
        lanes[np.flatnonzero(mask)] = group
    elif block.constant != unchanged(lanes):
        np.copyto(lanes, block.constant, where=mask)


def unchanged(lanes: Lanes) -> int:
    """The residual of a value that is its base's."""
    return residual.balance(lanes.itemsize)


def residuals_of(chunk: Chunk, below: Lanes) -> Lanes:
    out = scratch.array("residuals", chunk.lanes.dtype, chunk.lanes.size)
    return residual.subtract(chunk.lanes, below, out)


def write_block(lanes: Lanes, noise: Sequence[bool]) -> list[Piece]:
    """The block of ``lanes``. A chunk shorter than one element has none."""
    return planes.write_block(planes.split(lanes), noise) if lanes.size else []


def read_block(payload: Cursor, out: Lanes) -> None:
    """Fill ``out`` from the block at the cursor, if it has one."""
    if out.size:
        planes.Block.read(payload, out.itemsize, out.size).join(out)


def required(base: Lanes | None) -> Lanes:
    if base is None:
        raise PayloadError("a delta without its base")
    return base


def read_tail(payload: Cursor, target: Target) -> None:
    target.tail[:] = np.frombuffer(payload.take(target.tail.size), np.uint8)
