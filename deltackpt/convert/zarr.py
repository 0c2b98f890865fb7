"""A folder of zarr, version 3, by way of its own library: an array for each tensor, in groups by the slashes of names.

Each array is one chunk of plain bytes, not compressed. Attributes of the outermost group are what the files that the
tensors come from say beside them, and numbers and texts of the state.
"""

from __future__ import annotations

import time
from typing import Any

from deltackpt.convert.arrays import NUMPY_TYPES, array_of, check_types
from deltackpt.convert.flat import FlatState, FlatTensor
from deltackpt.convert.library import library
from deltackpt.convert.names import check_names
from deltackpt.convert.said import metadata_of
from deltackpt.errors import InvalidInputError
from deltackpt.formats.wording import quoted
from deltackpt.formats.zarr.limits import MAX_NAME_BYTES
from deltackpt.fs.disk import Disk, storage_errors
from deltackpt.fs.target_folder import TargetFolder

_FOLDER_MODE = 0o755
_MAX_STEP_BYTES = 255
_NO_STEPS = frozenset({"", ".", "zarr.json"})
_RESERVED = "__"
_STEP = "a zarr name is steps between single slashes, none '.', 'zarr.json', beginning with '__' or over 255 bytes"


def write(disk: Disk, state: FlatState, path: str, *, force: bool) -> int:
    """Write the folder; returns the bytes of its files. InvalidInputError for types and names that zarr lacks."""
    zarr = library("zarr", "zarr")
    attributes = metadata_of(state, "zarr")
    check_names(state, "zarr", MAX_NAME_BYTES)
    _check_steps(state)
    check_types(state, "zarr has", NUMPY_TYPES)
    with TargetFolder(disk, path, state.nbytes, force=force) as target, storage_errors("writing", path):
        target.folder("", _FOLDER_MODE, time.time_ns())
        root = zarr.create_group(zarr.storage.LocalStore(target.staged), zarr_format=3, attributes=attributes)
        for tensor in state.tensors:
            _add(root, tensor)
        size = target.take_in()
        state.check_unchanged()
    return size


def _add(root: Any, tensor: FlatTensor) -> None:
    array = root.create_array(
        tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype.name,
        chunks=tuple(max(extent, 1) for extent in tensor.shape),
        compressors=None,
        filters=None,
        # Otherwise a chunk of zeros has no file.
        config={"write_empty_chunks": True},
    )
    if tensor.nbytes:
        array[...] = array_of(tensor)


def _check_steps(state: FlatState) -> None:
    names = {tensor.name for tensor in state.tensors}
    for name in names:
        steps = name.split("/")
        if "\\" in name or any(map(_is_no_step, steps)):
            raise InvalidInputError(f"tensor {quoted(name)}: {_STEP}; change it with --rename")
        for end in range(1, len(steps)):
            if (above := "/".join(steps[:end])) in names:
                raise InvalidInputError(
                    f"tensor {quoted(name)} would lie within tensor {quoted(above)}, and zarr has no arrays in arrays;"
                    " rename one with --rename"
                )


def _is_no_step(step: str) -> bool:
    return step in _NO_STEPS or step.startswith(_RESERVED) or len(step.encode()) > _MAX_STEP_BYTES
