"""GGUF in one file or in shards, by way of its own library.

Keys of GGUF files that the tensors come from are taken over. Where there are none, ``general.architecture``, which the
format requires, is the ``model_type`` of the model's configuration, or else ``unknown``.
"""

from __future__ import annotations

import json
import logging
import os
import time
from contextlib import closing
from typing import Any

from deltackpt.convert.arrays import check_types
from deltackpt.convert.flat import VALUES, FlatState, FlatTensor
from deltackpt.convert.gguf_keys import ARCHITECTURE, UNKNOWN
from deltackpt.convert.library import library
from deltackpt.convert.names import check_names
from deltackpt.convert.said import METADATA, unframed
from deltackpt.convert.shards import shards
from deltackpt.errors import InvalidInputError
from deltackpt.formats.gguf.codes import ARRAY, STRING, TENSOR_TYPES
from deltackpt.formats.gguf.limits import MAX_RANK
from deltackpt.formats.gguf.metadata import ALIGNMENT_KEY
from deltackpt.formats.gguf.values import Keys, Value
from deltackpt.formats.wording import quoted
from deltackpt.fs.disk import Disk, storage_errors
from deltackpt.fs.target import TargetFile
from deltackpt.fs.target_folder import TargetFolder

_NAME = "model.gguf"
_FOLDER_MODE = 0o755
_MAX_SHARDS = (1 << 16) - 1
"""Their number stands in 16 bits."""

# The format says 64, and its C library counts the zero byte that ends a name.
MAX_NAME_BYTES = 63
_NUMBERS = {dtype.name: number for number, dtype in TENSOR_TYPES.items()}

_log = logging.getLogger("deltackpt")


def write(disk: Disk, state: FlatState, path: str, *, force: bool) -> int:
    """Write the file; returns its size. InvalidInputError for types, names and dimensions that GGUF does not have."""
    gguf = library("gguf", "GGUF")
    keys = _checked_keys(state)
    with TargetFile(disk, path, state.nbytes, force=force) as target, storage_errors("writing", path):
        _write(gguf, gguf.GGUFWriter(target.staged, _architecture(state, keys)), state, keys)
        state.check_unchanged()
        return target.size


def write_shards(disk: Disk, state: FlatState, path: str, shard_bytes: int, *, force: bool) -> int:
    """Write a folder with ``model.gguf``, or with several files of at most ``shard_bytes`` of tensors.

    They are what llama.cpp splits a model into: the first has the keys, each its number, and programs are given the
    first. A larger tensor has a file of its own. Returns the bytes of all files.
    """
    gguf = library("gguf", "GGUF")
    # Files after the first have no key that could tell another alignment than the format's own.
    keys = {key: value for key, value in _checked_keys(state).items() if key != ALIGNMENT_KEY.decode()}
    if sum(1 for _ in shards(state.tensors, shard_bytes)) > _MAX_SHARDS:
        raise InvalidInputError(f"GGUF has {_MAX_SHARDS} shards at most; choose larger ones")
    with TargetFolder(disk, path, state.nbytes, force=force) as target, storage_errors("writing", path):
        target.folder("", _FOLDER_MODE, time.time_ns())
        staged = os.path.join(target.staged, _NAME)
        _write(gguf, gguf.GGUFWriter(staged, _architecture(state, keys), split_max_size=shard_bytes), state, keys)
        size = target.take_in()
        state.check_unchanged()
    return size


def _checked_keys(state: FlatState) -> dict[str, Value]:
    """The keys of the file, once it is known that GGUF takes everything."""
    values, origin = state.values_text("GGUF"), state.origin
    check_names(state, "GGUF", MAX_NAME_BYTES)
    check_types(state, "GGUF has", _NUMBERS)
    _check_ranks(state)
    if origin.no_keys is not None:
        raise origin.no_keys
    metadata = unframed(origin.metadata)
    told = {METADATA: json.dumps(metadata) if metadata else None, VALUES: values}
    return {**origin.keys, **{key: Value(STRING, text.encode()) for key, text in told.items() if text is not None}}


def _write(gguf: Any, writer: Any, state: FlatState, keys: Keys) -> None:
    import numpy as np

    with closing(writer):
        _add_keys(gguf, writer, keys)
        for tensor in state.tensors:
            _add_info(gguf, writer, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in state.tensors:
            writer.write_tensor_data(np.frombuffer(tensor.read(), np.uint8))
        writer.flush()


def _check_ranks(state: FlatState) -> None:
    for tensor in state.tensors:
        if len(tensor.shape) > MAX_RANK:
            raise InvalidInputError(
                f"tensor {quoted(tensor.name)} has {len(tensor.shape)} dimensions, GGUF has {MAX_RANK} at most;"
                " reshape it, or leave it out with --select"
            )


def _architecture(state: FlatState, keys: Keys) -> str:
    if (known := keys.get(ARCHITECTURE)) is not None and isinstance(known.content, bytes):
        return known.content.decode(errors="replace") or UNKNOWN
    config = state.origin.config()
    told = config.get("model_type") if isinstance(config, dict) else None
    return told if isinstance(told, str) and told else UNKNOWN


def _add_keys(gguf: Any, writer: Any, keys: Keys) -> None:
    for key, value in keys.items():
        if key == ALIGNMENT_KEY.decode():
            writer.add_custom_alignment(value.content)
        elif key != ARCHITECTURE and _has_items(key, value):
            kind, item_kind = value.kind, value.item_kind
            inner = None if item_kind is None else gguf.GGUFValueType(item_kind)
            writer.add_key_value(key, value.content, gguf.GGUFValueType(kind), inner)


def _has_items(key: str, value: Value) -> bool:
    if value.kind == ARRAY and not value.content:
        _log.warning("key %s is an empty array, which GGUF's library does not write; left out", quoted(key))
        return False
    return True


def _add_info(gguf: Any, writer: Any, tensor: FlatTensor) -> None:
    """What the file says of a tensor; of blocks, the library wants the number of values."""
    import numpy as np

    *rows, last = tensor.shape or (1,)
    shape = (*rows, last * (tensor.dtype.block_values or 1)) if tensor.shape else ()
    kind = gguf.GGMLQuantizationType(_NUMBERS[tensor.dtype.name])
    # The NumPy type counts for nothing beside ``raw_dtype``, unless it is uint8.
    writer.add_tensor_info(tensor.name, shape, np.dtype(np.float32), tensor.nbytes, raw_dtype=kind)
