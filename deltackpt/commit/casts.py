"""Which 16-bit tensors of a commit are rounded copies of its float32 tensors.

Mixed precision keeps weights twice, mostly under names that have nothing to do with each other (``model/h.0.w``,
``optimizer/master/17``). So copies are found by what they hold: a few values from the middle of each tensor, rounded
where they are float32, are looked up among those of the same shape. Whether a whole chunk is worth keeping as a cast
is judged where it is encoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from deltackpt.chunkstore.record import BUNDLED_BELOW
from deltackpt.skeleton.capture import CapturedTensor
from deltackpt.tensor.dtype import Element
from deltackpt.tensor.source import TensorSource

NARROW = frozenset({"bfloat16", "float16"})
WIDE = "float32"
_LOOKED_AT = 64

_Face = tuple[tuple[int, ...], str, bytes]


def find_casts(tensors: Sequence[CapturedTensor]) -> Mapping[int, int]:
    """The position of each 16-bit tensor that looks like a copy, with that of the float32 tensor it is rounded from."""
    narrow = [at for at, tensor in enumerate(tensors) if _may_be_narrow(tensor.source)]
    shapes = {tensors[at].source.shape for at in narrow}
    types = {tensors[at].source.dtype.name for at in narrow}
    faces: dict[_Face, int] = {}
    for at, tensor in enumerate(tensors):
        if tensor.source.dtype.name == WIDE and tensor.source.shape in shapes:
            for face in _wide_faces(tensor.source, types):
                faces.setdefault(face, at)
    return {at: faces[face] for at in narrow if faces and (face := _narrow_face(tensors[at].source)) in faces}


def _may_be_narrow(source: TensorSource) -> bool:
    return source.dtype.name in NARROW and source.dtype.itemsize * prod(source.shape) >= BUNDLED_BELOW


def _wide_faces(source: TensorSource, types: set[str]) -> list[_Face]:
    """What the tensor looks like rounded to each of ``types``; nothing where all values looked at are equal."""
    # NumPy takes 0.1 s to import, which commits of other states do not pay here.
    import numpy as np

    from deltackpt.codec.rounding import rounded

    wide = np.frombuffer(_looked_at(source), np.uint32)
    if (wide == wide[0]).all():
        return []
    elements = {"bfloat16": Element.BFLOAT16, "float16": Element.FLOAT16}
    return [(source.shape, name, rounded(wide, elements[name]).tobytes()) for name in types]


def _narrow_face(source: TensorSource) -> _Face:
    return source.shape, source.dtype.name, _looked_at(source)


def _looked_at(source: TensorSource) -> bytes:
    count, size = prod(source.shape), source.dtype.itemsize
    start = (count - min(count, _LOOKED_AT)) // 2
    found = bytes(source.read(start * size, min(count, start + _LOOKED_AT) * size))
    source.release()
    return found
