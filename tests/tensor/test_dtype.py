"""The table of element types agrees with the libraries that it names."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch

from deltackpt.errors import UnsupportedError
from deltackpt.tensor.dtype import BLOCKS, DTYPES, DType, Element, dtype_named, framework_form
from deltackpt.tensor.finite import Finiteness, finiteness


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_sizes_agree_with_torch_and_numpy(dtype: DType) -> None:
    in_torch = getattr(torch, dtype.name, None)
    in_numpy = getattr(np, dtype.name, None) or getattr(ml_dtypes, dtype.name, None)
    sizes = {dtype.itemsize}
    sizes |= {in_torch.itemsize} if in_torch is not None else set()
    sizes |= {np.dtype(in_numpy).itemsize} if in_numpy is not None else set()
    assert in_torch is not None or in_numpy is not None
    assert sizes == {dtype.itemsize}


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64", "float8_e5m2"])
def test_fields_of_a_float_agree_with_its_library(name: str) -> None:
    facts = ml_dtypes.finfo(getattr(ml_dtypes, name, None) or getattr(np, name))
    element = DTYPES[name].element
    assert (element.width * 8, element.exponent_bits, element.mantissa_bits) == (facts.bits, facts.nexp, facts.nmant)


def test_every_torch_type_that_can_be_stored_is_in_the_table() -> None:
    known = {str(value).removeprefix("torch.") for value in vars(torch).values() if isinstance(value, torch.dtype)}
    missing = {name for name in known if name not in DTYPES}
    # Quantised types carry scales that no plain tensor has.
    assert all(name.startswith("q") for name in missing)


def test_a_name_that_is_not_known() -> None:
    with pytest.raises(UnsupportedError, match=r"^unknown element type 'float7'; known are float64, float32, "):
        dtype_named("float7")


def test_a_block_is_an_opaque_element_that_no_library_has() -> None:
    for name, block in BLOCKS.items():
        assert dtype_named(name) is block
        assert block.block_values
        assert block.itemsize % block.element.width == 0
        assert not hasattr(torch, name)
        assert not hasattr(np, name)
        assert finiteness(memoryview(b"\xff" * block.itemsize), block) is Finiteness.FINITE


def test_a_framework_sees_the_bytes_of_a_block() -> None:
    assert framework_form(BLOCKS["gguf.q4_0"], (3, 2)) == (DTYPES["uint8"], (3, 2, 18))
    assert framework_form(DTYPES["bfloat16"], (3, 2)) == (DTYPES["bfloat16"], (3, 2))


def test_the_numbers_on_disk() -> None:
    names = "INT8 INT16 INT32 INT64 FLOAT8_E4M3 FLOAT8_E5M2 FLOAT16 BFLOAT16 FLOAT32 FLOAT64"
    assert [element.name for element in Element] == names.split()
    assert [element.value for element in Element] == list(range(10))
