"""The header of a safetensors file to be written, and where each tensor's bytes go.

For the same tensors, and metadata of at most one key, the file is the one that ``safetensors.torch.save_file``
writes, byte for byte. (It writes two or more keys in random order; here they are sorted.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod

from deltackpt.errors import InvalidInputError, LimitError, UnsafeError
from deltackpt.formats.names import SAFE_NAME, is_unsafe
from deltackpt.formats.safetensors import limits
from deltackpt.formats.safetensors.codes import CODE_OF, WRITE_ORDER, stored_shape
from deltackpt.formats.safetensors.header import METADATA
from deltackpt.formats.safetensors.reader import LENGTH
from deltackpt.formats.spans import TensorSpan
from deltackpt.formats.wording import quoted
from deltackpt.tensor.dtype import DType

ALIGNMENT = 8

Description = tuple[str, DType, tuple[int, ...]]
"""A tensor to be written: name, element type, shape."""


def layout(
    tensors: Sequence[Description], metadata: Mapping[str, str] | None = None
) -> tuple[bytes, tuple[TensorSpan, ...]]:
    """The bytes before the tensors (length and JSON), and the spans that follow them without a gap, in file order.

    Raises InvalidInputError for what the format cannot hold: two tensors with one name, an element type
    without a code; LimitError and UnsafeError for what the reader would refuse.
    """
    if len(tensors) > limits.MAX_TENSORS:
        raise _beyond("tensors", len(tensors), limits.MAX_TENSORS)
    _check_names(name for name, _, _ in tensors)
    for tensor in tensors:
        _check_tensor(*tensor)
    ordered = sorted(tensors, key=_file_order)
    header = _header(_packed(ordered, 0), metadata)
    return header, tuple(_packed(ordered, len(header)))


def _file_order(tensor: Description) -> tuple[int, str]:
    name, dtype, _ = tensor
    return WRITE_ORDER[CODE_OF[dtype.name]], name


def _packed(tensors: Iterable[Description], offset: int) -> Iterator[TensorSpan]:
    """One after the other, the first at ``offset``."""
    for name, dtype, shape in tensors:
        length = prod(shape) * dtype.itemsize
        yield TensorSpan(name, dtype, shape, offset, length)
        offset += length


def _header(spans: Iterable[TensorSpan], metadata: Mapping[str, str] | None) -> bytes:
    """Length and JSON, padded with spaces; offsets as ``spans`` give them."""
    document: dict[str, object] = {}
    if metadata is not None:
        _check_metadata(metadata)
        document[METADATA] = dict(sorted(metadata.items()))
    document.update((span.name, _entry(span)) for span in spans)
    text = _encode(json.dumps(document, ensure_ascii=False, separators=(",", ":")), "the header")
    text += b" " * (-len(text) % ALIGNMENT)
    if len(text) > limits.MAX_HEADER_BYTES:
        raise _beyond("bytes of header", len(text), limits.MAX_HEADER_BYTES)
    return LENGTH.pack(len(text)) + text


def _entry(span: TensorSpan) -> dict[str, object]:
    code = CODE_OF[span.dtype.name]
    return {
        "dtype": code,
        "shape": stored_shape(code, span.shape),
        "data_offsets": (span.offset, span.offset + span.length),
    }


def _check_tensor(name: str, dtype: DType, shape: tuple[int, ...]) -> None:
    """The format has a word for the element type, and the shape is within the limits."""
    code = CODE_OF.get(dtype.name)
    if code is None:
        advice = "convert it to another type or leave it out"
        raise InvalidInputError(f"tensor {quoted(name)}: safetensors has no {dtype}; {advice}")
    if stored_shape(code, shape) is None:
        raise InvalidInputError(f"tensor {quoted(name)}: safetensors has no {dtype} scalar; reshape it to (1,)")
    if len(shape) > limits.MAX_RANK:
        raise _beyond(f"dimensions of tensor {quoted(name)}", len(shape), limits.MAX_RANK)
    nbytes = prod(filter(None, shape)) * dtype.itemsize
    if nbytes > limits.MAX_TENSOR_BYTES:
        raise _beyond(f"bytes of tensor {quoted(name)}", nbytes, limits.MAX_TENSOR_BYTES)


def _check_names(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidInputError(f"two tensors are named {quoted(name)}; a file needs distinct names")
        if name == METADATA:
            raise InvalidInputError(f"{METADATA} is the format's own key; rename the tensor")
        if is_unsafe(name):
            raise UnsafeError(f"tensor {quoted(name)} cannot go into a file; rename it: {SAFE_NAME}")
        if (nbytes := len(_encode(name, "a name"))) > limits.MAX_NAME_BYTES:
            raise _beyond(f"bytes in the name {quoted(name)}", nbytes, limits.MAX_NAME_BYTES)
        seen.add(name)


def _check_metadata(metadata: Mapping[str, str]) -> None:
    if len(metadata) > limits.MAX_METADATA_KEYS:
        raise _beyond("keys of metadata", len(metadata), limits.MAX_METADATA_KEYS)
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidInputError(f"metadata {key!r}: {value!r}: safetensors holds strings only; convert it")


def _beyond(what: str, count: int, limit: int) -> LimitError:
    return LimitError(f"{count} {what}; a safetensors file holds at most {limit}")


def _encode(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        lone = error.object[error.start]
        raise InvalidInputError(f"{what} holds half of a surrogate pair, {lone!r}; use whole characters") from None
