"""NumPy's files: arrays are found with type and shape, as their bytes lie; what has no plain type stays bytes."""

from __future__ import annotations

import io
import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import by_name, reading_of, sound, tensors

from deltackpt.errors import FormatError, LimitError, UnsupportedError
from deltackpt.formats.spans import Literal


def npy(array: Any, version: tuple[int, int] | None = None) -> bytes:
    np.lib.format.write_array(buffer := io.BytesIO(), np.asanyarray(array), version)
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    np.savez(buffer := io.BytesIO(), **arrays)
    return buffer.getvalue()


def with_header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode() + data


NUMBERS = ["?", *"bBhHiIqQ", "e", "f", "d", "F", "D"]


@pytest.mark.parametrize("code", NUMBERS)
def test_every_number_comes_as_it_is(code: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(code)
    raw = npy(array)
    assert by_name(raw, sound(raw)) == {"": (array.dtype.name, (2, 3), array.tobytes())}


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_is_read(version: tuple[int, int]) -> None:
    raw = npy(np.arange(3, dtype="<i2"), version)
    assert by_name(raw, sound(raw)) == {"": ("int16", (3,), b"\0\0\1\0\2\0")}


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3, 4)])
def test_every_shape_is_read(shape: tuple[int, ...]) -> None:
    raw = npy(np.zeros(shape, "<f4"))
    (span,) = tensors(sound(raw))
    assert (span.shape, span.offset + span.length) == (shape, len(raw))


def test_an_array_in_the_order_of_fortran_is_transposed() -> None:
    array = np.asfortranarray(np.arange(6, dtype="<i4").reshape(2, 3))
    raw = npy(array)
    assert by_name(raw, sound(raw)) == {"": ("int32", (3, 2), array.T.tobytes())}


@pytest.mark.parametrize(
    ("array", "dtype", "shape"),
    [
        (np.array(["ab", "c"]), "uint32", (2, 2)),
        (np.array([b"abc"]), "uint8", (1, 3)),
        (np.array(["2020-01-01"], "M8[D]"), "int64", (1,)),
        (np.array([5], "m8[ns]"), "int64", (1,)),
        (np.zeros(3, "V5"), "uint8", (3, 5)),
        (np.ones(3, ml_dtypes.bfloat16), "uint16", (3,)),
        (np.ones(3, ml_dtypes.float8_e4m3fn), "uint8", (3,)),
    ],
    ids=["text", "bytes", "dates", "times", "void", "bfloat16", "float8"],
)
def test_types_without_an_equal_come_as_integers(array: Any, dtype: str, shape: tuple[int, ...]) -> None:
    raw = npy(array)
    assert by_name(raw, sound(raw)) == {"": (dtype, shape, array.tobytes())}


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, ">f4"),
        np.array(["a"], ">U1"),
        np.zeros(2, "i4,f8"),
        np.zeros(2, [("a", "f4", (2, 2))]),
        np.array([None, {}], dtype=object),
        np.zeros(2, np.longdouble),
    ],
    ids=["big-endian", "big-endian text", "structured", "sub-arrays", "objects", "longdouble"],
)
def test_what_has_no_plain_type_stays_bytes(array: Any) -> None:
    raw = npy(array)
    assert sound(raw).spans == (Literal(0, len(raw)),)


def test_text_without_characters_stays_bytes() -> None:
    raw = with_header("{'descr': '<U0', 'fortran_order': False, 'shape': (2,), }")
    assert sound(raw).spans == (Literal(0, len(raw)),)


def test_an_archive_of_arrays() -> None:
    arrays = {"a": np.arange(3), "layer/w": np.ones((2, 3), "<f2"), "text": np.array("é"), "none": np.zeros((0, 2))}
    raw = npz(**arrays)
    reading = sound(raw)
    assert reading.format == "npz"
    found = by_name(raw, reading)
    assert {name: shape for name, (_, shape, _) in found.items()} == {
        "a": (3,),
        "layer/w": (2, 3),
        "text": (1,),
        "none": (0, 2),
    }
    assert found["layer/w"] == ("float16", (2, 3), arrays["layer/w"].tobytes())


