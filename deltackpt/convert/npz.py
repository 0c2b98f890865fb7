"""NumPy's archive of arrays, not compressed."""

from __future__ import annotations

import zipfile

from deltackpt.convert.arrays import NUMPY_TYPES, array_of, check_types
from deltackpt.convert.flat import FlatState
from deltackpt.convert.names import check_names
from deltackpt.convert.stream import TargetStream
from deltackpt.formats.npy.archive import SUFFIX
from deltackpt.formats.zips.limits import MAX_NAME_BYTES
from deltackpt.fs.disk import Disk
from deltackpt.fs.target import TargetFile


def write(disk: Disk, state: FlatState, path: str, *, force: bool) -> int:
    """Write the archive; returns its size. InvalidInputError for types that NumPy's files do not have."""
    import numpy as np

    state.refuse_values("npz")
    check_names(state, "npz", MAX_NAME_BYTES - len(SUFFIX))
    # Of a type that ml_dtypes adds, NumPy's files tell the size alone.
    check_types(state, "NumPy's files have", NUMPY_TYPES)
    with TargetFile(disk, path, 0, force=force) as target:
        stream = TargetStream(target)
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for tensor in state.tensors:
                entry = zipfile.ZipInfo(f"{tensor.name}{SUFFIX}")
                with archive.open(entry, "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array_of(tensor), allow_pickle=False)
        state.check_unchanged()
    return stream.size
