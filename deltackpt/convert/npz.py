"""NumPy's archive of arrays, not compressed."""

from __future__ import annotations

import zipfile

from deltackpt.convert.flat import FlatState
from deltackpt.convert.stream import TargetStream
from deltackpt.errors import InvalidInputError
from deltackpt.formats.names import SAFE_NAME, is_unsafe
from deltackpt.formats.wording import quoted
from deltackpt.fs.disk import Disk
from deltackpt.fs.target import TargetFile

_UNKNOWN = "NumPy's files have no {0}; convert it with --dtype fp32, or leave it out with --select"


def write(disk: Disk, state: FlatState, path: str, *, force: bool) -> int:
    """Write the archive; returns its size. InvalidInputError for types that NumPy's files do not have."""
    import numpy as np

    state.refuse_values("npz")
    types = {}
    for tensor in state.tensors:
        if is_unsafe(tensor.name):
            raise InvalidInputError(f"tensor {quoted(tensor.name)} cannot go into a file; rename it: {SAFE_NAME}")
        try:
            types[tensor.name] = np.dtype(tensor.dtype.name)
        except TypeError:
            raise InvalidInputError(f"tensor {quoted(tensor.name)}: {_UNKNOWN.format(tensor.dtype)}") from None
    with TargetFile(disk, path, 0, force=force) as target:
        stream = TargetStream(target)
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for tensor in state.tensors:
                array = np.frombuffer(tensor.read(), types[tensor.name]).reshape(tensor.shape)
                entry = zipfile.ZipInfo(f"{tensor.name}.npy")
                with archive.open(entry, "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
        state.check_unchanged()
    return stream.size