def test_packed_arrays_stay_bytes() -> None:
    np.savez_compressed(buffer := io.BytesIO(), a=np.zeros(1000))
    reading = sound(raw := buffer.getvalue())
    assert (reading.format, reading.spans) == ("npz", (Literal(0, len(raw)),))


def test_one_damaged_array_does_not_hide_the_others() -> None:
    raw = npz(a=np.arange(3), b=np.arange(4))
    at = raw.index(b"(3,)")
    reading = reading_of(raw[:at] + b"(9,)" + raw[at + 4 :])
    assert [span.name for span in tensors(reading)] == ["b"]
    assert "an array of int64 [9] at byte 183; expected 72 bytes, found 24" in str(reading.warning)


@pytest.mark.parametrize(
    ("raw", "kind", "text"),
    [
        (npy(np.arange(3))[:-1], FormatError, "an array of int64 [3] at byte 128; expected 24 bytes, found 23"),
        (npy(np.arange(3)) + b"x", FormatError, "an array of int64 [3] at byte 128; expected 24 bytes, found 25"),
        (b"\x93NUMPY\1\0", FormatError, "an array at byte 0; expected at least 10 bytes, found 8"),
        (with_header("", version=4), UnsupportedError, "the version at byte 6; expected 1.0, 2.0 or 3.0, found 4.0"),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff", LimitError, "the header at byte 8; expected at most 1048576 bytes, found"),
        (b"\x93NUMPY\1\0\xff\xff{", FormatError, "the header at byte 8; expected at most 1 bytes, found 65535"),
        (with_header("[]"), FormatError, "the header at byte 10; expected a dictionary, found b'[]'"),
        (
            with_header("{'descr': '<f4'}"),
            FormatError,
            "the header at byte 26; expected descr, fortran_order and shape",
        ),
        (with_header("{'descr': '<f4', 'descr': '<f4'}"), FormatError, "expected each field once, found descr"),
        (with_header("{'other': 1}"), FormatError, "expected descr, fortran_order and shape, found 'other'"),
        (
            with_header("{'descr': __import__('os')}"),
            FormatError,
            "expected a type's name in quotes, found b\"__import",
        ),
        (with_header("{'shape': (-1,)}"), FormatError, "expected at most 64 extents, found b'(-1,)}'"),
        (with_header("{'shape': (1" + ", 1" * 64 + ")}"), FormatError, "expected at most 64 extents, found"),
        (with_header("{'shape': (3 3)}"), FormatError, "expected at most 64 extents, found b'(3 3)}'"),
        (with_header("{'fortran_order': 1}"), FormatError, "expected True or False, found b'1}'"),
        (
            with_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({1 << 62}, 4)}}"),
            LimitError,
            f"expected at most {(1 << 63) - 1} bytes, found [{1 << 62}, 4]",
        ),
    ],
)
def test_a_damaged_array_is_bytes_with_a_warning(raw: bytes, kind: type[FormatError], text: str) -> None:
    reading = reading_of(raw)
    assert type(reading.warning) is kind
    assert text in str(reading.warning)
    assert (reading.format, reading.spans) == ("npy", (Literal(0, len(raw)),))


def test_every_truncation_of_a_header_is_refused() -> None:
    raw = npy(np.arange(3))
    for size in range(6, len(raw)):
        assert isinstance(reading_of(raw[:size]).warning, FormatError)


@settings(max_examples=300)
@given(st.text("{}()[],:'\" 0123456789<>|fbiuUSVOdescrfortran_ordershapeTrueFalseL\\", max_size=90))
def test_no_header_makes_the_reader_fail_otherwise(text: str) -> None:
    reading_of(with_header(text, b"data"))
