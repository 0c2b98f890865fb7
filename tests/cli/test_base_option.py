"""``deltackpt commit --base REF``: a model that no branch stands at any more helps, whatever its tensors are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_program import Cli
from renaming import SCHEMES, encoder, renamed, tuned, write_gguf
from safetensors.torch import save_file

from deltackpt import Store

MODEL = encoder()
TUNED = tuned(MODEL)


def written(scheme: str, folder: Path) -> Path:
    """The fine-tune in a file under the names of ``scheme``: GGUF's in one of its own format."""
    if scheme == "GGUF":
        return write_gguf(folder / "tuned.gguf", TUNED)
    save_file(renamed(TUNED, scheme), folder / "tuned.safetensors")
    return folder / "tuned.safetensors"


@pytest.fixture
def trained_on(store: Store, tmp_path: Path) -> Store:
    """A store whose only branch has gone on to something else since the tag ``pretrained``."""
    save_file(MODEL, tmp_path / "model.safetensors")
    save_file({name: -tensor.flip(0) for name, tensor in MODEL.items()}, tmp_path / "else.safetensors")
    store.commit_path(tmp_path / "model.safetensors", tags="pretrained")
    store.commit_path(tmp_path / "else.safetensors")
    return store


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_named_commit_lends(trained_on: Store, cli: Cli, tmp_path: Path, scheme: str) -> None:
    path = written(scheme, tmp_path)
    done = cli("--store", trained_on.path, "commit", path, "--branch", "tuned", "--base", "pretrained")
    assert (done.code, done.err) == (0, "")
    kept = {row.name: set(row.recipes) for row in trained_on.inventory("tuned") if len(row.shape) == 2}
    assert list(kept.values()) == [{"delta"}] * sum(tensor.dim() == 2 for tensor in MODEL.values())
    back = tmp_path / "back"
    assert cli("--store", trained_on.path, "checkout", "tuned", "-o", back).code == 0
    assert back.read_bytes() == path.read_bytes()


def test_a_base_that_is_not_there(trained_on: Store, cli: Cli, tmp_path: Path) -> None:
    path = written("GGUF", tmp_path)
    done = cli("--store", trained_on.path, "commit", path, "--branch", "tuned", "--base", "gone")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("deltackpt: ")
