"""What the name of a file says about its format."""

from __future__ import annotations

import os

_BY_SUFFIX = {
    ".safetensors": "safetensors",
    **dict.fromkeys((".pt", ".pth", ".bin"), "pt"),
    ".gguf": "gguf",
    ".onnx": "onnx",
    ".zarr": "zarr",
    ".npz": "npz",
}


def told_by(path: str) -> str | None:
    """The format that a file's name asks for, if it does."""
    return _BY_SUFFIX.get(os.path.splitext(path)[1].lower())
