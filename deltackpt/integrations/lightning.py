"""Lightning: a ``CheckpointIO`` that puts every checkpoint into a store.

At the path of a checkpoint stands either the real ``.ckpt`` file, which everything reads, or a stub, a line that says
which commit it stands for; ``ModelCheckpoint`` works with both, and ``AsyncCheckpointIO`` goes around either.
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any, Literal

from lightning.fabric.plugins import CheckpointIO, TorchCheckpointIO
from lightning.fabric.utilities.cloud_io import get_filesystem

from deltackpt.errors import FormatError, InvalidInputError, NotFoundError
from deltackpt.fs.disk import Disk
from deltackpt.fs.target import TargetFile
from deltackpt.history.commits import Commit
from deltackpt.maintenance.keep import Keep
from deltackpt.training.preflight import opened

_STUB = b'{"deltackpt":'
_MAX_STUB_BYTES = 1 << 16


class DeltackptIO(CheckpointIO):
    """``Trainer(plugins=[DeltackptIO("runs/store")])``.

    ``files="real"`` writes the usual file beside the commit, ``"stub"`` a line in its place. The store's history is
    what ``keep`` says, whatever ``ModelCheckpoint`` removes. Strategies that write by themselves (sharded FSDP,
    DeepSpeed) do not come here.
    """

    def __init__(
        self,
        store: str | os.PathLike[str],
        *,
        branch: str = "main",
        files: Literal["real", "stub"] = "real",
        keep: Keep | None = None,
    ) -> None:
        if files not in ("real", "stub"):
            raise InvalidInputError(f"files is 'real' or 'stub', not {files!r}")
        self._store = opened(os.fspath(store))
        self._branch = branch
        self._files = files
        self._keep = keep
        self._torch = TorchCheckpointIO()
        self._parent: Commit | None = None
        self._lock = threading.Lock()
        self._unwanted: dict[str, int] = {}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Commit, then write the file: a path that is there stands for a commit that is durable.

        With ``files="real"`` the path may be a URL that fsspec knows.
        """
        if storage_options is not None:
            raise TypeError("DeltackptIO takes no storage_options; give options to its constructor")
        commit = self._commit(checkpoint, os.fspath(path))
        with self._lock:
            here = threading.get_ident()
            wanted = self._unwanted.pop(os.fspath(path), here) == here
            if wanted and self._files == "stub":
                self._write_stub(commit, os.fspath(path))
            elif wanted:
                self._torch.save_checkpoint(checkpoint, path)
        if self._keep is not None:
            self._store.prune(self._keep, branches=[self._branch])
            self._store.gc()

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The checkpoint at ``path``, which later saves of this run go on from. Nothing of a stub is unpickled."""
        stub = _stub(os.fspath(path))
        if stub is None:
            placed = {} if map_location is None else {"map_location": map_location}
            loaded: dict[str, Any] = self._torch.load_checkpoint(path, weights_only=weights_only, **placed)
            self._parent = self._at_step(loaded.get("global_step"))
            return loaded
        device = map_location if not callable(map_location) and not isinstance(map_location, dict) else None
        self._parent = self._store.resolve(stub)
        found: dict[str, Any] = self._store.load(self._parent, device=device)
        return found

    def remove_checkpoint(self, path: Any) -> None:
        """Remove the file; the commit stays as long as ``keep`` wants it."""
        with self._lock:
            # Within AsyncCheckpointIO the save of a file that is not wanted any more may still wait for its turn in
            # another thread. One that comes later from this thread is a new file of that name.
            if not _is_there(os.fspath(path)):
                self._unwanted[os.fspath(path)] = threading.get_ident()
            self._torch.remove_checkpoint(path)

    def teardown(self) -> None:
        self._store.close()

    def restore_file(self, path: str | os.PathLike[str]) -> None:
        """Write the real ``.ckpt`` in the place of a stub, for ``load_from_checkpoint`` and ``torch.load``."""
        stub = _stub(os.fspath(path))
        if stub is not None:
            self._torch.save_checkpoint(self._store.load(stub), os.fspath(path))

    def _commit(self, checkpoint: dict[str, Any], path: str) -> Commit:
        step = checkpoint.get("global_step")
        head = self._store.branches().get(self._branch)
        # A run that went back begins a line of its own; two saves of one step are two commits, the first has its name.
        parent, self._parent = self._parent, None
        again = head is not None and (parent is None or parent.id == head.id) and head.step == step
        return self._store.commit(
            checkpoint,
            step=None if again else step,
            metrics=_metrics(checkpoint),
            message=os.path.basename(path),
            branch=self._branch,
            parent=parent if parent is not None and head is not None and parent.id != head.id else None,
        )

    def _at_step(self, step: int | None) -> Commit | None:
        """The commit of a real file's step, when the branch has one."""
        try:
            return None if step is None else self._store.resolve(f"{self._branch}@step:{step}")
        except NotFoundError:
            return None

    def _write_stub(self, commit: Commit, path: str) -> None:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        data = _STUB + json.dumps({"store": self._store.path, "commit": str(commit.id)}).encode() + b"}\n"
        with TargetFile(Disk(), path, len(data), force=True) as target:
            target.write_at(0, data)


def _metrics(checkpoint: dict[str, Any]) -> dict[str, float]:
    """What the callbacks that choose checkpoints monitor."""
    states = [state for state in (checkpoint.get("callbacks") or {}).values() if isinstance(state, dict)]
    return {
        state["monitor"]: float(state["current_score"])
        for state in states
        if state.get("monitor") and state.get("current_score") is not None
    }


def _is_there(path: str) -> bool:
    """Also of a link that leads nowhere, and of a path that is a URL."""
    return os.path.lexists(path) or bool(get_filesystem(path).exists(path))


def _stub(path: str) -> str | None:
    """The commit that a stub names; None for any other file."""
    with get_filesystem(path).open(path, "rb") as file:
        data = file.read(_MAX_STUB_BYTES)
    if not data.startswith(_STUB):
        return None
    try:
        return str(json.loads(data)["deltackpt"]["commit"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FormatError(f"{path!r} begins like a stub and is none; save it anew, or load the commit itself") from None
