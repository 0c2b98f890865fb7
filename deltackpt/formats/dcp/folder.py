"""The metadata of a folder of torch.distributed.checkpoint among the files that it describes."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from deltackpt.formats.dcp.metadata import Item, read_metadata, recognises
from deltackpt.formats.dcp.shard import NAME, read_shard
from deltackpt.formats.folder import Folder, FolderFormat, TensorsByFile
from deltackpt.formats.pickles.limits import MAX_PICKLE_BYTES
from deltackpt.formats.reading import Reading

_HEAD_BYTES = 512


def read_tensors(folder: Folder, metadata: str) -> TensorsByFile:
    """Each file that the metadata names, read with its items; nothing for metadata that is something else."""
    with folder.open_file(metadata) as file:
        if not recognises(file.read(0, min(file.size, _HEAD_BYTES))):
            return {}
        items = read_metadata(file.read(0, min(file.size, MAX_PICKLE_BYTES + 1)), file.name)
    by_file: dict[str, list[Item]] = {}
    for item in items:
        by_file.setdefault(posixpath.join(posixpath.dirname(metadata), item.file), []).append(item)
    return {path: _shard(folder, path, held) for path, held in by_file.items()}


def _shard(folder: Folder, path: str, held: Sequence[Item]) -> Reading | None:
    place = folder.place(path)
    if place is None:
        return None
    with folder.open_file(place) as file:
        return read_shard(file, held)


DCP = FolderFormat(NAME, lambda path: posixpath.basename(path) == ".metadata", read_tensors)
