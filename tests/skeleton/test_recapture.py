"""Capturing a state again: what comes of it is what a capture from the beginning gives, whatever has changed."""

from __future__ import annotations

import gc
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltackpt.skeleton.capture import capture
from deltackpt.skeleton.recapture import Memory, remember
from deltackpt.skeleton.refusal import UnstorableError
from deltackpt.skeleton.tags import LARGE_VALUE

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore:.*quantized tensor creation:UserWarning")

LONG = LARGE_VALUE + 1


def taken(state: Any) -> list[tuple[str, bytes, list[tuple[str, str, tuple[int, ...], bytes]]]]:
    """Everything of a capture: parts, skeletons, tables, bytes."""
    return [
        (
            part.name,
            part.skeleton,
            [(t.name, t.source.dtype.name, t.source.shape, plain(t.source)) for t in part.tensors],
        )
        for part in capture(state).parts
    ]


def plain(row: Any) -> bytes:
    if isinstance(row, torch.Tensor):
        return row.detach().resolve_conj().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return bytes(row.read(0, row.dtype.itemsize * int(np.prod(row.shape))))


def memory_of(state: Any) -> Memory:
    captured, memory = remember(state)
    assert [part.skeleton for part in captured.parts] == [part.skeleton for part in capture(state).parts]
    assert memory is not None
    return memory


def assert_again(memory: Memory, state: Any) -> None:
    """The state is known again, and all of it is as a capture from the beginning finds it."""
    again = memory.again(state)
    assert again is not None
    whole = taken(state)
    assert list(again.skeletons) == [skeleton for _, skeleton, _ in whole]
    assert [plain(row) for row in again.rows] == [data for _, _, table in whole for _, _, _, data in table]


def training() -> dict[str, Any]:
    """Tied weights, views, an expanded one, moments, arrays, bytes, numbers: what states are made of."""
    torch.manual_seed(0)
    emb = torch.randn(6, 4)
    model = OrderedDict([("emb", emb), ("head", emb), ("rows", emb[2:4]), ("bias", torch.zeros(4).expand(3, 4))])
    model["weight"] = torch.nn.Parameter(torch.randn(4, 4).t())
    state = {at: {"step": torch.tensor(float(at)), "exp_avg": torch.randn(3, 2)} for at in range(3)}
    groups = [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 1, 2], "foreach": None}]
    rng = {"torch": torch.get_rng_state(), "keys": np.arange(5), "gauss": None, "raw": b"x" * LONG}
    return {
        "model": model,
        "optimizer": {"state": state, "param_groups": groups},
        "rng": rng,
        "sparse": {"s": torch.eye(3).to_sparse(), "q": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)},
        "names": ["a", "b"],
        "step": 7,
    }


def test_values_may_change() -> None:
    state = training()
    memory = memory_of(state)
    assert_again(memory, state)
    state["model"]["emb"].mul_(2)
    state["optimizer"]["param_groups"][0]["lr"] = 1e-30
    state["optimizer"]["state"][1]["step"] += 1
    state["rng"] = {"torch": torch.get_rng_state(), "keys": np.arange(5) * 2, "gauss": 0.5, "raw": b"y" * LONG}
    state["names"] = ["c", "d" * 400]
    state["step"] = 1 << 80
    assert_again(memory, state)
    other = training()
    other["optimizer"]["state"][2]["exp_avg"] = other["optimizer"]["state"][2]["exp_avg"].clone()
    assert_again(memory, other)


def test_more_of_what_is_no_tensor_is_still_like_it() -> None:
    state = training()
    memory = memory_of(state)
    state["names"].append("c")
    state["more"] = {"x": [1, 2.5, None, "text", (True, {1, 2})]}
    state["optimizer"]["param_groups"].append({"lr": 0.2, "params": []})
    again = memory.again(state)
    assert again is None, "a new part has a table, if an empty one"
    del state["more"]
    assert_again(memory, state)


def shrink(state: Any) -> None:
    state["model"]["weight"].data = torch.ones(2, 2)


def tie(state: Any) -> None:
    state["optimizer"]["state"][1]["exp_avg"] = state["optimizer"]["state"][0]["exp_avg"]


def untie(state: Any) -> None:
    state["model"]["head"] = state["model"]["emb"].clone()


def alias(state: Any) -> None:
    state["model"]["head"] = state["model"]["emb"].view(6, 4)


def share_with_numpy(state: Any) -> None:
    state["rng"]["keys"] = state["optimizer"]["state"][0]["exp_avg"].view(torch.int64)[:, 0].numpy()


def put(*way: Any, value: Callable[[], Any]) -> Callable[[Any], None]:
    def change(state: Any) -> None:
        for key in way[:-1]:
            state = state[key]
        state[way[-1]] = value()

    return change


