"""DeepSpeed: a checkpoint engine that commits what all ranks have written, one commit for each tag.

The files are DeepSpeed's own, at their own places, so everything that reads a checkpoint goes on reading it. They are
committed after a barrier and before ``latest`` names them, and a save fails on every rank when that fails.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, Literal

from deepspeed.runtime.checkpoint_engine import CheckpointCommitInfo, TorchCheckpointEngine

from deltackpt.errors import InvalidInputError, NotFoundError, StorageError
from deltackpt.formats.names import is_unsafe
from deltackpt.fs.disk import Disk, storage_errors
from deltackpt.fs.remove import remove_tree
from deltackpt.fs.target import TargetFile
from deltackpt.history.commits import Commit
from deltackpt.integrations.folder_line import FolderLine
from deltackpt.maintenance.keep import Keep
from deltackpt.store import Ref, Store
from deltackpt.training.ranks import Ranks

_STEP = re.compile(r"(\d+)\Z")
_LATEST = "latest"

Written = list[tuple[str, int]]
"""Paths of files, and how many bytes they should have."""


def attach(engine: Any, store: str | os.PathLike[str], **options: Any) -> DeltackptEngine:
    """Let a DeepSpeed ``engine`` keep its checkpoints in ``store``; on every rank, right after ``initialize``.

    ``options`` are those of :class:`DeltackptEngine`. InvalidInputError when the configuration asks for a writer of
    another kind: with some of them several ranks write one file.
    """
    if not isinstance(engine.checkpoint_engine, TorchCheckpointEngine):
        kind = type(engine.checkpoint_engine).__name__
        raise InvalidInputError(f"DeepSpeed is configured to save with {kind}; leave its checkpoint writer out")
    engine.checkpoint_engine = made = DeltackptEngine(engine._config, store=store, **options)
    return made


class DeltackptEngine(TorchCheckpointEngine):  # type: ignore[misc]
    """Writes and reads files as DeepSpeed's own engine does, and commits each tag's folder.

    ``folders="newest"`` removes the folder of a committed tag when the second one after it is being written, so that
    ``latest`` always names one that is there. A tag's number is the step of its commit, the tag its message. Every rank
    must see the files of all ranks.
    """

    def __init__(
        self,
        config_params: Any = None,
        *,
        store: str | os.PathLike[str],
        branch: str = "main",
        keep: Keep | None = None,
        folders: Literal["all", "newest"] = "all",
    ) -> None:
        if folders not in ("all", "newest"):
            raise InvalidInputError(f"folders is 'all' or 'newest', not {folders!r}")
        super().__init__(config_params)
        self.name = type(self).__name__
        self._branch = branch
        self._folders = folders
        self._ranks = Ranks()
        self._line: FolderLine | None = None
        self._loaded: str | None = None
        self._begun = False
        self._written: Written = []
        self._failed: str | None = None
        self._committed: list[str] = []
        config = getattr(config_params, "_param_dict", None)
        self._ranks.from_first(lambda: self._open(os.path.abspath(os.fspath(store)), keep, config))

    def create(self, info: CheckpointCommitInfo) -> None:
        """Before a tag is saved. InvalidInputError for a run that loaded nothing, on a branch that has commits."""
        super().create(info)
        self._written, self._failed = [], None
        self._ranks.from_first(self._prepare)

    def save(self, state_dict: Any, path: str) -> None:
        """Write a file. What fails is told by :meth:`commit`: other ranks wait for this one at places before it."""
        try:
            super().save(state_dict, path)
        except Exception as error:  # noqa: BLE001 - whatever it is, all ranks must hear of it
            self._failed = self._failed or f"{path!r} could not be written: {type(error).__name__}: {error}"
            return
        self._written.append((os.path.abspath(path), os.path.getsize(path)))

    def load(self, path: str, map_location: Any = None) -> Any:
        """As DeepSpeed does, which unpickles: only what is trusted. Later saves of this run follow the loaded tag."""
        loaded = super().load(path, map_location)
        self._loaded, self._begun = os.path.basename(os.path.dirname(os.path.abspath(path))), False
        return loaded

    def commit(self, info: CheckpointCommitInfo) -> bool:
        """Wait for every rank, see that its files are there, and commit. What fails is raised on every rank."""
        told = self._ranks.gathered((self._written, self._failed)) or []
        self._ranks.from_first(lambda: self._commit(os.path.abspath(info.save_dir), info.tag, told))
        return True

    def cleanup(self) -> None:
        """Give back what is held open."""
        if self._line is not None:
            self._line.close()
        self._ranks.close()

    def _open(self, store: str, keep: Keep | None, config: Any) -> None:
        self._line = FolderLine(store, self._branch, keep=keep, config=config)

    def _prepare(self) -> None:
        assert self._line is not None
        if not self._begun:
            self._line.begin(None if self._loaded is None else self._went_on_from)
            self._begun = True
        if self._folders == "newest":
            for folder in self._committed[:-1]:
                _remove(folder)
            del self._committed[:-1]

    def _went_on_from(self, store: Store) -> Commit:
        """The newest commit of the tag that was loaded."""
        for commit in store.log(self._branch):
            if commit.message == self._loaded:
                return commit
        raise NotFoundError(
            f"branch {self._branch!r} has commits, and none is of tag {self._loaded!r}, which was loaded;"
            " choose another branch"
        )

    def _commit(self, save_dir: str, tag: str, told: Sequence[tuple[Written, str | None]]) -> None:
        assert self._line is not None
        for rank, (_, failed) in enumerate(told):
            if failed is not None:
                raise StorageError(f"rank {rank}: {failed}; {tag!r} is not committed")
        folder = os.path.join(save_dir, tag)
        files = [
            (rank, path, size)
            for rank, (written, _) in enumerate(told)
            for path, size in written
            if path.startswith(f"{folder}{os.sep}")
        ]
        if not files:
            return  # A file beside the checkpoints, such as save_16bit_model writes.
        for rank, path, size in files:
            if not os.path.isfile(path) or os.path.getsize(path) != size:
                raise StorageError(
                    f"rank 0 does not see {path!r} as rank {rank} has written it; save to a folder that all ranks share"
                )
        number = _STEP.search(tag)
        self._line.commit(folder, step=int(number[1]) if number else None, message=tag)
        self._committed = [*(done for done in self._committed if done != folder), folder]


def restore_folder(store: Store, ref: Ref, save_dir: str | os.PathLike[str]) -> str:
    """Write a commit of :class:`DeltackptEngine` below ``save_dir``, where ``load_checkpoint(save_dir)`` finds it.

    For all ranks at once, after ``initialize``. Returns the tag, which ``latest`` names then. InvalidInputError when
    the tag's folder exists, or when the commit is of no tag.
    """
    ranks = Ranks()
    try:
        return ranks.from_first(lambda: _restored(store, ref, os.path.abspath(os.fspath(save_dir))))
    finally:
        ranks.close()


def _restored(store: Store, ref: Ref, save_dir: str) -> str:
    commit = store.resolve(ref)
    tag = commit.message
    if not tag or is_unsafe(tag):
        raise InvalidInputError(f"commit {commit.description} is of no tag of DeepSpeed; check it out as it is")
    with storage_errors("creating", save_dir):
        os.makedirs(save_dir, exist_ok=True)
    store.checkout(commit, os.path.join(save_dir, tag))
    with TargetFile(Disk(), os.path.join(save_dir, _LATEST), len(tag.encode()), force=True) as target:
        target.write_at(0, tag.encode())
    return tag


def _remove(folder: str) -> None:
    with storage_errors("removing", folder):
        above = os.open(os.path.dirname(folder), os.O_RDONLY | os.O_DIRECTORY)
        try:
            remove_tree(above, os.path.basename(folder))
        finally:
            os.close(above)
