"""The formats that are written, and which one the name of a file asks for."""

from __future__ import annotations

import os

from deltackpt.errors import InvalidInputError

HUGGING_FACE = "hf"
ONNX = "onnx"
FORMATS = ("safetensors", "pt", "gguf", ONNX, "tf", "zarr", "npz", HUGGING_FACE)
SHARDED = ("safetensors", ONNX, HUGGING_FACE)
QUANTISED = ("gguf",)
TENSORS_ONLY = ("tf", "npz")
"""Those without a place for numbers and texts."""
WHOLE = ("safetensors",)
"""Those that hold every value of a whole state, in one file."""

_BY_SUFFIX = {
    ".safetensors": "safetensors",
    **dict.fromkeys((".pt", ".pth", ".bin"), "pt"),
    ".gguf": "gguf",
    ".onnx": ONNX,
    ".zarr": "zarr",
    ".npz": "npz",
}


def format_of(path: str) -> str:
    """The format that a file's name asks for; InvalidInputError when it does not say."""
    found = _BY_SUFFIX.get(os.path.splitext(path)[1].lower())
    if found is None:
        raise InvalidInputError(f"{path!r} does not tell the format; name one with --format: {', '.join(FORMATS)}")
    return found
