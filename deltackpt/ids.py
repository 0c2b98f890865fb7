"""Identities. Four kinds that must never be swapped, so each is a type of its own.

All are raw bytes with a hexadecimal face: ``str(id)`` is the whole hex string, ``id.short`` the first
twelve digits, which is what people are shown.
"""

from __future__ import annotations

import os
from typing import ClassVar, Self

from blake3 import blake3

SHORT_DIGITS = 12


class _Id(bytes):
    """Fixed-length identity; the constructor refuses any other length."""

    size: ClassVar[int]
    __slots__ = ()

    def __new__(cls, raw: bytes | memoryview) -> Self:
        self = super().__new__(cls, raw)
        if len(self) != cls.size:
            raise ValueError(f"{cls.__name__} is {cls.size} bytes, got {len(self)}")
        return self

    @classmethod
    def from_hex(cls, text: str) -> Self:
        return cls(bytes.fromhex(text))

    @property
    def short(self) -> str:
        return self.hex()[:SHORT_DIGITS]

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.short})"


class ChunkId(_Id):
    """BLAKE3-256 of a chunk's plain bytes: equal ids mean equal bytes, whatever the encoding."""

    size = 32
    __slots__ = ()

    @classmethod
    def of(cls, plain: bytes | memoryview) -> Self:
        return cls(blake3(plain).digest())


class CommitId(_Id):
    """BLAKE3-256 of a commit object; the same bytes are the chunk id under which it is stored."""

    size = 32
    __slots__ = ()


INLINE_MARK = b"\xff"


class PackId(_Id):
    """Random name of a pack. Not a hash: a pack whose name was condemned is written again under a new one.

    One that begins with ``INLINE_MARK`` stands for the inline bytes of a log record.
    """

    size = 16
    __slots__ = ()

    @classmethod
    def new(cls) -> Self:
        while (raw := os.urandom(cls.size))[:1] == INLINE_MARK:
            continue
        return cls(raw)


class EpochId(_Id):
    """Random name of an epoch of the log. Never used again, so nobody can find a closed epoch open."""

    size = 7
    __slots__ = ()

    @classmethod
    def new(cls) -> Self:
        return cls(os.urandom(cls.size))
