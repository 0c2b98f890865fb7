"""A file against its commit: equal as a whole, or tensor by tensor, and what differs has a name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from deltackpt import InvalidInputError, NotFoundError, Store
from deltackpt.errors import FormatError
from deltackpt.history.commits import DeletedError
from deltackpt.maintenance.verify.file import Difference, NoOriginError

NOISE = np.random.default_rng(1).standard_normal(3_000_000).astype(np.float32)
STATE: dict[str, Any] = {
    "model": {"w": NOISE, "b": NOISE[:500].copy(), "tiny": np.arange(3)},
    "optimizer": {"m": NOISE[::2].copy(), "w": np.ones(7)},
    "epoch": 3,
}


@pytest.fixture
def exported(store: Store, tmp_path: Path) -> Path:
    """All of a state, checked out."""
    store.commit({**STATE, "epoch": 1}, step=1)
    store.commit(STATE, step=2)
    store.checkout("main", tmp_path / "all.safetensors")
    return tmp_path / "all.safetensors"


def rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The same tensors, changed, in another file without our metadata."""
    tensors = {name: value.copy() for name, value in load_file(path).items()}
    change(tensors)
    target = path.with_name("changed.safetensors")
    save_file(tensors, target)
    return target


def test_a_checkout_names_its_commit(store: Store, exported: Path) -> None:
    check = store.verify_file(exported)
    assert check.ok
    assert (check.commit.step, check.part, check.equal, check.identical) == (2, None, 5, None)


@pytest.mark.parametrize(("part", "count"), [("model", 3), ("optimizer", 2)])
def test_a_part(store: Store, exported: Path, tmp_path: Path, part: str, count: int) -> None:
    store.checkout("main", tmp_path / "part.safetensors", part=part)
    check = store.verify_file(tmp_path / "part.safetensors")
    assert check.ok
    assert (check.part, check.equal) == (part, count)


def test_progress_comes_to_every_byte(store: Store, exported: Path) -> None:
    heard: list[int] = []
    store.verify_file(exported, progress=heard.append)
    assert sum(heard) == store.resolve("main").logical_bytes


def test_a_flipped_bit_is_named_by_its_tensor_and_place(store: Store, exported: Path) -> None:
    def flip(tensors: dict[str, Any]) -> None:
        tensors["model/w"].view(np.uint8)[9_000_000] ^= 1

    check = store.verify_file(rewritten(exported, flip), "main")
    chunk = store._repository.chunks.facts.chunk_bytes
    assert check.differences == (
        Difference("model/w", f"differs, first from its byte {9_000_000 // chunk * chunk} on"),
    )
    assert check.equal == 4


@pytest.mark.parametrize(
    ("change", "differences"),
    [
        (lambda t: t.pop("model/b"), [("model/b", "is not in the file")]),
        (lambda t: t.update(extra=np.zeros(1)), [("extra", "is not in the commit")]),
        (
            lambda t: t.update({"model/b": t["model/b"].reshape(5, 100)}),
            [("model/b", "is float32 [5, 100] in the file and float32 [500] in the commit")],
        ),
        (
            lambda t: t.update({"model/tiny": t["model/tiny"].astype(np.int32)}),
            [("model/tiny", "is int32 [3] in the file and int64 [3] in the commit")],
        ),
        (lambda t: t["model/tiny"].__setitem__(1, 7), [("model/tiny", "differs, first from its byte 0 on")]),
        (lambda t: None, []),
    ],
    ids=["missing", "too many", "shape", "type", "inline", "nothing"],
)
def test_what_differs(
    store: Store, exported: Path, change: Callable[[dict[str, Any]], None], differences: list[tuple[str, str]]
) -> None:
    check = store.verify_file(rewritten(exported, change), "main")
    assert [(d.name, d.what) for d in check.differences] == differences
    assert check.ok == (not differences)


def test_a_file_that_was_committed(store: Store, exported: Path, tmp_path: Path) -> None:
    theirs = rewritten(exported, lambda tensors: None)
    store.commit_path(theirs, branch="files")
    store.checkout("files", tmp_path / "back.safetensors")
    assert store.verify_file(tmp_path / "back.safetensors", "files").identical is True
    save_file(load_file(theirs), tmp_path / "again.safetensors", metadata={"by": "another tool"})
    again = store.verify_file(tmp_path / "again.safetensors", "files")
    assert (again.ok, again.identical) == (True, False)


def test_views_and_tied_tensors(store: Store, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(60_000.0).reshape(200, 300)
    store.commit({"model": {"t": base.t(), "rows": base[3:9], "tied": base, "half": base.bfloat16()}}, step=1)
    store.checkout("main", tmp_path / "views.safetensors")
    check = store.verify_file(tmp_path / "views.safetensors")
    assert (check.ok, check.equal) == (True, 4)


def test_a_file_that_names_no_commit(store: Store, exported: Path) -> None:
    with pytest.raises(NoOriginError, match="does not say which commit it came from; name one"):
        store.verify_file(rewritten(exported, lambda tensors: None))


def test_a_commit_that_is_not_there_any_more(store: Store, exported: Path) -> None:
    store.commit(STATE, step=3)
    store.delete("step:2")
    with pytest.raises(DeletedError):
        store.verify_file(exported)


def test_what_is_no_file_of_tensors(store: Store, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(FormatError):
        store.verify_file(tmp_path / "text", "main")
    with pytest.raises(NotFoundError):
        store.verify_file(tmp_path / "nothing", "main")
    with pytest.raises(InvalidInputError):
        store.verify_file(tmp_path, "main")
