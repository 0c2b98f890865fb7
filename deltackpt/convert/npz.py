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

# Those of NumPy itself: of others, which ml_dtypes adds, its files tell the size alone.
_TYPES = frozenset(
    (
        *("float64", "float32", "float16", "complex64", "complex128", "bool"),
        *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)),
    )
)
_UNKNOWN = "NumPy's files have no {0}; convert it with --dtype fp32, or leave it out with --select"


def write(disk: Disk, state: FlatState, path: str, *, force: bool) -> int:
    """Write the archive; returns its size. InvalidInputError for types that NumPy's files do not have."""
    import numpy as np

    state.refuse_values("npz")
    for tensor in state.tensors:
        if is_unsafe(tensor.name):
            raise InvalidInputError(f"tensor {quoted(tensor.name)} cannot go into a file; rename it: {SAFE_NAME}")
        if tensor.dtype.name not in _TYPES:
            raise InvalidInputError(f"tensor {quoted(tensor.name)}: {_UNKNOWN.format(tensor.dtype)}")
    with TargetFile(disk, path, 0, force=force) as target:
        stream = TargetStream(target)
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for tensor in state.tensors:
                array = np.frombuffer(tensor.read(), tensor.dtype.name).reshape(tensor.shape)
                entry = zipfile.ZipInfo(f"{tensor.name}.npy")
                with archive.open(entry, "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
        state.check_unchanged()
    return stream.size
