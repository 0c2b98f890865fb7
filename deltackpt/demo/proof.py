"""The proof: what comes out of the store is, bit for bit, what was in memory when it was committed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safetensors.torch import load_file

from deltackpt.demo.fingerprints import fingerprints
from deltackpt.demo.training import Saved
from deltackpt.history.commits import Commit
from deltackpt.store import Store


@dataclass(frozen=True, slots=True)
class Proof:
    """One commit, loaded and checked out. ``differing`` names what did not come back as it was."""

    commit: Commit
    tensors: int
    values: int
    file_bytes: int
    differing: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.differing


def three_of(saved: Sequence[Saved]) -> list[Saved]:
    """The first, the middle and the last commit, as far as there are so many."""
    chosen = sorted({0, len(saved) // 2, len(saved) - 1})
    return [saved[at] for at in chosen if 0 <= at < len(saved)]


def prove(store: Store, saved: Saved, folder: str) -> Proof:
    """Load ``saved`` as an object, and check it out to a file in ``folder`` that the safetensors library reads."""
    commit = store.resolve(f"step:{saved.step}")
    loaded = fingerprints(store.load(commit))
    path = os.path.join(folder, f"step-{saved.step}.safetensors")
    size = store.checkout(commit, path)
    written = fingerprints(load_file(path))
    differing = {
        *_differing("loaded", saved.memory.tensors, loaded.tensors),
        *_differing("loaded", saved.memory.values, loaded.values),
        *_differing("checked out", saved.memory.tensors, written.tensors),
    }
    return Proof(commit, len(saved.memory.tensors), len(saved.memory.values), size, tuple(sorted(differing)))


def _differing(how: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Names of what was in memory and did not come back as it was."""
    return [f"{name} ({how})" for name, value in before.items() if after.get(name) != value]
