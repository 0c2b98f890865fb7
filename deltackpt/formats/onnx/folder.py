"""A model among the files that hold its data."""

from __future__ import annotations

import posixpath

from deltackpt.formats.folder import Folder, FolderFormat, TensorsByFile
from deltackpt.formats.onnx.external import external_tensors
from deltackpt.formats.spans import TensorSpan


def read_tensors(folder: Folder, model: str) -> TensorsByFile:
    """The tensors of the model at ``model`` that are in other files. Tied ones, which share bytes, count once."""
    found: dict[str, dict[tuple[int, int], TensorSpan]] = {}
    with folder.open_file(model) as file:
        for tensor in external_tensors(file):
            path = posixpath.join(posixpath.dirname(model), tensor.location)
            tensors, span = found.setdefault(path, {}), tensor.span
            if span is not None:
                tensors.setdefault((span.offset, span.length), span)
    found.pop(model, None)
    return {path: list(tensors.values()) or None for path, tensors in found.items()}


ONNX_DATA = FolderFormat("onnx-data", lambda path: path.endswith(".onnx"), read_tensors)
