"""The index of a model that is cut into several files: JSON that says which file holds each tensor.

``model.safetensors.index.json``, ``pytorch_model.bin.index.json`` and their kin. Each file says itself what is in it.
"""

from __future__ import annotations

import posixpath

import msgspec

from deltackpt.errors import UnsafeError
from deltackpt.formats.folder import Folder, FolderFormat, TensorsByFile
from deltackpt.formats.names import SAFE_NAME, is_unsafe
from deltackpt.formats.wording import complaint, quoted

MAX_INDEX_BYTES = 32 << 20
"""That of a model with 90,000 tensors has 9 MB."""


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def read_tensors(folder: Folder, index: str) -> TensorsByFile:
    """The files of the model; nothing for JSON that is something else. UnsafeError for a file elsewhere."""
    with folder.open_file(index) as file:
        if file.size > MAX_INDEX_BYTES:
            return {}
        try:
            files = set(msgspec.json.decode(file.read(0, file.size), type=_Index).weight_map.values())
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return {}
        for path in files:
            if is_unsafe(path):
                raise UnsafeError(complaint(file.name, "the file of a tensor", 0, SAFE_NAME, quoted(path)))
    return {posixpath.join(posixpath.dirname(index), path): None for path in sorted(files)}


SHARD_INDEX = FolderFormat("shard index", lambda path: path.endswith(".index.json"), read_tensors)
