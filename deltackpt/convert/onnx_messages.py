"""The messages of an ONNX model that holds tensors and has no nodes, without the tensors' data.

Its properties are what the files that the tensors come from say beside them, and numbers and texts of the state.
"""

from __future__ import annotations

from typing import Any

from deltackpt.convert.flat import FlatState, FlatTensor
from deltackpt.convert.names import check_names
from deltackpt.convert.said import metadata_of, texts_of
from deltackpt.errors import InvalidInputError
from deltackpt.formats.onnx.codes import written_as
from deltackpt.formats.onnx.limits import MAX_NAME_BYTES
from deltackpt.formats.wording import quoted

NAME = "deltackpt"
"""Of the producer and of the graph."""


def model_of(onnx: Any, state: FlatState) -> Any:
    """The ``ModelProto`` without initializers. InvalidInputError for types and names that ONNX does not have."""
    told = texts_of(metadata_of(state, "ONNX"))
    check_names(state, "ONNX", MAX_NAME_BYTES)
    for tensor in state.tensors:
        if written_as(tensor.dtype, tensor.shape) is None:
            form = f"{tensor.dtype} {list(tensor.shape)}"
            raise InvalidInputError(f"tensor {quoted(tensor.name)}: ONNX has no {form}; leave it out with --select")
    model = onnx.helper.make_model(onnx.helper.make_graph([], NAME, [], []), producer_name=NAME)
    onnx.helper.set_model_props(model, told)
    return model


def tensor_of(onnx: Any, tensor: FlatTensor) -> Any:
    """The ``TensorProto`` without data."""
    form = written_as(tensor.dtype, tensor.shape)
    assert form is not None
    number, dims = form
    return onnx.TensorProto(name=tensor.name, data_type=number, dims=dims)
