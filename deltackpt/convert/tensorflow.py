"""A checkpoint of TensorFlow in a folder, by way of its own library: tensors by name, for ``tf.train.load_checkpoint``.

The library wants all tensors of a file at once. So each run of a bounded size is a shard of its own, and the shards
are merged into one checkpoint, which moves no data.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from deltackpt.convert.arrays import array_of, check_types
from deltackpt.convert.flat import FlatState, FlatTensor
from deltackpt.convert.library import library
from deltackpt.convert.names import check_names
from deltackpt.convert.shards import shards
from deltackpt.errors import StorageError
from deltackpt.formats.tensorflow.codes import TYPES
from deltackpt.formats.tensorflow.limits import MAX_NAME_BYTES
from deltackpt.fs.disk import Disk, storage_errors
from deltackpt.fs.target_folder import TargetFolder

_NAME = "model"
_PARTS = "parts"
_LIST = "checkpoint"
"""Where TensorFlow looks for the newest checkpoint of a folder, in the text form of its CheckpointState."""
_SHARD_BYTES = 64 << 20
_FOLDER_MODE = 0o755
_TYPES = frozenset(dtype.name for dtype in TYPES.values())


def write(disk: Disk, state: FlatState, path: str, *, force: bool) -> int:
    """Write the folder; returns the bytes of its files. InvalidInputError for types that TensorFlow does not have."""
    state.refuse_values("a TensorFlow checkpoint")
    check_names(state, "TensorFlow", MAX_NAME_BYTES)
    check_types(state, "TensorFlow has", _TYPES)
    # Last, since it takes seconds.
    tf = library("tensorflow", "a TensorFlow checkpoint")
    with TargetFolder(disk, path, state.nbytes, force=force) as target, storage_errors("writing", path):
        target.folder("", _FOLDER_MODE, time.time_ns())
        try:
            _write(tf, state, target.staged)
        except tf.errors.OpError as error:
            raise StorageError(f"writing {path!r} failed: {error.message}; nothing was written") from error
        size = target.take_in()
        state.check_unchanged()
    return size


def _write(tf: Any, state: FlatState, folder: str) -> None:
    prefixes = []
    for number, shard in enumerate(shards(state.tensors, _SHARD_BYTES)):
        prefixes.append(os.path.join(folder, _PARTS, str(number)))
        _save(tf, shard, prefixes[-1])
    prefix = os.path.join(folder, _NAME)
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=prefix, delete_old_dirs=True)
    with open(os.path.join(folder, _LIST), "w", encoding="ascii") as file:
        file.write(f'model_checkpoint_path: "{_NAME}"\nall_model_checkpoint_paths: "{_NAME}"\n')


def _save(tf: Any, tensors: Sequence[FlatTensor], prefix: str) -> None:
    os.makedirs(os.path.dirname(prefix), exist_ok=True)
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=[tensor.name for tensor in tensors],
        shape_and_slices=[""] * len(tensors),
        tensors=[tf.constant(array_of(tensor)) for tensor in tensors],
    )
