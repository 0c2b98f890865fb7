"""A branch to which a training commits the checkpoint folders that a framework writes, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deltackpt.errors import InvalidInputError
from deltackpt.history.commits import Commit
from deltackpt.maintenance.keep import Keep
from deltackpt.store import Store
from deltackpt.training.preflight import opened


class FolderLine:
    """For the one process that commits. ``config`` is plain data; after each commit the store is pruned to ``keep``."""

    def __init__(self, store: str, branch: str, *, keep: Keep | None = None, config: Any = None) -> None:
        self._store = opened(store)
        self._branch = branch
        self._keep = keep
        self._config = config
        self._parent: Commit | None = None

    def begin(self, went_on_from: Callable[[Store], Commit] | None) -> None:
        """Be told which commit the training went on from, if any: the next one follows it.

        InvalidInputError for a training that goes on from nothing, on a branch that has commits.
        """
        head = self._store.branches().get(self._branch)
        if head is None:
            return
        if went_on_from is None:
            raise InvalidInputError(
                f"branch {self._branch!r} has commits already; resume from one of them, or choose another branch"
            )
        found = went_on_from(self._store)
        self._parent = None if found.id == head.id else found

    def commit(
        self,
        folder: str,
        *,
        step: int | None,
        metrics: Mapping[str, float] | None = None,
        message: str = "",
        meta: Any = None,
    ) -> Commit:
        """Commit a complete folder. A second one of the head's step has no step."""
        parent, self._parent = self._parent, None
        head = self._store.branches().get(self._branch)
        again = parent is None and head is not None and head.step == step
        made = self._store.commit_path(
            folder,
            step=None if again else step,
            metrics=metrics,
            message=message,
            branch=self._branch,
            parent=parent,
            config=self._config,
            meta=meta,
        )
        if self._keep is not None:
            self._store.prune(self._keep, branches=[self._branch])
            self._store.gc()
        return made

    def close(self) -> None:
        self._store.close()
