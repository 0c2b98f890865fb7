"""The description of an array among the files of its chunks."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter

from deltackpt.errors import FormatError, LimitError, UnsafeError
from deltackpt.formats.folder import Folder, FolderFormat, TensorsByFile
from deltackpt.formats.holes import filled
from deltackpt.formats.names import SAFE_NAME, is_unsafe
from deltackpt.formats.reading import Reading
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan
from deltackpt.formats.wording import complaint, quoted, shown_path
from deltackpt.formats.zarr import version_2, version_3
from deltackpt.formats.zarr.layout import ChunkLayout
from deltackpt.formats.zarr.limits import MAX_CHUNKS, MAX_NAME_BYTES
from deltackpt.formats.zarr.shard import inner_chunks

SHARDS = "zarr-shards"
"""The format of a file of inner chunks."""

_Read = Callable[[SourceFile], ChunkLayout | None]


def _format(name: str, description: str, group: str, read_layout: _Read) -> FolderFormat:
    """``description`` describes an array, ``group`` a folder of arrays."""

    def is_description(path: str) -> bool:
        return posixpath.basename(path) == description

    def read_tensors(folder: Folder, path: str) -> TensorsByFile:
        with folder.open_file(path) as file:
            layout = read_layout(file)
        if layout is None:
            return {}
        array = posixpath.dirname(path)
        return _chunks(folder, array, layout, _hierarchy(folder, array, group))

    return FolderFormat(name, is_description, read_tensors)


def _hierarchy(folder: Folder, array: str, group: str) -> str:
    """The outermost folder that the array belongs to: all on the way up to it are groups."""
    top = array
    while top and posixpath.join(posixpath.dirname(top), group) in folder.sizes:
        top = posixpath.dirname(top)
    return top


def _chunks(folder: Folder, array: str, layout: ChunkLayout, top: str) -> TensorsByFile:
    """What stands in the file of each chunk; named by its path within the hierarchy, as its key is."""
    below = f"{array}/" if array else ""
    found: dict[str, Sequence[TensorSpan] | Reading] = {}
    count = 0

    def name(key: str) -> str:
        return (below + key)[len(top) + 1 if top else 0 :]

    for path in folder.beginning(below + "".join(layout.prefix)):
        if (place := layout.place(path[len(below) :])) is not None:
            tensors = list(_tensors(folder, path, layout, place, name))
            if (count := count + len(tensors)) > MAX_CHUNKS:
                text = complaint(shown_path(path), "the chunks", 0, f"at most {MAX_CHUNKS} in an array", "more")
                raise LimitError(text)
            found[path] = tensors if layout.sharding is None else _shard(folder, path, tensors)
    return found


def _shard(folder: Folder, path: str, tensors: Iterable[TensorSpan]) -> Reading:
    spans = filled(sorted(tensors, key=attrgetter("offset", "length")), folder.sizes[path], shown_path(path))
    return Reading(SHARDS, spans)


def _tensors(
    folder: Folder, path: str, layout: ChunkLayout, place: tuple[int, ...], name: Callable[[str], str]
) -> Iterator[TensorSpan]:
    """The chunk in the file at ``path``, or its inner chunks."""
    if layout.sharding is None:
        _check_size(folder, path, layout)
        found = [TensorSpan(name(layout.key(place)), layout.dtype, layout.chunk_shape, 0, layout.plain_bytes)]
    else:
        with folder.open_file(path) as file:
            found = list(inner_chunks(file, layout, layout.sharding, place, name))
    for span in found:
        _check_name(path, span.name)
        yield span


def _check_size(folder: Folder, path: str, layout: ChunkLayout) -> None:
    size = folder.sizes[path]
    if size != layout.plain_bytes:
        expected = f"{layout.plain_bytes} bytes for {layout.dtype} {list(layout.chunk_shape)}"
        raise FormatError(complaint(shown_path(path), "the end of the chunk", size, expected, str(size)))


def _check_name(path: str, name: str) -> None:
    what = "the name of a chunk"
    if is_unsafe(name):
        raise UnsafeError(complaint(shown_path(path), what, 0, SAFE_NAME, quoted(name)))
    try:
        nbytes = len(name.encode())
    except UnicodeEncodeError:
        raise FormatError(complaint(shown_path(path), what, 0, "UTF-8", quoted(name))) from None
    if nbytes > MAX_NAME_BYTES:
        raise LimitError(complaint(shown_path(path), what, 0, f"at most {MAX_NAME_BYTES} bytes", str(nbytes)))


ZARR_V3 = _format("zarr", "zarr.json", "zarr.json", version_3.read_layout)
ZARR_V2 = _format("zarr-2", ".zarray", ".zgroup", version_2.read_layout)
