"""``save`` and ``load`` in the place of PyTorch's."""

from __future__ import annotations

from pathlib import Path

import pytest

import deltackpt
from deltackpt import InvalidInputError, NotFoundError, Store

torch = pytest.importorskip("torch")


def state(value: float) -> dict[str, object]:
    return {"model": {"w": torch.full((30, 40), value)}, "epoch": int(value)}


def test_a_path_leads_into_a_store_that_is_made_when_there_is_none(tmp_path: Path) -> None:
    first = deltackpt.save(state(1), tmp_path / "runs" / "epoch-1.pt", metrics={"loss": 2.0})
    deltackpt.save(state(2), tmp_path / "runs" / "epoch-2.pt")
    assert deltackpt.load(tmp_path / "runs" / "epoch-1.pt")["epoch"] == 1
    assert deltackpt.load(tmp_path / "runs" / "epoch-2.pt", part="model")["w"][0, 0] == 2
    assert deltackpt.load(tmp_path / "runs")["epoch"] == 2, "the newest"
    assert deltackpt.load(tmp_path / "runs" / "main~1", map_location="cpu")["epoch"] == 1
    with Store(tmp_path / "runs") as store:
        assert set(store.tags()) == {"epoch-1.pt", "epoch-2.pt"}
        assert store.resolve("epoch-1.pt") == first


def test_a_name_may_have_slashes_and_be_saved_again(tmp_path: Path) -> None:
    Store.init(tmp_path / "s").close()
    for value in (1, 2):
        deltackpt.save(state(value), tmp_path / "s" / "sweep" / "a.pt")
    assert deltackpt.load(tmp_path / "s" / "sweep" / "a.pt")["epoch"] == 2
    assert deltackpt.load(tmp_path / "s" / "main~1")["epoch"] == 1, "what the name stood for stays in the history"


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"was not saved with deltackpt\.save"):
        deltackpt.load(tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())
    deltackpt.save(state(1), tmp_path / "runs" / "a.pt")
    with pytest.raises(NotFoundError, match=r"did you mean 'a\.pt'"):
        deltackpt.load(tmp_path / "runs" / "b.pt")
    with pytest.raises(InvalidInputError, match="is a store; give a name within it"):
        deltackpt.save(state(1), tmp_path / "runs")
