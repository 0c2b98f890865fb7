"""Finiteness from bits alone, against NumPy's and PyTorch's own opinion of the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltackpt.tensor.dtype import DTYPES
from deltackpt.tensor.finite import Finiteness, finiteness

FLOATS = ["float64", "float32", "float16", "bfloat16"]
BYTES = ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"]


def opinion(tensor: torch.Tensor) -> Finiteness:
    """What the values say; -inf counts as finite."""
    if tensor.isnan().any():
        return Finiteness.NAN
    return Finiteness.INFINITE if (tensor == torch.inf).any() else Finiteness.FINITE


def ours(tensor: torch.Tensor) -> Finiteness:
    plain = tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    return finiteness(memoryview(plain), DTYPES[str(tensor.dtype).removeprefix("torch.")])


@pytest.mark.parametrize("name", BYTES)
def test_every_pattern_of_each_8_bit_type(name: str) -> None:
    dtype = getattr(torch, name)
    for pattern in range(256):
        one = torch.tensor([0, pattern, 1], dtype=torch.uint8).view(dtype)
        assert ours(one) == opinion(one.float()), hex(pattern)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_every_pattern_of_each_16_bit_type(name: str) -> None:
    every = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(getattr(torch, name))
    wide = every.float()
    finite = ~(wide.isnan() | (wide == torch.inf))
    assert ours(every[finite]) == Finiteness.FINITE
    for pattern in torch.nonzero(~finite).flatten().tolist()[::7]:
        one = every[pattern : pattern + 1]
        assert ours(torch.cat([every[:9], one])) == opinion(one.float())


@given(hnp.arrays(np.float64, st.integers(0, 40), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_floats_of_all_widths(values: np.ndarray[Any, Any]) -> None:
    for name in FLOATS:
        tensor = torch.from_numpy(values).to(getattr(torch, name))
        assert ours(tensor) == opinion(tensor)


@given(st.binary(min_size=8, max_size=64).filter(lambda data: len(data) % 8 == 0))
def test_any_bits_at_all(data: bytes) -> None:
    for kind, name in ((np.float32, "float32"), (np.float64, "float64"), (np.float16, "float16")):
        values = np.frombuffer(data, kind)
        expected = opinion(torch.from_numpy(values.copy()))
        assert finiteness(memoryview(data), DTYPES[name]) == expected


@pytest.mark.parametrize("name", ["complex64", "complex128"])
def test_either_half_of_a_complex_number_counts(name: str) -> None:
    for value, expected in ((complex(1, np.nan), Finiteness.NAN), (complex(np.inf, 1), Finiteness.INFINITE)):
        plain = np.array([0, value], name).tobytes()
        assert finiteness(memoryview(plain), DTYPES[name]) == expected


@pytest.mark.parametrize("name", [name for name in DTYPES if "int" in name or name == "bool"])
def test_whole_numbers_are_finite(name: str) -> None:
    assert finiteness(memoryview(b"\xff" * 64), DTYPES[name]) == Finiteness.FINITE


@pytest.mark.parametrize("name", DTYPES)
def test_nothing_is_finite(name: str) -> None:
    assert finiteness(memoryview(b""), DTYPES[name]) == Finiteness.FINITE


def test_the_numbers_on_disk() -> None:
    assert [(kind.name, kind.value) for kind in Finiteness] == [("FINITE", 0), ("INFINITE", 1), ("NAN", 2)]
