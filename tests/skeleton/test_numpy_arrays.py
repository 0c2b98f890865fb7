"""NumPy arrays and scalars of every storable type and order."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from skeleton_round_trip import assert_same, shelved, through

TYPES = [
    *("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"),
    *(">i2", ">u4", ">i8", ">f2", ">f4", ">f8", ">c8", ">c16"),
    *("U5", ">U3", "S4", "V7", "M8[ns]", "m8[s]", "M8", "<M8[25s]", ">M8[D]"),
    *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.float8_e8m0fnu),
    *(ml_dtypes.float8_e4m3b11fnuz, ml_dtypes.float4_e2m1fn, ml_dtypes.int4, ml_dtypes.uint2),
    [("a", "i4"), ("b", ">f8")],
    [("a", "u1"), ("inner", [("x", "f4"), ("y", "S3")]), ("block", "i2", (2, 3))],
    np.dtype({"names": ["x", "y"], "formats": ["f4", "i8"], "offsets": [4, 16], "itemsize": 32}),
]


def filled(dtype: Any, *shape: int) -> np.ndarray[Any, Any]:
    made = np.zeros(shape, dtype)
    if made.dtype.kind not in "UbM":
        raw = made.reshape(-1).view(np.uint8)
        raw[:] = np.arange(raw.size) * 37 % 256
    elif made.dtype.kind == "U":
        made[...] = "aß🙂"
    return made


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 4), (2, 0, 1)], ids=str)
def test_every_type_and_shape(dtype: Any, shape: tuple[int, ...]) -> None:
    array = filled(dtype, *shape)
    assert_same(through({"a": array}), {"a": array})


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_with_strides(dtype: Any) -> None:
    array = filled(dtype, 4, 6)
    for view in (np.asfortranarray(array), array[:, ::2], array[::-1, 1:], array.T[2]):
        back = through([view])[0]
        assert_same(back, view)
        assert back.flags.f_contiguous == view.flags.f_contiguous


def test_fortran_order_and_negative_strides_are_kept() -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert through([array])[0].strides == array.strides
    assert through([array[::-1]])[0].strides == array[::-1].strides


def test_big_endian_numbers_are_stored_little_endian() -> None:
    little, big = np.arange(4, dtype="<i4"), np.arange(4, dtype=">i4")
    assert list(shelved([little]).plain.values()) == list(shelved([big]).plain.values())


@pytest.mark.parametrize(
    "value",
    [
        np.float32(-0.0),
        np.float64("nan"),
        np.int64(-5),
        np.uint8(255),
        np.bool_(True),
        np.complex64(1 + 2j),
        np.float16(1.5),
        np.str_("aß\x00"),
        np.str_(""),
        np.bytes_(b"a\x00"),
        np.datetime64("2024-01-02T03:04:05", "ns"),
        np.timedelta64(5, "D"),
        np.datetime64("NaT"),
        ml_dtypes.bfloat16(2.5),
        ml_dtypes.float8_e4m3fn(2.0),
        ml_dtypes.int4(-3),
        np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])[0],
    ],
    ids=repr,
)
def test_scalars(value: Any) -> None:
    assert_same(through([value]), [value])


def test_a_scalar_is_part_of_the_skeleton_not_of_the_table() -> None:
    assert shelved({"x": np.float32(1)}).plain == {}


def test_the_random_state_goes_on_where_it_was() -> None:
    for generator in (np.random.PCG64(3), np.random.MT19937(3)):
        rng = np.random.Generator(generator)
        rng.random(7)
        back = through({"rng": generator.state})["rng"]
        again = type(generator)()
        again.state = back
        assert np.random.Generator(again).random() == rng.random()


def test_the_legacy_random_state_goes_on_where_it_was() -> None:
    legacy = np.random.RandomState(4)
    again = np.random.RandomState()
    again.set_state(through(legacy.get_state()))
    assert again.rand() == legacy.rand()


def test_a_broadcast_array_stores_its_compact_bytes() -> None:
    wide = np.broadcast_to(np.arange(3), (100, 3))
    shelf = shelved([wide])
    assert shelf.stored_bytes() == 24
    assert_same(shelf.load(), [wide])


@pytest.mark.parametrize("dtype", ["f4", ">f4", "U3", [("a", "i2")]], ids=str)
def test_loaded_arrays_can_be_written_where_the_originals_could(dtype: Any) -> None:
    live = filled(dtype, 3)
    frozen = live.view()
    frozen.flags.writeable = False
    back, again, cold = through([live, live, frozen])
    assert_same([back, cold], [live, frozen])
    assert (back.flags.writeable, cold.flags.writeable, again is back) == (True, False, True)
    assert cold is not back
    assert np.shares_memory(back, cold) == (dtype != ">f4")
