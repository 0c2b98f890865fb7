"""Files of PyTorch and NumPy in a commit: the same bytes again, tensors stored once, damage refused or kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from readings import LEGACY
from safetensors import safe_open
from safetensors.torch import save_file

from deltackpt import FormatError, Store
from deltackpt.content.content import Content
from deltackpt.content.file import file_content
from deltackpt.content.shelved import SHORT_LITERAL_BYTES
from deltackpt.errors import UnsupportedError


def pytorch(state: Any, path: Path) -> None:
    torch.save(state, path)


def legacy(state: Any, path: Path) -> None:
    torch.save(state, path, **LEGACY)


def with_long_list(state: Any, path: Path) -> None:
    torch.save({**state, "order": list(range(60_000))}, path)


def arrays(state: Any, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **{name: tensor.float().numpy() for name, tensor in state["model"].items()})


def packed(state: Any, path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **{name: tensor.float().numpy() for name, tensor in state["model"].items()})


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("write", [pytorch, legacy, with_long_list, arrays, packed])
def test_a_run_of_files_comes_back_byte_for_byte(
    store: Store, tmp_path: Path, trained: list[dict[str, Any]], write: Callable[[Any, Path], None]
) -> None:
    files = []
    for state in trained:
        write(state, path := tmp_path / f"ckpt-{state['step']}.bin")
        store.commit_path(path, step=state["step"])
        files.append(path)
    for state, path in zip(trained, files, strict=True):
        store.checkout(f"step:{state['step']}", out := tmp_path / "out", force=True)
        assert digest(out) == digest(path)


def test_tensors_are_stored_once_whatever_they_come_in(
    store: Store, tmp_path: Path, trained: list[dict[str, Any]]
) -> None:
    first = store.commit(trained[0])
    pytorch(trained[0], tmp_path / "a.pt")
    legacy(trained[0], tmp_path / "b.pt")
    untied = {name: tensor.clone() for name, tensor in trained[0]["model"].items()}
    save_file(untied, tmp_path / "c.safetensors")
    for name in ("a.pt", "b.pt", "c.safetensors"):
        assert store.commit_path(tmp_path / name).stored_bytes < 0.02 * first.stored_bytes


def test_the_second_file_of_a_run_costs_what_its_live_state_costs(
    store: Store, tmp_path: Path, trained: list[dict[str, Any]]
) -> None:
    with Store.init(tmp_path / "files") as files:
        for state in trained[:2]:
            pytorch(state, path := tmp_path / "ckpt.pt")
            live, file = store.commit(state).stored_bytes, files.commit_path(path).stored_bytes
    assert file < 1.05 * live


def content(path: Path) -> Content:
    with file_content(str(path)) as found:
        return found


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A file with one bit of a tensor changed since it was saved."""
    torch.save({"w": torch.arange(100.0)}, path := tmp_path / "w.pt")
    raw = bytearray(path.read_bytes())
    raw[raw.index(bytes(torch.arange(100.0).numpy())) + 7] ^= 1
    path.write_bytes(raw)
    return path


def test_a_file_with_a_wrong_checksum_is_refused_when_asked(store: Store, damaged: Path) -> None:
    with pytest.raises(FormatError, match="the bytes of 'w/data/0' at byte "):
        store.commit_path(damaged, strict=True)


def test_a_damaged_file_is_kept_with_a_warning(
    store: Store, damaged: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = content(damaged)
    assert "the bytes of 'w/data/0' at byte " in str(kept.warnings[0])
    assert [tensor.name for tensor in kept.parts[0].tensors] == ["w"]
    store.commit(damaged)
    assert "the bytes of 'w/data/0' at byte " in caplog.text
    store.checkout("main", tmp_path / "out")
    assert digest(tmp_path / "out") == digest(damaged)


def test_a_file_of_no_known_kind_is_bytes(store: Store, tmp_path: Path) -> None:
    (path := tmp_path / "notes.json").write_bytes(b"{" + bytes(SHORT_LITERAL_BYTES))
    with pytest.raises(UnsupportedError, match="this is JSON text"):
        store.commit_path(path, strict=True)
    kept = content(path)
    assert isinstance(kept.warnings[0], UnsupportedError)
    assert [(t.name, t.source.dtype.name, t.source.shape) for t in kept.parts[0].tensors] == [
        ("(bytes 0)", "bytes", (SHORT_LITERAL_BYTES + 1,))
    ]


def test_a_checked_out_state_is_itself_again_unless_a_window_shows_memory_of_no_name(
    store: Store, tmp_path: Path
) -> None:
    whole = torch.arange(6.0)
    states: list[Any] = [[whole, {"row": whole[2:4]}], [torch.arange(3.0).expand(2, 3)]]
    kinds = []
    for number, state in enumerate(states):
        store.commit(state, branch=f"state-{number}")
        store.checkout(f"state-{number}", path := tmp_path / f"{number}.safetensors")
        store.commit_path(path, branch=f"file-{number}")
        kinds.append(type(again := store.load(f"file-{number}")))
        assert torch.equal(again[0] if kinds[-1] is list else again["0"], state[0])
    assert kinds == [list, dict]


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 548105171\n"


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "model.GGUF", "weights.npz"])
@pytest.mark.parametrize("raw", [b"", b"not found", POINTER], ids=["empty", "page", "pointer"])
def test_a_text_by_the_name_of_a_checkpoint_is_kept_with_a_warning(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, raw: bytes
) -> None:
    (folder := tmp_path / "run").mkdir()
    (folder / "README.md").write_bytes(POINTER)
    (path := folder / name).write_bytes(raw)
    for committed in (path, folder):
        with pytest.raises(FormatError, match=f"{name}: unknown kind of file at byte 0"):
            store.commit_path(committed, strict=True)
        caplog.clear()
        store.commit_path(committed)
        assert [record.getMessage().endswith("; kept as it is") for record in caplog.records] == [True]
        store.checkout("main", out := tmp_path / f"out-{committed.name}")
        assert (out if committed is path else out / name).read_bytes() == raw


def test_a_checked_out_state_that_lost_a_tensor_is_the_others_by_name(
    store: Store, tmp_path: Path, trained: list[dict[str, Any]]
) -> None:
    store.commit(trained[0])
    store.checkout("main", tmp_path / "whole.safetensors")
    with safe_open(tmp_path / "whole.safetensors", "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    del tensors["rng/torch"]
    save_file(tensors, tmp_path / "less.safetensors", metadata)
    store.commit_path(tmp_path / "less.safetensors", branch="less")
    store.checkout("less", tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "less.safetensors").read_bytes()
    loaded = store.load("less")
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
