"""Averages of commits: what they hold, what they refuse, and that they are made piece by piece."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from deltackpt import InvalidInputError, NotFoundError, Store
from deltackpt.average.weights import weights_of

RNG = np.random.default_rng(5)
STEPS = [
    {
        "model": {
            "w": RNG.normal(size=(300, 70)).astype(np.float32),
            "half": RNG.normal(size=4000).astype(ml_dtypes.bfloat16),
            "z": RNG.normal(size=50) + 1j * RNG.normal(size=50),
            "mask": np.array([0.0, -np.inf], np.float32),
            "count": np.array(step),
        },
        "optimizer": {"m": RNG.normal(size=(300, 70)).astype(np.float32), "lr": 0.1},
        "epoch": step,
    }
    for step in (1, 2, 3)
]


@pytest.fixture
def run(store: Store) -> Store:
    """Three steps on ``main``."""
    for step, state in enumerate(STEPS, 1):
        store.commit(state, step=step, metrics={"loss": 1 / step})
    return store


def mean(name: str, *weights: float) -> Any:
    return sum(
        state["model"][name].astype(complex if name == "z" else float) * w
        for state, w in zip(STEPS[-len(weights) :], weights, strict=True)
    )


def test_the_average_of_models_is_a_commit_of_its_own(run: Store) -> None:
    made = run.average(["main~2", "main~1", "main"], "averaged")
    assert (made.step, made.holds, made.message) == (3, "weights-only", "average of 3 commits")
    assert made.parents == (run.resolve("main").id,)
    state = run.load("averaged")
    assert list(state) == ["model"]
    model = state["model"]
    assert np.array_equal(model["w"], mean("w", 1 / 3, 1 / 3, 1 / 3).astype(np.float32))
    assert np.array_equal(model["half"], mean("half", 1 / 3, 1 / 3, 1 / 3).astype(ml_dtypes.bfloat16))
    assert np.allclose(model["z"], mean("z", 1 / 3, 1 / 3, 1 / 3))
    assert model["mask"].tolist() == [0, -np.inf]
    assert (int(model["count"]), model["count"].dtype) == (3, np.int64)
    assert [term["step"] for term in made.meta["average"]] == [1, 2, 3]


def test_commits_count_as_they_are_told_to(run: Store, tmp_path: Path) -> None:
    run.average(["main~1", "main"], "weighted", weights=[1, 3])
    expected = STEPS[1]["model"]["w"] * np.float64(0.25) + STEPS[2]["model"]["w"] * np.float64(0.75)
    assert np.array_equal(run.load("weighted")["model"]["w"], expected.astype(np.float32))
    run.average_to_file(["main~2..main"], tmp_path / "ema.safetensors", decay=0.9)
    expected = mean("w", 0.9 * 0.9, 0.1 * 0.9, 0.1)
    assert np.allclose(load_file(tmp_path / "ema.safetensors")["w"], expected, rtol=1e-6)


def test_weights_of_a_moving_average_are_those_of_the_loop() -> None:
    values, decay = [3.0, 5.0, 4.0, 7.0], 0.8
    average = values[0]
    for value in values[1:]:
        average = decay * average + (1 - decay) * value
    assert sum(w * v for w, v in zip(weights_of(4, None, decay), values, strict=True)) == pytest.approx(average)
    assert sum(weights_of(7, None, 0.99)) == pytest.approx(1)


def test_what_is_the_same_stays_as_it_is_bit_for_bit(store: Store) -> None:
    frozen = np.array([np.nan, -0.0, 1e-45, np.inf] * 2000, np.float32)
    for step in (1, 2, 3):
        store.commit({"model": {"frozen": frozen, "w": np.full(9, step, np.float32)}}, step=step)
    added = store.average(["main~2..main"], "averaged").stored_bytes
    assert store.load("averaged")["model"]["frozen"].tobytes() == frozen.tobytes()
    assert added < 4000


def test_a_file_is_averaged_to_a_file_of_its_form(store: Store, tmp_path: Path) -> None:
    for step in (1, 2):
        save_file({"w": np.full((40, 50), step, np.float32)}, tmp_path / "m.safetensors", {"by": str(step)})
        store.commit_path(tmp_path / "m.safetensors", step=step)
    size = store.average_to_file(["main~1", "main"], tmp_path / "mean.safetensors")
    assert size == (tmp_path / "m.safetensors").stat().st_size == (tmp_path / "mean.safetensors").stat().st_size
    assert (load_file(tmp_path / "mean.safetensors")["w"] == 1.5).all()


def test_a_bare_state_dict_and_views_and_ties(store: Store, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for step in (1.0, 2.0):
        whole = torch.full((64, 64), step)
        store.commit(OrderedDict(a=whole, tied=whole, row=whole[3], turned=whole.T))
    store.average_to_file(["main~1", "main"], tmp_path / "mean.safetensors")
    found = load_file(tmp_path / "mean.safetensors")
    assert {name: (value.shape, set(value.flat)) for name, value in found.items()} == {
        "a": ((64, 64), {1.5}),
        "tied": ((64, 64), {1.5}),
        "row": ((64,), {1.5}),
        "turned": ((64, 64), {1.5}),
    }
    store.average(["main~1", "main"], "averaged")
    assert float(store.load("averaged")["turned"][5, 7]) == 1.5


def test_what_has_no_average_is_refused_by_name(run: Store, tmp_path: Path) -> None:
    run.commit({"model": {**STEPS[0]["model"], "w": np.zeros((2, 2), np.float32), "new": np.ones(3)}}, step=4)
    with pytest.raises(
        InvalidInputError, match=r"model/w \(float32 \[300, 70\] and float32 \[2, 2\]\), model/new \(absent"
    ):
        run.average(["main~1", "main"], "averaged")
    with pytest.raises(NotFoundError, match="no part 'ema'"):
        run.average(["main~1"], "averaged", part="ema")
    with pytest.raises(InvalidInputError, match="2 commits and 3 weights"):
        run.average(["main~2", "main~1"], "averaged", weights=[1, 2, 3])
    with pytest.raises(InvalidInputError, match="decay is a number"):
        run.average(["main~2", "main~1"], "averaged", decay=1.0)
    with pytest.raises(InvalidInputError, match="not both"):
        run.average(["main~1"], "averaged", decay=0.5, weights=[1])
    with pytest.raises(NotFoundError, match="not on the line"):
        run.average(["main..main~2"], "averaged")
    assert "averaged" not in run.branches()
    run.commit({"a": {"w": np.ones(9)}, "b": {"w": np.ones(9)}}, branch="two")
    with pytest.raises(InvalidInputError, match="several models: a, b; choose one"):
        run.average_to_file(["two"], tmp_path / "x.safetensors")
    assert run.average_to_file(["two"], tmp_path / "x.safetensors", part="b")


def test_a_sum_of_tensors_takes_the_memory_of_some_pieces(store: Store, tmp_path: Path) -> None:
    import tracemalloc

    for step in (1, 2):
        store.commit({"model": {"w": np.full((1 << 24) + 3, step, np.float32)}}, step=step)
    with Store(store.path) as fresh:
        tracemalloc.start()
        fresh.average_to_file(["main~1", "main"], tmp_path / "x.safetensors")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    # 4 MiB of float32 are 8 MiB as float64, for each thread, beside the chunks that are read.
    assert peak < 100 << 20
    assert (load_file(tmp_path / "x.safetensors")["w"] == 1.5).all()
