"""Reading the JSON of an array, of which only the known fields are built, whatever else stands there."""

from __future__ import annotations

from math import prod
from typing import TypeVar

import msgspec

from deltackpt.errors import FormatError, LimitError
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import complaint
from deltackpt.formats.zarr.layout import ChunkLayout
from deltackpt.formats.zarr.limits import MAX_CHUNK_BYTES, MAX_INNER_CHUNKS, MAX_METADATA_BYTES, MAX_RANK

T = TypeVar("T", bound=msgspec.Struct)


def read_json(file: SourceFile) -> bytes:
    if file.size > MAX_METADATA_BYTES:
        expected = f"at most {MAX_METADATA_BYTES}"
        raise LimitError(complaint(file.name, "the size of the metadata", 0, expected, str(file.size)))
    return file.read(0, file.size)


def decoded(file: SourceFile, text: bytes, kind: type[T]) -> T:
    """``text`` as a ``kind``; LimitError when it nests too deeply."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise refusal(file, "the JSON of an array", ascii(str(error))[1:-1]) from None
    except RecursionError:
        expected = "JSON that nests less deeply"
        raise LimitError(complaint(file.name, "the metadata", 0, expected, "the limit of the interpreter")) from None


def checked(file: SourceFile, layout: ChunkLayout) -> ChunkLayout:
    """``layout``, whose shapes came from ``file``; FormatError when they cannot be."""
    shape, chunks = layout.shape, layout.chunk_shape
    if len(shape) > MAX_RANK:
        raise LimitError(complaint(file.name, "shape", 0, f"at most {MAX_RANK} dimensions", str(len(shape))))
    if len(shape) != len(chunks):
        raise refusal(file, f"a chunk shape of {len(shape)} dimensions", f"{len(chunks)}")
    if any(extent < 0 for extent in shape) or any(step < 1 for step in chunks):
        raise refusal(file, "no extent below 0, and none of a chunk below 1", f"{list(shape)} in {list(chunks)}")
    if prod(chunks) * layout.dtype.itemsize > MAX_CHUNK_BYTES or prod(filter(None, shape)) > MAX_CHUNK_BYTES:
        expected, found = f"at most {MAX_CHUNK_BYTES} bytes", f"{list(shape)} in {list(chunks)}"
        raise LimitError(complaint(file.name, "shape", 0, expected, found))
    if layout.sharding is not None:
        _check_inner(file, chunks, layout.sharding.chunk_shape)
    return layout


def _check_inner(file: SourceFile, chunks: tuple[int, ...], inner: tuple[int, ...]) -> None:
    if len(chunks) != len(inner) or any(step < 1 or extent % step for extent, step in zip(chunks, inner, strict=True)):
        raise refusal(file, f"inner chunks that divide {list(chunks)}", str(list(inner)))
    if (count := prod(chunks) // prod(inner)) > MAX_INNER_CHUNKS:
        expected = f"at most {MAX_INNER_CHUNKS} in a file"
        raise LimitError(complaint(file.name, "the inner chunks", 0, expected, str(count)))


def refusal(file: SourceFile, expected: str, found: str) -> FormatError:
    return FormatError(complaint(file.name, "the metadata", 0, expected, found))
