"""The bytes of a skeleton, as docs/format/skeleton.md shows them. They are on disk: a change here breaks stores."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from deltackpt.skeleton.capture import capture
from deltackpt.skeleton.tags import Flag, Tag


def skeletons(state: Any) -> dict[str, bytes]:
    return {part.name: part.skeleton for part in capture(state).parts}


def atoms(state: Any) -> list[Any]:
    """What follows version, table length and placements in a one-part state without placements."""
    found, _ = msgspec.msgpack.decode(skeletons([state])[""])
    assert found[0] == 0
    assert found[2:5] == [0, 10, 1]
    return found[5:]


def test_the_example_of_the_format_page() -> None:
    weight = torch.zeros(2, 2)
    state = {"model": {"w": weight, "tied": weight}, "step": 3}
    assert {name: raw.hex(" ") for name, raw in skeletons(state).items()} == {
        "": "92 9b 00 00 00 14 02 a5 6d 6f 64 65 6c 19 a5 6d 6f 64 65 6c a4 73 74 65 70 01 03 90",
        "model": "92 9d 00 01 00 14 02 a1 77 28 00 00 a4 74 69 65 64 28 00 00 90",
    }


def test_the_numbers_are_a_vow() -> None:
    assert {tag.name: tag.value for tag in Tag} == {
        "INT": 1,
        "BIG_INT": 2,
        "SURROGATE_STR": 3,
        "BYTES": 4,
        "BYTEARRAY": 5,
        "COMPLEX": 6,
        "RANGE": 7,
        "SLICE": 8,
        "LARGE_VALUE": 9,
        "LIST": 10,
        "TUPLE": 11,
        "SET": 12,
        "FROZENSET": 13,
        "INT_LIST": 14,
        "INT_TUPLE": 15,
        "DICT": 20,
        "ORDERED_DICT": 21,
        "DEFAULT_DICT": 22,
        "COUNTER": 23,
        "STATE_DICT": 24,
        "PART": 25,
        "NAMED_TUPLE": 30,
        "DATACLASS": 31,
        "ENUM": 32,
        "FLAG": 33,
        "TENSOR_SUBCLASS": 34,
        "TENSOR": 40,
        "TENSOR_VIEW": 41,
        "SPARSE_TENSOR": 42,
        "TORCH_SIZE": 43,
        "TORCH_DTYPE": 44,
        "TORCH_DEVICE": 45,
        "SPARSE_PARAMETER": 46,
        "QUANTIZED_TENSOR": 47,
        "ARRAY": 50,
        "ARRAY_VIEW": 51,
        "NUMPY_SCALAR": 52,
        "RECORD_TYPE": 53,
    }
    assert {flag.name: flag.value for flag in Flag} == {"PARAMETER": 1, "REQUIRES_GRAD": 2}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [None]),
        (True, [True]),
        (1.5, [1.5]),
        ("x", ["x"]),
        (2**64, [2]),
        (b"x", [4]),
        (1j, [6, 0.0, 1.0]),
        ([1, "a"], [10, 2, 1, 1, "a"]),
        ((1, 2), [15, 2, 1, 2]),
        ({"b", "a"}, [12, 2, "a", "b"]),
        ({True: None, 1.5: 2}, [20, 2, True, None, 1.5, 1, 2]),
        (torch.Size([2, 3]), [43, 2, 2, 3]),
        (torch.bfloat16, [44, "bfloat16"]),
        (torch.device("cuda", 1), [45, "cuda:1"]),
        (torch.ones(2), [40, 0, 0]),
        (torch.nn.Parameter(torch.ones(2)), [40, 3, 0]),
        (torch.ones(1).expand(4), [41, 0, 0, "float32", 1, 4, 1, 0, 0]),
        (np.ones(2, ">f4"), [50, 0, ">f4", 0]),
        (np.frombuffer(b"ab", np.uint8), [50, 1, "|u1", 0]),
        (np.float32(1), [52, "<f4"]),
        (np.zeros(1, [("a", "<i2"), ("b", "<f4", (2,))]), [50, 0, 53, 10, 2, "a", 0, 0, "<i2", "b", 2, 1, 2, "<f4", 0]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_atoms_of_each_kind(value: Any, expected: list[Any]) -> None:
    assert atoms(value) == expected


@pytest.mark.filterwarnings("ignore")
def test_the_atoms_of_quantised_tensors() -> None:
    weight = torch.ones(3, 5)
    one = torch.quantize_per_tensor(weight, 0.5, 7, torch.quint8)
    each = torch.quantize_per_channel(weight, torch.ones(5), torch.zeros(5), 1, torch.quint4x2)
    shelf = msgspec.msgpack.decode(skeletons({"a": [one], "b": [each]})["a"])[0]
    assert shelf[3:] == [10, 1, 47, 0, "quint8", "per_tensor_affine", 2, 3, 5, 40, 0, 0, 40, 0, 1, 40, 0, 2]
    shelf = msgspec.msgpack.decode(skeletons({"a": [one], "b": [each]})["b"])[0]
    scheme = "per_channel_affine_float_qparams"
    assert shelf[3:] == [10, 1, 47, 0, "quint4x2", scheme, 1, 2, 3, 5, 40, 0, 0, 40, 0, 1, 40, 0, 2]


def test_byte_strings_stand_beside_the_atoms_in_order() -> None:
    raw = skeletons([b"one", 2**64, "\ud800", bytearray(b"two")])[""]
    assert msgspec.msgpack.decode(raw) == [
        [0, 0, 0, 10, 4, 4, 2, 3, 5],
        [b"one", b"\x00\x00\x00\x00\x00\x00\x00\x00\x01", b"\xed\xa0\x80", b"two"],
    ]


def test_strides_and_positions_stand_before_the_tree() -> None:
    flat = torch.zeros(8)
    state = {"a": {"x": flat[:4].view(2, 2).t()}, "b": {"y": flat[4:]}}
    found = {name: msgspec.msgpack.decode(raw)[0] for name, raw in skeletons(state).items()}
    assert found["a"] == [0, 1, 1, 0, 2, 4, 8, 0, 0, 20, 1, "x", 40, 0, 0]
    assert found["b"] == [0, 1, 1, 0, None, "a", 0, 16, 20, 1, "y", 40, 0, 0]


def test_a_tensor_of_another_part() -> None:
    weight = torch.zeros(2)
    found = msgspec.msgpack.decode(skeletons({"a": {"x": weight}, "b": {"y": weight.detach()}})["b"])[0]
    assert found == [0, 0, 0, 20, 1, "y", 40, 1 << 2, "a", 0]
