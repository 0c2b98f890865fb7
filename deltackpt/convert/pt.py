"""PyTorch's file: a dict of tensors, numbers and texts by name, which ``torch.load`` loads with ``weights_only``.

Tensors are laid out in a file without a name first, and mapped: ``torch.save`` wants all of them at once, and this way
they are pages that the system can take back.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

from deltackpt.convert.flat import FlatState, FlatTensor
from deltackpt.convert.library import library
from deltackpt.convert.stream import TargetStream
from deltackpt.errors import InvalidInputError
from deltackpt.formats.wording import quoted
from deltackpt.fs.disk import Disk, storage_errors
from deltackpt.fs.target import TargetFile

_ALIGNMENT = 64


def write(disk: Disk, state: FlatState, path: str, *, force: bool) -> int:
    """Write the file; returns its size. It takes as much room again while it is written."""
    torch = library("torch", "a PyTorch file")
    state.refuse_nodes("a PyTorch file of weights")
    for tensor in state.tensors:
        if not hasattr(torch, tensor.dtype.name):
            raise InvalidInputError(
                f"tensor {quoted(tensor.name)}: this PyTorch has no {tensor.dtype}; upgrade PyTorch"
            )
    with TargetFile(disk, path, 0, force=force) as target:
        stream = TargetStream(target)
        folder = os.path.dirname(os.path.abspath(path))
        with storage_errors("writing beside", path), tempfile.TemporaryFile(dir=folder) as held:
            tensors = {tensor.name: _mapped(torch, held, tensor) for tensor in state.tensors}
            state.check_unchanged()
            torch.save({**tensors, **state.values}, stream)
    return stream.size


def _mapped(torch: Any, held: Any, tensor: FlatTensor) -> Any:
    import numpy as np

    kind = getattr(torch, tensor.dtype.name)
    if not tensor.nbytes:
        return torch.empty(tensor.shape, dtype=kind)
    start = -(-held.seek(0, os.SEEK_END) // _ALIGNMENT) * _ALIGNMENT
    held.seek(start)
    held.write(tensor.read())
    held.flush()
    mapped = np.memmap(held, np.uint8, "r+", start, (tensor.nbytes,))
    return torch.from_numpy(mapped).view(kind).reshape(tensor.shape)
