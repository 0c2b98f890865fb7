"""Arrays of zarr, whose chunks are files of their own, as the whole tensors that they are.

A chunk without a file holds the fill value, as zarr leaves out those that hold nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

from deltackpt.convert.flat import FlatTensor, Missing
from deltackpt.convert.held import HeldFile
from deltackpt.errors import FormatError, InvalidInputError
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import quoted, shown_path
from deltackpt.formats.zarr import version_2, version_3
from deltackpt.formats.zarr.folder import SHARDS
from deltackpt.formats.zarr.layout import ChunkLayout
from deltackpt.skeleton.boxes import Box
from deltackpt.skeleton.names import segment
from deltackpt.skeleton.nodes import Reference
from deltackpt.skeleton.view import View
from deltackpt.tensor.dtype import DTYPES, DType

_READERS = {"zarr.json": version_3.read_layout, ".zarray": version_2.read_layout}
_HALVES = {"complex64": "float32", "complex128": "float64"}
_UNREAD = "a zarr array whose chunks are compressed, or no plain numbers"

Places = Mapping[Reference, FlatTensor]
"""Tensors by their places in the tables."""


def whole_arrays(
    places: Places, files: Sequence[HeldFile], part: str | None
) -> tuple[list[FlatTensor], list[Missing], set[Reference]]:
    """Arrays put together from those tensors that are their chunks, arrays that cannot be, and the chunks used up."""
    arrays = {array.path: array for array in _described(files)}
    if arrays:
        for file in files:
            _take_chunk(arrays, file, places)
    chosen = [array for array in arrays.values() if part in (None, array.file.part)]
    whole = [array for array in chosen if array.layout is not None and None not in array.chunks.values()]
    missing = [Missing(one.name, shown_path(one.file.path), _UNREAD) for one in chosen if one.layout is None]
    return [array.tensor() for array in whole], missing, {one for array in whole for one in array.references}


@dataclass(slots=True)
class _Array:
    """``layout`` is None when its chunks are not plain; ``chunks`` are those that have a file, by their keys."""

    path: str
    file: HeldFile
    layout: ChunkLayout | None
    fill: bytes
    chunks: dict[str, FlatTensor | None] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The array's path, which is what zarr calls it."""
        return segment(self.path)

    def tensor(self) -> FlatTensor:
        """The whole array; of one that has a layout, and whose chunks are all known."""
        assert self.layout is not None
        layout = self.layout.plain
        placed = ((layout.place(key), chunk) for key, chunk in self.chunks.items())
        # An inner chunk may lie beyond the edge of the array.
        chunks = {place: chunk for place, chunk in placed if place is not None and chunk is not None}
        read = partial(_assembled, self.name, layout, chunks, self.fill)
        return FlatTensor(self.name, layout.dtype, layout.shape, read)


def _described(files: Iterable[HeldFile]) -> Iterable[_Array]:
    for file in files:
        folder, base = os.path.split(file.path)
        if base in _READERS:
            try:
                with file.open() as source:
                    found = _array(folder, file, source, base)
            except FormatError:
                continue  # which the notes of the file say
            if found is not None:
                yield found


def _array(folder: str, file: HeldFile, source: SourceFile, base: str) -> _Array | None:
    """The array that ``file`` describes; None for a group. One whose fill value is none of its type has no layout."""
    layout = _READERS[base](source)
    try:
        told = json.loads(source.read(0, source.size))
        if layout is None:
            return _Array(folder, file, None, b"") if told.get("node_type", "array") == "array" else None
        fill = _fill(told.get("fill_value"), layout.dtype)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return _Array(folder, file, None, b"")
    return _Array(folder, file, layout if len(fill) == layout.dtype.itemsize else None, fill)


def _take_chunk(arrays: Mapping[str, _Array], file: HeldFile, places: Places) -> None:
    """Note ``file`` with the array that it is a chunk of: the innermost above it."""
    folder = os.path.dirname(file.path)
    while folder not in arrays:
        if not folder:
            return
        folder = os.path.dirname(folder)
    array = arrays[folder]
    key = file.path.removeprefix(folder).removeprefix("/")
    if array.layout is not None and array.layout.place(key) is not None:
        array.chunks |= _chunks(array.layout, key, file, places)
        array.references += file.tensors


def _chunks(layout: ChunkLayout, key: str, file: HeldFile, places: Places) -> dict[str, FlatTensor | None]:
    """What stands in the file of the chunk with this ``key``, by the keys of its pieces; None for what is not known."""
    found = [places[one] for one in file.tensors if one in places]
    if file.entry.format == SHARDS:
        steps = 1 + len(layout.shape) if layout.separator == "/" else 1
        return {"/".join(tensor.name.split("/")[-steps:]): tensor for tensor in found}
    return {key: found[0] if len(found) == 1 and layout.sharding is None else None}


def _fill(told: Any, dtype: DType) -> bytes:
    """The bytes of one element by the JSON of a fill value."""
    if isinstance(told, str) and told.startswith("0x"):
        return int(told, 16).to_bytes(dtype.itemsize, "little")
    if isinstance(told, list):
        return b"".join(_fill(half, DTYPES[_HALVES[dtype.name]]) for half in told)
    import numpy as np

    from deltackpt.skeleton.numpy_build import type_of_table

    return (
        np.array(float(told) if isinstance(told, str) else 0 if told is None else told)
        .astype(type_of_table(dtype))
        .tobytes()
    )


def _assembled(name: str, layout: ChunkLayout, chunks: Mapping[tuple[int, ...], FlatTensor], fill: bytes) -> memoryview:
    """All bytes of an array; one chunk is held beside it."""
    # Imported here because NumPy costs a tenth of a second that light commands must not pay.
    from deltackpt.skeleton.strided import gather, scatter

    whole, chunk = View(layout.dtype, layout.shape), View(layout.dtype, layout.chunk_shape)
    try:
        memory = memoryview(bytearray(fill) * prod(layout.shape) if any(fill) else bytearray(whole.nbytes))
    except (MemoryError, OverflowError):
        raise InvalidInputError(
            f"tensor {quoted(name)}: no memory for an array of {whole.nbytes} bytes; leave it out with --select"
        ) from None
    for place, held in chunks.items():
        starts = tuple(at * step for at, step in zip(place, layout.chunk_shape, strict=True))
        ends = zip(starts, layout.chunk_shape, layout.shape, strict=True)
        box = Box(starts, tuple(min(start + step, extent) for start, step, extent in ends))
        inner = Box((0,) * len(starts), box.shape).of(chunk)
        scatter(memoryview(gather(held.read(), inner)), box.of(whole), memory)
    return memory
