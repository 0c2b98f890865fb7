"""Element types as safetensors names them, the order in which it writes them, and shapes of packed types."""

from __future__ import annotations

from deltackpt.tensor.dtype import DTYPES, DType

CODE_OF: dict[str, str] = {dtype.name: dtype.safetensors for dtype in DTYPES.values() if dtype.safetensors}
BY_CODE: dict[str, DType] = {code: DTYPES[name] for name, code in CODE_OF.items()}

# The official library writes wide elements first, so that they stay aligned: its types in the order in which it
# declares them, backwards. (It also has F6_E3M2 and F6_E2M3, which are no element type of any framework yet.)
_FIRST_TO_LAST = (
    *("U64", "I64", "F64", "C64", "F32", "U32", "I32", "BF16", "F16", "U16", "I16"),
    *("F8_E5M2FNUZ", "F8_E4M3FNUZ", "F8_E8M0", "F8_E4M3", "F8_E5M2", "I8", "U8", "F4", "BOOL"),
)
WRITE_ORDER: dict[str, int] = {code: place for place, code in enumerate(_FIRST_TO_LAST)}

# A header counts single 4-bit values; a tensor of float4_e2m1fn_x2 counts bytes, which hold two of them.
_VALUES_PER_ELEMENT = {"F4": 2}


def stored_shape(code: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that a header gives for a tensor of ``shape``; None when the format cannot express it."""
    values = _VALUES_PER_ELEMENT.get(code, 1)
    if values == 1:
        return shape
    return (*shape[:-1], shape[-1] * values) if shape else None


def plain_shape(code: str, stored: tuple[int, ...]) -> tuple[int, ...] | None:
    """The inverse of :func:`stored_shape`; None when the last dimension splits an element."""
    values = _VALUES_PER_ELEMENT.get(code, 1)
    if values == 1:
        return stored
    return (*stored[:-1], stored[-1] // values) if stored and stored[-1] % values == 0 else None
