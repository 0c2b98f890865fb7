"""The store itself. Everything that the benchmarks ask of its API stands here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contenders.contender import folder_bytes
from benchmarks.snapshot import Snapshot


class DeltackptStore:
    """A store opened once; the live state is committed, a checkout is a file."""

    name: ClassVar[str] = "deltackpt"

    @staticmethod
    def absent() -> str | None:
        import deltackpt

        return None if hasattr(deltackpt, "Store") else "missing: this checkout has no Store yet"

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        self.store = _open(self.folder)

    def commit(self, snapshot: Snapshot) -> None:
        self.commit_state(snapshot.state, snapshot.step)

    def commit_state(self, state: Any, step: int, branch: str = "main") -> None:
        """The same without a snapshot: any state, durable when this returns."""
        self.store.commit(state, step=step, branch=branch)

    def checkout(self, step: int, path: Path) -> None:
        self.store.checkout(f"step:{step}", str(path), force=True)

    def keep(self, path: Path, step: int) -> None:
        """Any checkpoint file or folder, as it is; durable when this returns."""
        self.store.commit_path(path, step=step)

    def restore(self, path: Path, step: int, target: Path) -> None:
        """Write what was kept of ``path`` into ``target``."""
        self.checkout(step, target / path.name)

    def log(self) -> int:
        """Walks the whole log of the default branch; the number of commits."""
        return sum(1 for _ in self.store.log("main"))

    def chain_length(self, step: int) -> tuple[float, int]:
        """How many deltas lie below the chunks of ``step``: the mean over the bytes
        of its distinct chunks, and the most."""
        places = self._places(step)
        plain = sum(place.plain_length for place in places)
        return sum(place.rank * place.plain_length for place in places) / plain, max(place.rank for place in places)

    def _places(self, step: int) -> list[Any]:
        from deltackpt.history.repository import Options, Repository

        repository = Repository(str(self.folder), Options(), lambda done, total: None)
        parts = [repository.manifests.part(part.id) for part in repository.resolve(f"step:{step}").parts]
        chunks = {chunk for part in parts for tensor in part.tensors for chunk in tensor.chunks}
        places = list(repository.reader.locate(chunks).values())
        repository.close()
        return places

    def bytes_on_disk(self) -> int:
        return folder_bytes(self.folder)

    def close(self) -> None:
        self.store.close()


def log_command(folder: Path) -> Sequence[str]:
    """``deltackpt log`` on the store below ``folder``, as a command line."""
    return [sys.executable, "-m", "deltackpt", "log", "--store", str(folder / "store")]


def _open(path: Path) -> Any:
    import deltackpt

    return deltackpt.Store(str(path)) if path.exists() else deltackpt.Store.init(str(path), reserve=0)
