"""Checking out to a file: the same bytes again, or a file that any safetensors reader opens; never half of one."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from disks import FailingReads, opened
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from skeleton_round_trip import assert_same
from training import Model

from deltackpt import DeltackptError, InvalidInputError, NotFoundError, StorageError, Store


@pytest.fixture
def committed(store: Store, trained: list[dict[str, Any]]) -> Store:
    for state in trained[:2]:
        store.commit(state, step=state["step"])
    return store


def untied(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in state["model"].items()}


def test_a_committed_file_comes_back_byte_for_byte(store: Store, tmp_path: Path, trained: list[Any]) -> None:
    digests = []
    for state in trained:
        path = tmp_path / f"{state['step']}.safetensors"
        save_file(untied(state), path, metadata={"step": str(state["step"]), "made by": "the official library"})
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
        store.commit_path(path, step=state["step"])
    for state, digest in zip(trained, digests, strict=True):
        out = tmp_path / f"again-{state['step']}.safetensors"
        size = store.checkout(f"step:{state['step']}", out)
        assert size == out.stat().st_size
        assert hashlib.sha256(out.read_bytes()).hexdigest() == digest


def test_a_committed_file_loads_as_a_dict_of_tensors(store: Store, tmp_path: Path, trained: list[Any]) -> None:
    save_file(untied(trained[0]), tmp_path / "m.safetensors")
    store.commit_path(tmp_path / "m.safetensors", step=1)
    assert_same(store.load("main"), load_file(tmp_path / "m.safetensors"))


def test_a_file_has_no_parts(store: Store, tmp_path: Path, trained: list[Any]) -> None:
    save_file(untied(trained[0]), tmp_path / "m.safetensors")
    commit = store.commit_path(tmp_path / "m.safetensors")
    with pytest.raises(NotFoundError) as caught:
        store.checkout("main", tmp_path / "out", part="model")
    expected = f"commit {commit.description} has no part 'model'; it has none"
    assert str(caught.value) == expected


def test_a_part_passes_load_state_dict_strictly(committed: Store, tmp_path: Path, trained: list[Any]) -> None:
    out = tmp_path / "out.safetensors"
    committed.checkout("step:10", out, part="model")
    model = Model()
    model.load_state_dict(load_file(out), strict=True)
    assert_same(model.state_dict(), trained[0]["model"])


def test_a_whole_state_goes_out_under_full_names(committed: Store, tmp_path: Path, trained: list[Any]) -> None:
    out = tmp_path / "all.safetensors"
    committed.checkout("main", out)
    tensors = load_file(out)
    assert torch.equal(tensors["model/head.weight"], trained[1]["model"]["emb.weight"])
    assert torch.equal(tensors["optimizer/state/0/exp_avg"], trained[1]["optimizer"]["state"][0]["exp_avg"])


def test_the_header_says_where_the_file_came_from(committed: Store, tmp_path: Path) -> None:
    committed.checkout("step:20", tmp_path / "out.safetensors", part="model")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt"
    assert f'"commit":"{committed.resolve("step:20").id}"' in metadata["deltackpt"]
    assert '"step":20' in metadata["deltackpt"]


def test_views_and_strides_go_out_as_plain_tensors(store: Store, tmp_path: Path) -> None:
    flat = torch.arange(300_000, dtype=torch.float32)
    image = torch.rand(2, 3, 9, 9).to(memory_format=torch.channels_last)
    store.commit({"m": {"flat": flat, "turned": flat[:60_000].view(200, 300).t(), "image": image}}, step=1)
    store.checkout("main", tmp_path / "out.safetensors", part="m")
    tensors = load_file(tmp_path / "out.safetensors")
    assert torch.equal(tensors["flat"], flat)
    assert torch.equal(tensors["turned"], flat[:60_000].view(200, 300).t())
    assert torch.equal(tensors["image"], image)


def test_a_part_without_tensors_makes_no_file(store: Store, tmp_path: Path) -> None:
    commit = store.commit({"model": {"w": torch.ones(3)}, "args": {"lr": 0.1}}, step=1)
    with pytest.raises(InvalidInputError) as caught:
        store.checkout("main", tmp_path / "out", part="args")
    assert str(caught.value) == f"commit {commit.id.short} (step 1) has no tensors in part 'args'"


def test_an_existing_file_is_refused_unless_forced(committed: Store, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"precious")
    with pytest.raises(InvalidInputError) as caught:
        committed.checkout("main", out, part="model")
    advice = "replace it with --force (force=True), or choose another target"
    assert str(caught.value) == f"{str(out)!r} exists already; {advice}"
    assert out.read_bytes() == b"precious"
    committed.checkout("main", out, part="model", force=True)
    assert "emb.weight" in load_file(out)


def test_a_folder_that_is_missing_is_named(committed: Store, tmp_path: Path) -> None:
    out = tmp_path / "nowhere" / "out.safetensors"
    with pytest.raises(InvalidInputError) as caught:
        committed.checkout("main", out, part="model")
    assert str(caught.value) == f"cannot write {str(out)!r}: folder {str(out.parent)!r} does not exist"


def test_a_symbolic_link_is_replaced_and_its_target_left_alone(committed: Store, tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"precious")
    link.symlink_to(real)
    with pytest.raises(InvalidInputError, match="exists already"):
        committed.checkout("main", link, part="model")
    committed.checkout("main", link, part="model", force=True)
    assert real.read_bytes() == b"precious"
    assert not link.is_symlink()
    assert "emb.weight" in load_file(link)


def test_a_link_that_leads_nowhere_is_refused_too(committed: Store, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    with pytest.raises(InvalidInputError, match="exists already"):
        committed.checkout("main", tmp_path / "link", part="model")


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "socket"])
def test_what_is_no_regular_file_is_never_replaced(committed: Store, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "s"
    if kind == "fifo":
        os.mkfifo(target)
    elif kind == "folder":
        target.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.relpath(target))
    else:
        target = Path("/dev/null")
    before = target.lstat().st_mode
    with pytest.raises(InvalidInputError) as caught:
        committed.checkout("main", target, part="model", force=True)
    assert str(caught.value) == f"{str(target)!r} exists and is not a regular file; choose another target"
    assert target.lstat().st_mode == before


@pytest.mark.parametrize("sound", range(5))
def test_a_disk_that_fails_half_way_leaves_no_file(committed: Store, tmp_path: Path, sound: int) -> None:
    out = tmp_path / "folder" / "out.safetensors"
    out.parent.mkdir()
    with pytest.raises(StorageError) as caught:
        opened(committed.path, FailingReads(sound), threads=1).checkout("main", out, part="model")
    assert "Input/output error" in str(caught.value)
    assert list(out.parent.iterdir()) == []


def test_a_failed_replacement_leaves_the_old_file(committed: Store, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"precious")
    with pytest.raises(StorageError):
        opened(committed.path, FailingReads(3), threads=1).checkout("main", out, part="model", force=True)
    assert out.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ckpts", "out.safetensors"]


def test_the_file_has_the_mode_that_umask_leaves(committed: Store, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        committed.checkout("main", tmp_path / "out", part="model")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_progress_hears_of_every_byte(committed: Store, tmp_path: Path, trained: list[Any]) -> None:
    heard: list[int] = []
    committed.checkout("main", tmp_path / "out", part="rng", progress=heard.append)
    assert sum(heard) == trained[1]["rng"]["torch"].nbytes


@pytest.mark.parametrize("name", ["new folder/", "", ".", "a\0b"])
def test_what_names_no_file_is_refused(committed: Store, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        committed.checkout("main", f"{tmp_path}/{name}" if name not in ("", ".") else name, part="model", force=True)
    assert "\n" not in str(caught.value)
    assert ".tmp" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ckpts"]


@pytest.mark.parametrize("folder", ["/proc", "/sys"])
def test_a_folder_that_cannot_be_written_is_named_and_no_hidden_file(committed: Store, folder: str) -> None:
    with pytest.raises(DeltackptError) as caught:
        committed.checkout("main", f"{folder}/out.safetensors", part="model")
    assert str(caught.value).startswith(f"cannot write '{folder}/out.safetensors': ")
    assert ".tmp" not in str(caught.value)


@pytest.mark.parametrize("name", ["n" * 255, "日" * 80])
def test_the_longest_names(committed: Store, tmp_path: Path, name: str) -> None:
    committed.checkout("main", tmp_path / name, part="model")
    assert "emb.weight" in load_file(tmp_path / name)


def test_a_path_may_be_bytes(committed: Store, tmp_path: Path) -> None:
    committed.checkout("main", os.fsencode(tmp_path / "out"), part="model")  # type: ignore[arg-type]
    assert "emb.weight" in load_file(tmp_path / "out")


@pytest.mark.parametrize("name", ["store.json", "out", "packs/out", "log/0000000000000009.rec"])
def test_nothing_is_put_among_the_files_of_a_store(committed: Store, tmp_path: Path, name: str) -> None:
    other = Store.init(tmp_path / "other")
    (tmp_path / "link").symlink_to(committed.path)
    for store in (committed.path, other.path, str(tmp_path / "link")):
        with pytest.raises(InvalidInputError, match=r"lies in the store .*; choose a target outside of it"):
            committed.checkout("main", f"{store}/{name}", part="model", force=True)
    assert Store(committed.path).resolve("main").step == 20


def written(store: Store, folder: Path, state: Any, **options: Any) -> tuple[dict[str, torch.Tensor], Any]:
    """The tensors of the file that a state becomes, and what the header says of them."""
    store.commit(state)
    store.checkout("main", folder / "out.safetensors", force=True, **options)
    with safe_open(folder / "out.safetensors", "pt") as file:
        return load_file(folder / "out.safetensors"), json.loads(file.metadata()["deltackpt"])


def test_types_that_the_format_lacks_go_out_as_their_bytes(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wide = torch.randn(300, 5, dtype=torch.complex128)
    half = torch.view_as_complex(torch.randn(4, 2).half())
    raw = torch.arange(6, dtype=torch.uint8)
    state = {"wide": wide, "half": half, "bits": raw.view(torch.bits8), "int": raw.view(torch.int4), "w": torch.ones(2)}
    tensors, told = written(store, tmp_path, {"m": state})
    assert torch.equal(torch.view_as_complex(tensors["m/wide"]), wide)
    assert torch.equal(tensors["m/half"], torch.view_as_real(half))
    assert torch.equal(tensors["m/bits"], raw)
    assert torch.equal(tensors["m/int"], raw)
    assert told["tensors"] == {
        "m/wide": {"dtype": "complex128", "shape": [300, 5]},
        "m/half": {"dtype": "complex32", "shape": [4]},
        "m/bits": {"dtype": "bits8", "shape": [6]},
        "m/int": {"dtype": "int4", "shape": [6]},
    }
    assert "tensor 'm/wide' and 3 more: safetensors has no such name or type" in caplog.text
    store.commit_path(tmp_path / "out.safetensors", branch="again")
    store.checkout("again", tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "out.safetensors").read_bytes()


def test_names_that_a_file_must_not_hold_are_encoded(store: Store, tmp_path: Path) -> None:
    names = ["a\0b", "/etc/passwd", "..", "x/../y", "C:\\x", "n" * 5000, "__metadata__", "plain", "a%00b"]
    state = {name: torch.full((2,), float(number)) for number, name in enumerate(names)}
    tensors, told = written(store, tmp_path, {"m": state}, part="m")
    found = {told.get("tensors", {}).get(name, {}).get("name", name): tensor for name, tensor in tensors.items()}
    assert {name: tensor[0].item() for name, tensor in found.items()} == {n: float(i) for i, n in enumerate(names)}
    assert set(tensors) >= {"plain", "a%00b", "%2Fetc%2Fpasswd", "%2E%2E"}
    store.commit_path(tmp_path / "out.safetensors", branch="again")


def test_large_values_go_with_a_whole_state_alone(store: Store, tmp_path: Path) -> None:
    state = {"m": {"w": torch.ones(2), "raw": b"x" * (2 << 20)}}
    tensors, _ = written(store, tmp_path, state)
    assert tensors["m/raw"].numpy().tobytes() == state["m"]["raw"]
    tensors, _ = written(store, tmp_path, {"m": {**state["m"], "v": 1}}, part="m")
    assert list(tensors) == ["w"]
