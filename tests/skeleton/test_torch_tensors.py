"""Tensors of every type and layout come back bit for bit, with what they share."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from skeleton_round_trip import assert_same, bits, shelved, through

from deltackpt.skeleton.capture import capture
from deltackpt.tensor.dtype import DTYPES

TYPES = [getattr(torch, name) for name in DTYPES if hasattr(torch, name)]
pytestmark = pytest.mark.filterwarnings("ignore:ComplexHalf", "ignore:Sparse [BC]S[RC]", "ignore:Sparse invariant")


def any_bits(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """Every byte pattern in turn, so that NaNs with payloads are among the values."""
    count = torch.Size(shape).numel() * dtype.itemsize
    raw = (torch.arange(count) * 37 % 256).to(torch.uint8)
    if dtype is torch.bool:
        raw %= 2
    return torch.empty(0, dtype=dtype).set_(raw.untyped_storage(), 0, shape)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (5,), (4, 3), (2, 1, 3, 2)], ids=str)
def test_every_type_and_shape(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    state = {"t": any_bits(dtype, *shape)}
    assert_same(through(state), state)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_with_strides(dtype: torch.dtype) -> None:
    base = any_bits(dtype, 4, 6)
    assert_same(through([base.t()])[0], base.t())
    assert_same(through([base[:, ::2]])[0], base[:, ::2])
    assert_same(through([base[:, 1:2]])[0], base[:, 1:2])


def test_every_pattern_of_sixteen_bits() -> None:
    patterns = torch.arange(65536, dtype=torch.int32).to(torch.int16)
    state = {str(dtype): patterns.view(dtype).clone() for dtype in (torch.float16, torch.bfloat16)}
    assert_same(through(state), state)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_permuted_dimensions_keep_their_strides(order: tuple[int, ...]) -> None:
    tensor = torch.arange(24.0).reshape(2, 3, 4).permute(order)
    assert_same(through(tensor), tensor)


def test_channels_last_comes_back_channels_last() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Conv2d(8, 1, 1))
    state = net.to(memory_format=torch.channels_last).state_dict()
    back = through({"model": state})["model"]
    assert_same(back, state)
    assert back["0.weight"].is_contiguous(memory_format=torch.channels_last)


def test_plain_bytes_do_not_depend_on_strides() -> None:
    tensor = torch.randn(2, 3, 4, 5)
    other = tensor.to(memory_format=torch.channels_last)
    assert list(shelved([tensor]).plain.values()) == list(shelved([other]).plain.values())


def test_a_contiguous_tensor_is_read_in_place() -> None:
    tensor = torch.zeros(4)
    source = capture([tensor]).parts[0].tensors[0].source
    view = source.read(0, 16)
    tensor[0] = 1.0
    assert view[:4].tobytes() == b"\x00\x00\x80\x3f"


def test_a_small_view_of_a_big_storage_stores_itself_alone() -> None:
    shelf = shelved({"row": torch.zeros(1000, 1000)[3], "column": torch.zeros(1000, 1000)[:, 3]})
    assert shelf.stored_bytes() == 8000
    assert shelf.load()["column"].untyped_storage().nbytes() == 4000


def test_an_expanded_tensor_stores_its_compact_bytes() -> None:
    row = torch.arange(3.0)
    state = {"wide": row.expand(1000, 3), "tall": row[:, None].expand(3, 7), "one": torch.tensor(5.0).expand(9)}
    shelf = shelved(state)
    assert shelf.stored_bytes() == 12 + 4
    assert_same(shelf.load(), state)


def test_windows_that_overlap_themselves_come_back() -> None:
    tensor = torch.arange(10.0).unfold(0, 3, 1)
    shelf = shelved({"w": tensor})
    assert shelf.names("") == ["w/storage"]
    assert shelf.stored_bytes() == 40
    assert_same(shelf.load(), {"w": tensor})


def test_conjugate_and_negative_views_are_resolved() -> None:
    z = torch.tensor([1 + 2j, 3 - 4j])
    back = through({"z": z, "conj": z.conj(), "neg": z.conj().imag})
    assert torch.equal(back["conj"], z.conj())
    assert not back["conj"].is_conj()
    assert torch.equal(back["neg"], torch.tensor([-2.0, 4.0]))
    assert torch.equal(back["z"], z)


def test_parameters_and_gradients() -> None:
    state = {
        "p": torch.nn.Parameter(torch.ones(2)),
        "frozen": torch.nn.Parameter(torch.ones(2), requires_grad=False),
        "int": torch.nn.Parameter(torch.ones(2, dtype=torch.int8), requires_grad=False),
        "leaf": torch.ones(2, requires_grad=True),
        "result": torch.ones(2, requires_grad=True) * 2,
    }
    back = through(state)
    assert_same(back, state)
    assert back["result"].is_leaf


@pytest.mark.parametrize("layout", ["coo", "coalesced", "csr", "csc", "bsr", "bsc"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64], ids=str)
def test_sparse_tensors(layout: str, dtype: torch.dtype) -> None:
    dense = torch.eye(4).to(dtype)
    made = {
        "coo": lambda: torch.sparse_coo_tensor([[0, 1, 0], [2, 0, 2]], torch.ones(3, dtype=dtype), (4, 4)),
        "coalesced": lambda: dense.to_sparse(),
        "csr": lambda: dense.to_sparse_csr(),
        "csc": lambda: dense.to_sparse_csc(),
        "bsr": lambda: dense.to_sparse_bsr((2, 2)),
        "bsc": lambda: dense.to_sparse_bsc((2, 2)),
    }[layout]()
    back = through({"s": {"w": made, "again": made}})["s"]
    assert_same(back["w"], made)
    assert back["w"] is back["again"]
    if made.layout is torch.sparse_coo:
        assert back["w"].is_coalesced() == made.is_coalesced()
        assert torch.equal(back["w"]._indices(), made._indices())


def test_an_empty_sparse_tensor() -> None:
    made = torch.sparse_coo_tensor(torch.empty(2, 0, dtype=torch.long), torch.empty(0), (3, 3))
    assert_same(through([made]), [made])


def test_torch_values_that_are_not_tensors() -> None:
    state = [torch.Size([2, 0, 3]), torch.float8_e5m2, torch.bfloat16, torch.device("cpu"), torch.device("cuda:3")]
    assert_same(through(state), state)


def test_the_random_state_goes_on_where_it_was() -> None:
    generator = torch.Generator().manual_seed(5)
    back = through({"rng": generator.get_state()})["rng"]
    again = torch.Generator()
    again.set_state(back)
    assert torch.equal(torch.rand(9, generator=again), torch.rand(9, generator=generator))


def test_restored_tensors_can_grow_and_train() -> None:
    back = through({"a": torch.ones(2)})["a"]
    back.resize_(1000).fill_(1.0)
    weight = through(torch.nn.Parameter(torch.ones(3)))
    (weight * 2).sum().backward()
    assert torch.equal(weight.grad, torch.full((3,), 2.0))


def test_a_capture_leaves_storages_resizable() -> None:
    live = torch.ones(4)
    shelved({"a": live})
    live.untyped_storage().resize_(0)
    assert live.untyped_storage().nbytes() == 0


def test_a_device_can_be_asked_for() -> None:
    base = torch.ones(6)
    shelf = shelved({"a": base, "b": base[2:]})
    back = shelf.load(device="meta")
    assert back["a"].device.type == back["b"].device.type == "meta"


def test_skeletons_do_not_depend_on_values() -> None:
    def state(value: float) -> dict[str, Any]:
        base = torch.full((4, 4), value)
        return {"m": {"w": base, "t": base.t(), "r": base[1:3]}, "n": torch.full((2,), value)}

    assert [p.skeleton for p in capture(state(0)).parts] == [p.skeleton for p in capture(state(1)).parts]


def test_a_released_source_reads_the_same_again() -> None:
    source = capture([torch.arange(6.0).reshape(2, 3).t()]).parts[0].tensors[0].source
    first = bytes(source.read(4, 12))
    source.release()
    assert bytes(source.read(4, 12)) == first
    assert bits(torch.arange(6.0).reshape(2, 3).t())[4:12] == first


@pytest.mark.parametrize(
    "tensor",
    [
        torch.empty(0, 3).t(),
        torch.empty(4, 0, 2).permute(2, 0, 1),
        torch.empty(3, 0).expand(5, 3, 0),
        torch.empty_strided((0, 4), (7, 2)),
    ],
    ids=lambda tensor: f"{tuple(tensor.shape)} {tensor.stride()}",
)
def test_empty_tensors_keep_their_strides(tensor: torch.Tensor) -> None:
    assert_same(through({"t": tensor, "again": [tensor]}), {"t": tensor, "again": [tensor]})


def test_parts_of_conjugates_keep_their_strides() -> None:
    wide = torch.randn(4, 3, dtype=torch.complex64)
    state = {"imag": wide.conj().imag, "turned": wide.t().conj(), "real": wide.conj().real}
    assert state["imag"].is_neg()
    assert_same(through(state), state)


@pytest.mark.parametrize("layout", ["coo", "csr"])
@pytest.mark.parametrize("grad", [True, False])
def test_sparse_parameters(layout: str, grad: bool) -> None:
    dense = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    sparse = dense.to_sparse() if layout == "coo" else dense.to_sparse_csr()
    parameter = torch.nn.Parameter(sparse, requires_grad=grad)
    back = through({"m": {"p": parameter, "same": parameter, "plain": sparse}})["m"]
    assert type(back["p"]) is torch.nn.Parameter
    assert type(back["plain"]) is torch.Tensor
    assert back["p"] is back["same"]
    assert (back["p"].requires_grad, back["p"].layout) == (grad, sparse.layout)
    assert torch.equal(back["p"].detach().to_dense(), dense)
