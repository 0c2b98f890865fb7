"""Element types as safetensors names them, the order in which it writes them, and shapes of packed types."""

from __future__ import annotations

from math import prod

from deltackpt.tensor.dtype import BLOCKS, DTYPES, DType

_TYPES = DTYPES | BLOCKS

CODE_OF: dict[str, str] = {dtype.name: dtype.safetensors for dtype in _TYPES.values() if dtype.safetensors}
BY_CODE: dict[str, DType] = {code: _TYPES[name] for name, code in CODE_OF.items()}

# The official library writes wide elements first, so that they stay aligned: its types in the order in which it
# declares them, backwards.
_FIRST_TO_LAST = (
    *("U64", "I64", "F64", "C64", "F32", "U32", "I32", "BF16", "F16", "U16", "I16"),
    *("F8_E5M2FNUZ", "F8_E4M3FNUZ", "F8_E8M0", "F8_E4M3", "F8_E5M2", "I8", "U8", "F6_E3M2", "F6_E2M3", "F4", "BOOL"),
)
WRITE_ORDER: dict[str, int] = {code: place for place, code in enumerate(_FIRST_TO_LAST)}

# A header counts single values; an element of a packed type is the bytes that hold two or four of them.
_VALUES_PER_ELEMENT = {"F4": 2, "F6_E3M2": 4, "F6_E2M3": 4}


def stored_shape(code: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that a header gives for a tensor of ``shape``; None when the format cannot express it."""
    values = _VALUES_PER_ELEMENT.get(code, 1)
    if values == 1:
        return shape
    return (*shape[:-1], shape[-1] * values) if shape else None


def plain_shape(code: str, stored: tuple[int, ...]) -> tuple[int, ...] | None:
    """The inverse of :func:`stored_shape`; None when the last dimension splits an element.

    Elements of a type that no framework has may go beyond a row: then their tensor has one dimension.
    """
    values = _VALUES_PER_ELEMENT.get(code, 1)
    if values == 1:
        return stored
    if stored and stored[-1] % values == 0:
        return (*stored[:-1], stored[-1] // values)
    whole = BY_CODE[code].block_values is not None and prod(stored) % values == 0
    return (prod(stored) // values,) if whole else None
