"""The same weights from every format, also under other names and in another order: none of their chunks is new."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch
from folder_writers import WRITERS, State, untied
from safetensors.torch import save_file

from deltackpt import Commit, Store
from deltackpt.history.repository import Options, Repository
from deltackpt.ids import ChunkId


def one_file(folder: Path, state: State) -> None:
    save_file(untied(state), folder / "one.safetensors")
    torch.save(state, folder / "one.pt")


def renamed(state: State) -> State:
    """The weights under other names, the last first."""
    weights = {f"net.{name}.w": tensor for name, tensor in reversed(state["model"].items())}
    return {**state, "model": weights}


def chunks_of_weights(store: Store, commit: Commit) -> dict[ChunkId, int]:
    """Every chunk of weights and moments, with its length."""
    with closing(Repository(store.path, Options(), lambda done, total: None)) as repository:
        tensors = [tensor for part in commit.parts for tensor in repository.manifests.part(part.id).tensors]
        weights = [tensor for tensor in tensors if tensor.dtype.name == "float32"]
        return {chunk: stop - start for tensor in weights for chunk, start, stop in tensor.spans()}


@pytest.mark.parametrize("change", [dict, renamed], ids=["as they are", "renamed"])
def test_weights_are_stored_once(
    store: Store, tmp_path: Path, trained: list[State], change: Callable[[State], State]
) -> None:
    live = chunks_of_weights(store, store.commit(trained[0]))
    assert sum(live.values()) > 500_000
    for write in [one_file, *WRITERS]:
        (folder := tmp_path / write.__name__).mkdir()
        write(folder, change(trained[0]))
        found = chunks_of_weights(store, store.commit(folder, branch=write.__name__))
        new = sum(length for chunk, length in found.items() if chunk not in live)
        assert (write.__name__, new) == (write.__name__, 0)
        assert found
