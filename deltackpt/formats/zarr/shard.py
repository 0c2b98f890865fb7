"""A file of inner chunks: the codec ``sharding_indexed`` of version 3, version 1.0 of its specification.

The index, before or behind the chunks, has an offset and a length for each inner chunk in row-major order, as unsigned
numbers of eight bytes; both are all ones for one that is not there, whose elements have the fill value.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import product
from math import prod

from deltackpt.errors import FormatError
from deltackpt.formats.crc32c import crc32c
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan
from deltackpt.formats.wording import complaint
from deltackpt.formats.zarr.layout import ChunkLayout, Sharding

_ENTRY = struct.Struct("<QQ")
_CHECKSUM_BYTES = 4
_ABSENT = ((1 << 64) - 1, (1 << 64) - 1)


def inner_chunks(
    file: SourceFile, layout: ChunkLayout, sharding: Sharding, place: tuple[int, ...], name: Callable[[str], str]
) -> Iterator[TensorSpan]:
    """The inner chunks of the chunk at ``place``, which is all of ``file``.

    Each has the key that it would have in an array of such chunks; ``name`` makes a name of that. Whether they overlap,
    or reach past the end, is for the caller to see.
    """
    grid = layout.inner_grid
    entries = _ENTRY.iter_unpack(_index(file, prod(grid), sharding))
    for at, (within, entry) in enumerate(zip(product(*map(range, grid)), entries, strict=True)):
        if entry == _ABSENT:
            continue
        offset, length = entry
        if length != layout.plain_bytes:
            what = f"inner chunk {at} of the index"
            expected = f"{layout.plain_bytes} bytes for {layout.dtype} {list(layout.plain_shape)}"
            raise FormatError(complaint(file.name, what, min(offset, file.size), expected, str(length)))
        inner = tuple(outer * count + one for outer, count, one in zip(place, grid, within, strict=True))
        yield TensorSpan(name(layout.key(inner)), layout.dtype, layout.plain_shape, offset, length)


def _index(file: SourceFile, count: int, sharding: Sharding) -> bytes:
    """The entries of ``count`` inner chunks; FormatError when the checksum is not theirs."""
    size = count * _ENTRY.size
    whole = size + (_CHECKSUM_BYTES if sharding.has_checksum else 0)
    if whole > file.size:
        expected = f"at least {whole} bytes for {count} inner chunks"
        raise FormatError(complaint(file.name, "the index", 0, expected, str(file.size)))
    start = 0 if sharding.index_first else file.size - whole
    raw = file.read(start, whole)
    index, checksum = raw[:size], raw[size:]
    if checksum and (found := crc32c(index)) != int.from_bytes(checksum, "little"):
        expected = f"CRC-32C {int.from_bytes(checksum, 'little'):08x}"
        raise FormatError(complaint(file.name, "the index", start, expected, f"{found:08x}"))
    return index