def drop(*way: Any) -> Callable[[Any], None]:
    def change(state: Any) -> None:
        for key in way[:-1]:
            state = state[key]
        del state[way[-1]]

    return change


MOMENT = ("optimizer", "state", 0, "exp_avg")
CHANGES = {
    "another shape": put(*MOMENT, value=lambda: torch.ones(2, 3)),
    "another type": put(*MOMENT, value=lambda: torch.ones(3, 2, dtype=torch.float64)),
    "other strides": put(*MOMENT, value=lambda: torch.ones(2, 3).t()),
    "a window": put(*MOMENT, value=lambda: torch.ones(4, 2)[1:]),
    "one that needs gradients": put(*MOMENT, value=lambda: torch.ones(3, 2, requires_grad=True)),
    "a parameter": put(*MOMENT, value=lambda: torch.nn.Parameter(torch.ones(3, 2), requires_grad=False)),
    "one without elements": put(*MOMENT, value=lambda: torch.ones(0, 2)),
    "an array": put(*MOMENT, value=lambda: np.ones((3, 2), np.float32)),
    "a number": put(*MOMENT, value=lambda: 1.5),
    "a sparse one": put(*MOMENT, value=lambda: torch.ones(3, 2).to_sparse()),
    "a negated view": put(*MOMENT, value=lambda: torch.ones(3, 2, dtype=torch.complex64).conj().imag),
    "a new tensor": put("optimizer", "state", 3, value=lambda: {"step": torch.tensor(1.0)}),
    "a tensor less": drop(*MOMENT),
    "another name": put("model", "more", value=lambda: torch.ones(1)),
    "a part less": drop("rng"),
    "a longer array": put("rng", "keys", value=lambda: np.arange(6)),
    "an array that is read-only": put("rng", "keys", value=lambda: np.frombuffer(b"x" * 40, np.int64)),
    "longer bytes": put("rng", "raw", value=lambda: b"x" * (LONG + 1)),
    "another scheme": put("sparse", "q", value=lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8)),
    "more that is not zero": put("sparse", "s", value=lambda: torch.ones(3, 3).to_sparse()),
    "a tensor that shrank": shrink,
    "two that became one": tie,
    "one that became two": untie,
    "another object in the same place": alias,
    "memory of an array": share_with_numpy,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_whatever_changes_comes_out_as_from_the_beginning(change: Callable[[Any], None]) -> None:
    state = training()
    memory = memory_of(state)
    change(state)
    assert memory.again(state) is None
    assert_again(memory_of(state), state)


def test_what_cannot_be_stored_is_not_known_again() -> None:
    state = training()
    memory = memory_of(state)
    state["model"]["rows"] = object()
    with pytest.raises(UnstorableError, match="model/rows"):
        memory.again(state)
    state["model"]["rows"] = torch.ones(2, 4)
    state["model"]["rows"].untyped_storage().resize_(0)
    with pytest.raises(UnstorableError, match="model/rows"):
        memory.again(state)


def test_views_that_overlap_in_strange_ways_are_captured_each_time() -> None:
    whole = torch.arange(10.0)
    state = {"model": {"a": whole[:6], "b": whole[4:]}}
    captured, memory = remember(state)
    assert memory is None
    assert [part.skeleton for part in captured.parts] == [part.skeleton for part in capture(state).parts]


def test_nothing_of_a_state_is_kept_alive() -> None:
    state = training()
    watched = [weakref.ref(value) for value in (state["model"]["emb"], state["model"]["weight"])]
    memory = memory_of(state)
    assert memory.again(state) is not None
    del state
    gc.collect()
    assert [ref() for ref in watched] == [None, None]


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=3))
TENSORS = st.builds(
    lambda shape, kind: torch.ones(shape, dtype=kind),
    st.lists(st.integers(0, 2), max_size=2),
    st.sampled_from([torch.float32, torch.int8]),
)
KEYS = st.one_of(st.sampled_from(["a", "b", "a/b"]), st.integers(0, 2), st.booleans())
STATES = st.recursive(
    st.one_of(SCALARS, TENSORS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@given(STATES, STATES)
def test_of_any_two_states_the_second_is_known_again_or_not(one: Any, other: Any) -> None:
    try:
        memory, expected = remember(one)[1], taken(other)
    except ValueError:
        return
    for state, whole in ((one, taken(one)), (other, expected)):
        again = None if memory is None else memory.again(state)
        if again is not None:
            assert list(again.skeletons) == [skeleton for _, skeleton, _ in whole]
            assert [plain(row) for row in again.rows] == [data for _, _, table in whole for _, _, _, data in table]
