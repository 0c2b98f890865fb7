"""A parity file: checksums of all blocks of a pack, and the parity blocks of its stripes.

Blocks that are neighbours in the pack belong to different stripes, so that one long piece of damage costs each stripe
little. See ``docs/format/parity.md``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from deltackpt.errors import CorruptError
from deltackpt.ids import PackId
from deltackpt.maintenance.parity.code import MAX_BLOCKS, MULTIPLE, Code
from deltackpt.maintenance.repair.salvage import MAX_PACK_BYTES

MAGIC = b"DCKPPAR\x00"
LEAST_BLOCK, LARGEST_BLOCK = 1 << 10, 64 << 10
_STRIPES = 32
_HEAD = struct.Struct("<8s16sQIHH")
_CHECK = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Stripes:
    """How a pack of ``size`` bytes is cut: ``count`` blocks of ``block`` bytes, the last filled up with zeros."""

    size: int
    block: int
    code: Code

    @classmethod
    def of(cls, size: int, code: Code) -> Self:
        """So that there are some stripes, unless their blocks were too small for checksums, or larger than may be."""

        def block(stripes: int) -> int:
            return max(1, -(-size // (code.data * stripes * MULTIPLE))) * MULTIPLE

        return cls(size, min(LARGEST_BLOCK, block(1), max(LEAST_BLOCK, block(_STRIPES))), code)

    @property
    def count(self) -> int:
        return -(-self.size // self.block)

    @property
    def stripes(self) -> int:
        return -(-self.count // self.code.data)

    def blocks(self, stripe: int) -> list[int]:
        """The blocks of a stripe; those beyond the last are zeros and stand nowhere."""
        return [stripe + at * self.stripes for at in range(self.code.data)]

    def cut(self, data: bytes, number: int) -> bytes:
        """A block of the pack's bytes."""
        return data[number * self.block : (number + 1) * self.block].ljust(self.block, b"\0")


@dataclass(frozen=True, slots=True)
class ParityFile:
    """The parity of a pack. ``checksums`` are xxh3-64 of its blocks, then of the parity blocks, stripe by stripe."""

    pack: PackId
    stripes: Stripes
    checksums: NDArray[np.uint64]
    parity: bytes

    @classmethod
    def of(cls, pack: PackId, data: bytes, code: Code) -> Self:
        """The parity of a pack with these bytes."""
        cut = Stripes.of(len(data), code)
        parity = [
            block
            for stripe in range(cut.stripes)
            for block in code.encode([cut.cut(data, number) for number in cut.blocks(stripe)])
        ]
        every = [*(cut.cut(data, number) for number in range(cut.count)), *parity]
        return cls(pack, cut, np.array([*map(xxhash.xxh3_64_intdigest, every)], np.uint64), b"".join(parity))

    def encode(self) -> bytes:
        """The whole file."""
        cut = self.stripes
        head = _HEAD.pack(MAGIC, self.pack, cut.size, cut.block, cut.code.data, cut.code.parity)
        head += self.checksums.tobytes()
        return head + _CHECK.pack(xxhash.xxh3_64_intdigest(head)) + self.parity

    @classmethod
    def decode(cls, data: bytes, pack: PackId, path: str) -> Self:
        """CorruptError when it is no parity of that pack, or its head is damaged; parity blocks may be."""
        damaged = CorruptError(f"{path!r}: the head is damaged; remove it, and run `deltackpt parity` again")
        if len(data) < _HEAD.size:
            raise damaged
        magic, name, size, block, blocks, parity = _HEAD.unpack_from(data)
        possible = blocks > 0 and parity > 0 and blocks + parity <= MAX_BLOCKS and 0 < size <= MAX_PACK_BYTES
        cuttable = 0 < block <= LARGEST_BLOCK and block % MULTIPLE == 0
        if magic != MAGIC or name != pack or not possible or not cuttable:
            raise damaged
        cut = Stripes(size, block, Code(blocks, parity))
        end = _HEAD.size + 8 * (cut.count + cut.stripes * parity)
        if len(data) < end + _CHECK.size or xxhash.xxh3_64_intdigest(data[:end]) != _CHECK.unpack_from(data, end)[0]:
            raise damaged
        return cls(pack, cut, np.frombuffer(data[_HEAD.size : end], "<u8"), data[end + _CHECK.size :])

    @property
    def is_whole(self) -> bool:
        """Whether every parity block is sound."""
        return all(block is not None for stripe in range(self.stripes.stripes) for block in self.beside(stripe))

    def is_sound(self, number: int, block: bytes) -> bool:
        """Whether block ``number`` of the pack has these bytes."""
        return xxhash.xxh3_64_intdigest(block) == int(self.checksums[number])

    def beside(self, stripe: int) -> Iterator[bytes | None]:
        """The parity blocks of a stripe; None for a damaged one."""
        cut = self.stripes
        for number in range(stripe * cut.code.parity, (stripe + 1) * cut.code.parity):
            block = self.parity[number * cut.block : (number + 1) * cut.block]
            yield block if self.is_sound(cut.count + number, block) else None
