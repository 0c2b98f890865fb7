"""The formats that are written, and which one the name of a file asks for."""

from __future__ import annotations

import os

from deltackpt.errors import InvalidInputError
from deltackpt.formats.suffixes import told_by

HUGGING_FACE = "hf"
FORMATS = ("safetensors", "pt", "gguf", "onnx", "tf", "zarr", "npz", HUGGING_FACE)
UNSHARDED = {
    "npz": "an archive of NumPy is one file; choose safetensors or pt, or leave the size out",
    "zarr": "zarr has a file for each array as it is; leave the size out",
    "tf": "a TensorFlow checkpoint is cut into files as it is; leave the size out",
}
"""Why there is no size of shards to choose."""
QUANTISED = ("gguf",)
TENSORS_ONLY = ("tf", "npz")
"""Those without a place for numbers and texts."""
WITHOUT_METADATA = ("pt", *TENSORS_ONLY)
"""Those without a place for what files say beside their tensors."""
WHOLE = ("safetensors",)
"""Those that hold every value of a whole state, in one file."""


# What files of these suffixes begin as, as far as readers tell that.
_BEGINNINGS = {
    "safetensors": ("safetensors",),
    "pt": ("zip", "pytorch legacy"),
    "gguf": ("gguf",),
    "onnx": ("onnx",),
    "npz": ("zip",),
}


def missed_by(path: str) -> tuple[str, str] | None:
    """The format that the name of the file at ``path`` promises, and which it has, when that is another one."""
    # Imported here because commands that write no file do without it.
    from deltackpt.formats.sniff import sniff
    from deltackpt.formats.source_file import open_source

    promised = told_by(path)
    if promised not in _BEGINNINGS or not os.path.isfile(path):
        return None
    with open_source(path) as file:
        found = sniff(file)
    return None if found is None or found.name in _BEGINNINGS[promised] else (promised, found.name)


def format_of(path: str) -> str:
    """The format that a file's name asks for; InvalidInputError when it does not say."""
    found = told_by(path)
    if found is None:
        raise InvalidInputError(f"{path!r} does not tell the format; name one with --format: {', '.join(FORMATS)}")
    return found
