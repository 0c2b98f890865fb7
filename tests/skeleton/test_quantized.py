"""Quantised tensors come back bit for bit, with their schemes and with what they share; what would not is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from skeleton_round_trip import assert_same, shelved, through

from deltackpt.errors import FormatError, UnsupportedError
from deltackpt.skeleton.capture import capture
from deltackpt.skeleton.refusal import UnstorableError
from deltackpt.skeleton.restore import Restoration
from deltackpt.skeleton.table import TensorInfo
from deltackpt.tensor.dtype import dtype_named

pytestmark = pytest.mark.filterwarnings("ignore")
WEIGHT = torch.arange(-6.0, 9.0).reshape(3, 5)
TYPES = ["qint8", "quint8", "qint32", "quint4x2", "quint2x4"]


def per_tensor(dtype: str, weight: torch.Tensor = WEIGHT, scale: float = 0.1) -> torch.Tensor:
    return torch.quantize_per_tensor(weight, scale, 1, getattr(torch, dtype))


def per_channel(dtype: str, *, axis: int = 0, zero: torch.dtype = torch.int64) -> torch.Tensor:
    count = WEIGHT.shape[axis]
    scales, zeros = torch.linspace(0.1, 0.9, count), torch.arange(count).to(zero)
    return torch.quantize_per_channel(WEIGHT, scales, zeros, axis, getattr(torch, dtype))


# All that this PyTorch can make. Per channel, packed types have floating zero points, and qint32 has none such.
KINDS: dict[str, Callable[[], torch.Tensor]] = {
    **{dtype: partial(per_tensor, dtype) for dtype in TYPES},
    **{f"{dtype} by rows": partial(per_channel, dtype) for dtype in TYPES[:3]},
    **{f"{dtype} by columns": partial(per_channel, dtype, axis=1) for dtype in TYPES[:3]},
    **{f"{dtype} floating": partial(per_channel, dtype, zero=torch.float32) for dtype in TYPES if dtype != "qint32"},
    "empty": partial(per_tensor, "qint8", torch.empty(0, 4)),
    "scalar": partial(per_tensor, "qint8", torch.tensor(2.0)),
    "scalar packed": partial(per_tensor, "quint4x2", torch.tensor(0.2)),
    "channels last": partial(per_tensor, "quint8", torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last)),
}


def assert_same_quantised(one: torch.Tensor, other: torch.Tensor) -> None:
    assert (type(one), one.dtype, one.shape, one.stride()) == (type(other), other.dtype, other.shape, other.stride())
    assert one.qscheme() == other.qscheme()
    assert torch.equal(one.int_repr(), other.int_repr())
    if one.qscheme() == torch.per_tensor_affine:
        assert (one.q_scale(), one.q_zero_point()) == (other.q_scale(), other.q_zero_point())
    else:
        assert one.q_per_channel_axis() == other.q_per_channel_axis()
        assert_same(one.q_per_channel_scales(), other.q_per_channel_scales())
        assert_same(one.q_per_channel_zero_points(), other.q_per_channel_zero_points())
    assert torch.equal(one.dequantize(), other.dequantize())


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_and_scheme(kind: str) -> None:
    made = KINDS[kind]()
    assert_same_quantised(through({"m": {"w": made}})["m"]["w"], made)


def test_the_parts_are_leaves() -> None:
    shelf = shelved({"m": {"one": per_tensor("qint8"), "each": per_channel("quint8")}})
    assert shelf.names("m") == [
        *("m/one/values", "m/one/scale", "m/one/zero_point"),
        *("m/each/values", "m/each/scales", "m/each/zero_points"),
    ]
    assert shelf.load(select="m/each/scales")["m"].keys() == {"each"}


def test_skeletons_do_not_depend_on_scales() -> None:
    found = [capture({"m": {"w": per_tensor("qint8", scale=scale)}}).parts for scale in (0.1, 0.2)]
    assert [part.skeleton for part in found[0]] == [part.skeleton for part in found[1]]


def test_one_object_is_one_and_an_alias_shares_its_memory() -> None:
    for made in (per_tensor("qint8"), per_channel("quint4x2", zero=torch.float32), per_channel("qint8")):
        back = through({"a": [made], "b": {"same": made, "alias": made.detach()}})
        assert back["a"][0] is back["b"]["same"]
        assert back["b"]["alias"] is not back["b"]["same"]
        assert back["b"]["alias"].untyped_storage().data_ptr() == back["a"][0].untyped_storage().data_ptr()


def test_views_of_one_storage_stay_views() -> None:
    whole = per_tensor("qint32")
    state = {"whole": whole, "rows": whole[1:], "turned": whole.t(), "column": whole[:, 2]}
    shelf = shelved(state)
    assert shelf.stored_bytes() == 15 * 4 + 4 * 16
    back = shelf.load()
    for name, made in state.items():
        assert_same_quantised(back[name], made)
    back["whole"].copy_(per_tensor("qint32", WEIGHT * 2))
    assert torch.equal(back["rows"].int_repr(), back["whole"].int_repr()[1:])
    assert torch.equal(back["turned"].int_repr(), back["whole"].int_repr().t())


def test_rows_of_a_tensor_with_scales_for_each() -> None:
    whole = per_channel("qint8")
    back = through([whole, whole[1:]])
    assert_same_quantised(back[1], whole[1:])
    assert back[1].untyped_storage().data_ptr() == back[0].untyped_storage().data_ptr()


def test_parameters() -> None:
    made = torch.nn.Parameter(per_channel("qint8"), requires_grad=False)
    back = through([made, made.data])
    assert (type(back[0]), back[0].requires_grad) == (torch.nn.Parameter, False)
    assert_same_quantised(back[0].data, made.data)
    assert type(back[1]) is torch.Tensor


def test_a_quantised_module_computes_the_same() -> None:
    layer = torch.ao.nn.quantized.Linear(5, 3)
    layer.set_weight_bias(per_channel("qint8"), torch.ones(3))
    back = through({"model": layer.state_dict()})["model"]
    again = torch.ao.nn.quantized.Linear(5, 3)
    again.load_state_dict(back)
    seen = torch.quantize_per_tensor(torch.randn(2, 5), 0.1, 0, torch.quint8)
    assert torch.equal(again(seen).int_repr(), layer(seen).int_repr())


def freed() -> torch.Tensor:
    made = per_tensor("qint8")
    made.untyped_storage().resize_(0)
    return made


REFUSED = {
    "window": (lambda: per_tensor("quint4x2", torch.ones(4, 4)).view(2, 8)[:1], "a window on packed torch.quint4x2"),
    "channels": (lambda: per_channel("qint8").view(15), "a view in which scales per channel have lost"),
    "freed": (freed, "the tensor's storage has been freed"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_with_its_place(what: str) -> None:
    make, reason = REFUSED[what]
    made = make()
    with pytest.raises(UnstorableError, match=rf"^m/w: .*{reason}"):
        capture({"m": {"w": made}})
    assert what != "freed" or made.untyped_storage().nbytes() == 0


DAMAGE: dict[str, Any] = {
    "an unknown type": ({3: "qint9"}, "qint9"),
    "a type that is not quantised": ({3: "float32"}, "as the values of float32"),
    "an unknown scheme": ({4: "per_row"}, "unknown quantisation scheme 'per_row'"),
    "an axis that is not there": ({5: 2}, "scales along dimension 2 of 2"),
    "another axis": ({5: 1}, "scales of torch.float64"),
    "another shape": ({7: 2}, "as the values of qint8"),
    "another scheme": ({4: "per_channel_affine_float_qparams"}, "scales of torch.float64"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_does_not_fit_together_never_reaches_a_kernel(what: str) -> None:
    import msgspec

    changes, reason = DAMAGE[what]
    (part,) = capture(per_channel("qint8")).parts
    atoms, blobs = msgspec.msgpack.decode(part.skeleton)
    for at, atom in changes.items():
        atoms[2 + at] = atom
    table = [TensorInfo(t.name, t.source.dtype, t.source.shape) for t in part.tensors]
    with pytest.raises((FormatError, UnsupportedError), match=reason):
        Restoration({"": msgspec.msgpack.encode((atoms, blobs))}, {"": table}).build()


def test_packed_values_are_as_many_bytes_as_their_shape_takes() -> None:
    (part,) = capture(per_tensor("quint4x2")).parts
    assert part.tensors[0].source.shape == (9,)
    short = [TensorInfo("values", dtype_named("uint8"), (8,))]
    rest = [TensorInfo(t.name, t.source.dtype, t.source.shape) for t in part.tensors[1:]]
    with pytest.raises(FormatError, match=r"uint8 \[8\] as the values of quint4x2 \[3, 5\]"):
        Restoration({"": part.skeleton}, {"": short + rest}).build()
