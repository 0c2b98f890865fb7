"""safetensors, in one file or in shards with the index that Transformers reads.

The header's metadata has what the files that the tensors come from say beside them, and numbers and texts of the state.
A whole state in one file has its skeletons there, too, as when it is checked out: committing that file gives the state
again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from deltackpt.checkout.export import state_metadata
from deltackpt.checkout.fetch import Writable
from deltackpt.convert.beside import FileBeside
from deltackpt.convert.flat import FlatState, FlatTensor, Whole
from deltackpt.convert.said import FRAMEWORK, metadata_of, texts_of
from deltackpt.convert.shards import index_of, shard_names, shards
from deltackpt.formats.safetensors.writer import layout
from deltackpt.fs.disk import Disk
from deltackpt.fs.target import TargetFile
from deltackpt.fs.target_folder import TargetFolder

_NAME = "model"
_FILE_MODE = 0o644
_FOLDER_MODE = 0o755


def write(disk: Disk, state: FlatState, path: str, *, force: bool) -> int:
    """Write one file; returns its size. InvalidInputError for what safetensors cannot hold."""
    whole = state.whole
    tensors = state.tensors if whole is None else (*state.tensors, *whole.large)
    header, size = _header(tensors, _metadata(state) if whole is None else _metadata_of_whole(state, whole))
    with TargetFile(disk, path, size, force=force) as target:
        _fill(target, header, tensors)
        state.check_unchanged()
    return size


def write_shards(
    disk: Disk, state: FlatState, path: str, shard_bytes: int, *, force: bool, beside: Sequence[FileBeside] = ()
) -> int:
    """Write a folder of files with at most ``shard_bytes`` of tensors each, and their index where it takes several.

    A tensor larger than that has a file of its own; the files ``beside`` go into the folder, too. Returns the bytes of
    all files.
    """
    cut = list(shards(state.tensors, shard_bytes))
    metadata = _metadata(state)
    headers = [_header(shard, metadata) for shard in cut]
    names = shard_names(_NAME, len(cut), ".safetensors")
    index = index_of(dict(zip(names, cut, strict=True))) if len(cut) > 1 else b""
    size = sum(size for _, size in headers) + len(index) + sum(file.size for file in beside)
    with TargetFolder(disk, path, size, force=force) as target:
        now = time.time_ns()
        target.folder("", _FOLDER_MODE, now)
        for name, shard, (header, nbytes) in zip(names, cut, headers, strict=True):
            _fill(target.file(name, nbytes, _FILE_MODE, now), header, shard)
        for folder in sorted({os.path.dirname(file.name) for file in beside} - {""}):
            target.folder(folder, _FOLDER_MODE, now)
        for file in beside:
            target.file(file.name, file.size, _FILE_MODE, now).write_at(0, file.read())
        if index:
            target.file(f"{_NAME}.safetensors.index.json", len(index), _FILE_MODE, now).write_at(0, index)
        state.check_unchanged()
    return size


def _metadata_of_whole(state: FlatState, whole: Whole) -> dict[str, str]:
    return texts_of(metadata_of(state.plain(), "safetensors")) | state_metadata(whole.skeletons, {})


def _metadata(state: FlatState) -> dict[str, str]:
    framework = state.origin.metadata.get(FRAMEWORK, "pt")
    return texts_of({FRAMEWORK: framework, **metadata_of(state, "safetensors")})


def _header(tensors: Sequence[FlatTensor], metadata: dict[str, str]) -> tuple[bytes, int]:
    """The header, and the size of the whole file."""
    header, _ = layout([(one.name, one.dtype, one.shape) for one in tensors], metadata)
    return header, len(header) + sum(one.nbytes for one in tensors)


def _fill(target: Writable, header: bytes, tensors: Sequence[FlatTensor]) -> None:
    target.write_at(0, header)
    by_name = {one.name: one for one in tensors}
    _, spans = layout([(one.name, one.dtype, one.shape) for one in tensors], None)
    first = spans[0].offset if spans else 0
    for span in spans:
        target.write_at(len(header) + span.offset - first, by_name[span.name].read())
