"""What a header says: the tensors and the metadata, each entry checked by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from deltackpt.errors import LimitError, UnsafeError, UnsupportedError
from deltackpt.formats.names import SAFE_NAME, is_unsafe
from deltackpt.formats.safetensors.codes import BY_CODE, plain_shape
from deltackpt.formats.safetensors.json_scanner import JsonScanner
from deltackpt.formats.safetensors.limits import MAX_METADATA_KEYS, MAX_NAME_BYTES, MAX_TENSOR_BYTES, MAX_TENSORS
from deltackpt.formats.spans import TensorSpan
from deltackpt.formats.wording import quoted
from deltackpt.tensor.dtype import DType

METADATA = "__metadata__"


@dataclass(frozen=True, slots=True)
class Header:
    """``tensors`` in the order of the header, offsets from the start of the file; ``metadata`` None when absent."""

    tensors: tuple[TensorSpan, ...]
    metadata: Mapping[str, str] | None


def parse_header(text: bytes, base: int, file: str) -> Header:
    """Read the JSON ``text`` that stands at byte ``base`` of ``file``, directly before the tensors' bytes.

    Raises FormatError or one of its kinds. Whether the tensors tile the file is not looked at here.
    """
    scan = JsonScanner(text, base, file)
    tensors: list[TensorSpan] = []
    metadata: dict[str, str] | None = None
    for byte, name in scan.members("the header"):
        if name == METADATA:
            metadata = _metadata(scan)
            continue
        if len(tensors) == MAX_TENSORS:
            scan.refuse("the header", f"at most {MAX_TENSORS} tensors", "one more", byte, LimitError)
        _check_name(scan, name, byte)
        scan.owner = name
        tensors.append(_tensor(scan, name, data_start=base + len(text)))
        scan.owner = None
    scan.end()
    return Header(tuple(tensors), metadata)


def _metadata(scan: JsonScanner) -> dict[str, str]:
    found: dict[str, str] = {}
    for byte, key in scan.members(METADATA):
        if len(found) == MAX_METADATA_KEYS:
            scan.refuse(METADATA, f"at most {MAX_METADATA_KEYS} keys", "one more", byte, LimitError)
        found[key] = scan.string(f"a value in {METADATA}")
    return found


def _tensor(scan: JsonScanner, name: str, data_start: int) -> TensorSpan:
    """One entry, from its opening brace to its closing one."""
    byte = scan.byte
    code, stored, offsets = scan.usual_entry() or _fields(scan)
    if len(offsets) != 2:
        scan.refuse("data_offsets", "two numbers", str(len(offsets)), byte)
    begin, end = offsets
    dtype = _dtype(scan, code, byte)
    shape = plain_shape(code, stored)
    if shape is None:
        scan.refuse("shape", f"whole bytes of {code} in the last dimension", str(list(stored)), byte, UnsupportedError)
    if begin > end:
        scan.refuse("data_offsets", "begin <= end", f"[{begin}, {end}]", byte)
    if (length := _length(scan, dtype, shape, byte)) != end - begin:
        scan.refuse("data_offsets", f"{length} bytes for {code} {list(stored)}", str(end - begin), byte)
    return TensorSpan(name, dtype, shape, data_start + begin, length)


def _fields(scan: JsonScanner) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """The entry's dtype code, shape and the pair of data_offsets, in whatever order they stand."""
    start, code, shape, offsets = scan.byte, None, None, None
    for byte, field in scan.members("the entry"):
        if field == "dtype":
            code = scan.string("dtype")
        elif field == "shape":
            shape = scan.counts("shape")
        elif field == "data_offsets":
            offsets = scan.counts("data_offsets")
        else:
            scan.refuse("the entry", "dtype, shape and data_offsets only", quoted(field), byte, UnsupportedError)
    if code is None or shape is None or offsets is None:
        missing = "dtype" if code is None else "shape" if shape is None else "data_offsets"
        scan.refuse("the entry", f"a field {missing!r}", "none", start)
    return code, shape, offsets


def _dtype(scan: JsonScanner, code: str, byte: int) -> DType:
    dtype = BY_CODE.get(code)
    if dtype is None:
        scan.refuse("dtype", f"one of {' '.join(BY_CODE)}", quoted(code), byte, UnsupportedError)
    return dtype


def _length(scan: JsonScanner, dtype: DType, shape: tuple[int, ...], byte: int) -> int:
    """Plain bytes of a tensor. Dimensions beside a zero are bounded too: a framework multiplies them all."""
    if prod(filter(None, shape)) * dtype.itemsize > MAX_TENSOR_BYTES:
        scan.refuse("shape", f"at most {MAX_TENSOR_BYTES} bytes", str(list(shape)), byte, LimitError)
    return prod(shape) * dtype.itemsize


def _check_name(scan: JsonScanner, name: str, byte: int) -> None:
    if (nbytes := len(name.encode())) > MAX_NAME_BYTES:
        scan.refuse(f"the name {quoted(name)}", f"at most {MAX_NAME_BYTES} bytes", str(nbytes), byte, LimitError)
    if is_unsafe(name):
        scan.refuse("a tensor's name", SAFE_NAME, quoted(name), byte, UnsafeError)
