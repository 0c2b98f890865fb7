"""The healthy flag: NaN and +inf that appear are an illness, -inf masks and range observers are not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from deltackpt import Store

INF, NAN = float("inf"), float("nan")
SIZES = [3, 5_000, 600_000]


def weights(size: int, bad: float | None = None, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    tensor = torch.linspace(-1, 1, size).to(dtype)
    if bad is not None:
        tensor[size // 2] = bad
    return {"model": {"w": tensor, "b": torch.ones(2)}}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float8_e5m2], ids=str)
@pytest.mark.parametrize("bad", [NAN, -NAN, INF])
def test_a_value_that_stops_being_finite_is_named(store: Store, size: int, dtype: torch.dtype, bad: float) -> None:
    assert store.commit(weights(size, dtype=dtype), step=1).healthy
    ill = store.commit(weights(size, bad, dtype), step=2)
    assert (ill.healthy, ill.nonfinite) == (False, ("model/w",))


@pytest.mark.parametrize("size", SIZES)
def test_minus_infinity_is_normal(store: Store, size: int) -> None:
    store.commit(weights(size), step=1)
    commit = store.commit(weights(size, -INF), step=2)
    assert (commit.healthy, commit.nonfinite) == (True, ())


def test_a_trained_model_with_a_mask_is_healthy(store: Store, trained: list[dict[str, Any]]) -> None:
    assert torch.isinf(trained[0]["model"]["mask"]).any()
    assert all(store.commit(state, step=state["step"]).healthy for state in trained)


def test_born_with_infinity_is_normal_born_with_nan_is_not(store: Store) -> None:
    observer = {"model": {"min": torch.tensor(INF), "max": torch.tensor(-INF)}}
    assert store.commit(observer, step=1).healthy
    born = store.commit(weights(10, NAN), step=1, branch="other")
    assert (born.healthy, born.nonfinite) == (False, ("model/w",))


def test_an_observer_that_is_born_later_is_normal_too(store: Store) -> None:
    store.commit(weights(10), step=1)
    later = weights(10)
    later["model"]["min"] = torch.full((5,), INF)
    assert store.commit(later, step=2).healthy


@pytest.mark.parametrize("size", SIZES)
def test_illness_lasts_until_it_is_cured(store: Store, size: int) -> None:
    store.commit(weights(size), step=1)
    commits = [store.commit(weights(size, bad), step=2 + n) for n, bad in enumerate([NAN, NAN, None])]
    assert [commit.healthy for commit in commits] == [False, False, True]
    assert [commit.nonfinite for commit in commits] == [("model/w",), (), ()]


def test_an_unchanged_ill_tensor_stays_ill(store: Store) -> None:
    ill = weights(600_000, NAN)
    store.commit(weights(600_000), step=1)
    store.commit(ill, step=2)
    ill["model"]["b"] = torch.zeros(2)
    assert not store.commit(ill, step=3).healthy


@pytest.mark.parametrize("size", SIZES)
def test_infinity_that_came_later_is_an_illness_until_it_is_gone(store: Store, size: int) -> None:
    observer = {"min": torch.tensor(INF)}
    values = [None, INF, INF, INF, None, INF]
    commits = [
        store.commit({**weights(size, bad), "observer": observer}, step=step) for step, bad in enumerate(values, 1)
    ]
    assert [commit.healthy for commit in commits] == [True, False, False, False, True, False]
    assert [commit.nonfinite for commit in commits] == [(), ("model/w",), (), (), (), ("model/w",)]


def test_an_illness_that_turns_into_another_is_named_again(store: Store) -> None:
    commits = [store.commit(weights(9, bad), step=step) for step, bad in enumerate([None, INF, NAN, INF, None], 1)]
    assert [commit.healthy for commit in commits] == [True, False, False, False, True]
    assert [commit.nonfinite for commit in commits] == [(), ("model/w",), ("model/w",), (), ()]


def test_rewinding_to_before_the_illness_cures_it(store: Store) -> None:
    store.commit(weights(100), step=1)
    store.commit(weights(100, NAN), step=2)
    assert store.commit(weights(100), step=2, parent="step:1").healthy


def test_whole_numbers_are_always_finite(store: Store) -> None:
    bits = torch.full((50_000,), -1, dtype=torch.int32)
    assert store.commit({"m": {"bits": bits, "mask": torch.ones(3, dtype=torch.bool)}}, step=1).healthy
