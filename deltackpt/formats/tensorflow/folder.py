"""The index of a checkpoint among the files that hold its data."""

from __future__ import annotations

from deltackpt.formats.folder import Folder, FolderFormat, TensorsByFile
from deltackpt.formats.spans import TensorSpan
from deltackpt.formats.tensorflow.bundle import read_bundle
from deltackpt.formats.tensorflow.table import is_table

_SUFFIX = ".index"


def read_tensors(folder: Folder, index: str) -> TensorsByFile:
    """The tensors in the ``.data-`` files beside ``index``; nothing for what is no table and has no such files."""
    prefix = index.removesuffix(_SUFFIX)
    found: dict[str, list[TensorSpan]] = {}
    with folder.open_file(index) as file:
        if not is_table(file) and not any(folder.beginning(f"{prefix}.data-")):
            return {}
        for tensor in read_bundle(file):
            path = f"{prefix}.data-{tensor.shard:05d}-of-{tensor.shards:05d}"
            found.setdefault(path, []).append(tensor.span)
    return found


TENSORFLOW = FolderFormat("tensorflow", lambda path: path.endswith(_SUFFIX), read_tensors)
