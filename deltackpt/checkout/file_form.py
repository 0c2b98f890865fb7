"""How a tensor goes into a safetensors file that has no word for its type, or must not hold its name.

Nothing is changed without saying so: its bytes go in as they are, under another type or name, and the header's metadata
tells what they were.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass

from deltackpt.checkout.leaves import NamedTensor
from deltackpt.formats.names import is_unsafe
from deltackpt.formats.safetensors.codes import CODE_OF, stored_shape
from deltackpt.formats.safetensors.header import METADATA
from deltackpt.formats.safetensors.limits import MAX_NAME_BYTES
from deltackpt.ids import ChunkId
from deltackpt.tensor.dtype import DTYPES, DType

# Numbers of two parts get one more dimension, which tells real from imaginary; bytes without arithmetic are bytes.
_PAIRS = {"complex128": "float64", "complex32": "float16"}
_WORDS = {1: "uint8", 2: "uint16"}
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Exported:
    """A tensor as the file has it."""

    tensor: NamedTensor
    name: str
    dtype: DType
    shape: tuple[int, ...]

    def differences(self, name: str) -> dict[str, object]:
        """What the file does not say: the ``name`` that the tensor should have, its type and shape."""
        told: dict[str, object] = {} if self.name == name else {"name": name}
        if self.dtype != self.tensor.dtype:
            told |= {"dtype": self.tensor.dtype.name, "shape": self.tensor.shape}
        return told


def exported(tensors: Iterable[tuple[str, NamedTensor]]) -> tuple[list[Exported], dict[str, dict[str, object]]]:
    """Tensors with the names that they should have, as a file has them; and what differs, by the name in the file."""
    wanted = list(tensors)
    taken = {name for name, _ in wanted}
    made: list[Exported] = []
    told: dict[str, dict[str, object]] = {}
    for name, tensor in wanted:
        form = Exported(tensor, _file_name(name, taken), *_file_type(tensor.dtype, tensor.shape))
        made.append(form)
        if found := form.differences(name):
            told[form.name] = found
    return made, told


def _file_type(dtype: DType, shape: tuple[int, ...]) -> tuple[DType, tuple[int, ...]]:
    code = CODE_OF.get(dtype.name)
    if code is not None and stored_shape(code, shape) is not None:
        return dtype, shape
    if dtype.name in _PAIRS:
        return DTYPES[_PAIRS[dtype.name]], (*shape, 2)
    return DTYPES[_WORDS[dtype.itemsize]], shape


def _file_name(name: str, taken: set[str]) -> str:
    """``name``, or where a file must not hold that, its percent-encoding, which no other tensor has."""
    if not (is_unsafe(name) or name == METADATA or len(name.encode()) > MAX_NAME_BYTES):
        return name
    # Dots, too, or a name of two of them would lead out of its folder.
    safe = urllib.parse.quote(name, safe="").replace(".", "%2E").replace("__", "%5F%5F")
    if len(safe) > MAX_NAME_BYTES:
        safe = f"{safe[:_SHOWN]}-{ChunkId.of(name.encode()).short}"
    while safe in taken:
        safe += "%27"
    taken.add(safe)
    return safe
