"""Saving from the loop's side: what goes into a save, one at a time, and what is said when one fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deltackpt import errors
from deltackpt.commit.request import numbers_by_name
from deltackpt.errors import ConflictError, DeltackptError, InvalidInputError, NotFoundError, StorageError
from deltackpt.history.objects import encode_free_form
from deltackpt.ids import CommitId
from deltackpt.store import Store
from deltackpt.training import report
from deltackpt.training.cast import Cast
from deltackpt.training.job import TRAINING
from deltackpt.training.ranks import Ranks
from deltackpt.training.roster import Roster
from deltackpt.training.saver import Request, Saved, Saver

log = logging.getLogger("deltackpt")

OnBusy = Literal["wait", "skip"]
OnError = Literal["raise", "warn"]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a run saves: under which name and on which branch, with which configuration, and what a busy writer or a
    failure mean.
    """

    run: str
    branch: str
    config: bytes
    on_busy: OnBusy
    on_error: OnError
    scalars: report.Scalars

    def __post_init__(self) -> None:
        if self.on_busy not in ("wait", "skip"):
            raise InvalidInputError(f"on_busy is 'wait' or 'skip', not {self.on_busy!r}")
        if self.on_error not in ("raise", "warn"):
            raise InvalidInputError(f"on_error is 'raise' or 'warn', not {self.on_error!r}")


class Saving:
    """The saves of one rank. Only the first rank has a ``saver``; the others contribute and agree.

    ``lost`` is called when the save that was taken last became no commit.
    """

    def __init__(
        self,
        store: Store,
        ranks: Ranks,
        roster: Roster,
        cast: Cast,
        manner: Manner,
        saver: Saver | None,
        lost: Callable[[], None],
    ) -> None:
        self._store = store
        self._ranks = ranks
        self._roster = roster
        self._cast = cast
        self._manner = manner
        self._saver = saver
        self._lost = lost
        self._late: dict[int, dict[str, float]] = {}
        self._failed: DeltackptError | None = None
        self.parent: CommitId | None = None
        self.saved_step: int | None = None
        self.skipped = 0
        self.last: Saved | None = None

    @property
    def head(self) -> CommitId | None:
        """Where the branch stands, as far as this run knows."""
        return None if self._saver is None else self._saver.head

    @property
    def failed(self) -> bool:
        """Whether a failure waits to be surfaced."""
        return self._failed is not None

    def save(
        self, step: int, epoch: int, reason: str, metrics: Mapping[str, Any], *, patient: bool, clean: bool = True
    ) -> bool:
        """Take a snapshot after ``step`` completed steps; whether this rank did. For all ranks at once."""
        if self._ranks.told(step == self.saved_step):
            return False
        held = self._ranks.gathered(self._roster.of_rank())
        if self._saver is None or held is None:
            return False
        if self._saver.busy and not patient:
            self.skipped += 1
            log.warning(
                "step %d is not saved: the save before it is still being written (%d so far)", step, self.skipped
            )
            return False
        self.finish()
        try:
            self._take(self._roster.state(held, step, epoch), step, reason, metrics, clean)
            self.saved_step = step
        except DeltackptError as error:
            self._failed = error
        if self._ranks.size == 1 and self._failed is not None:
            self.surface()
        return self.saved_step == step

    def collect(self, timeout: float | None = 0) -> None:
        """Take in what became of the save under way, if that is known within ``timeout`` seconds."""
        saved = self._saver.ended(timeout) if self._saver is not None else None
        if saved is None:
            return
        self.last = saved
        if saved.commit is not None:
            self.parent = None
            report.tell(saved, self._manner.scalars)
            self._annotate_late()
            return
        self.saved_step = None
        self._lost()
        kind = getattr(errors, saved.outcome.error, DeltackptError)
        self._failed = kind(f"step {saved.request.step} could not be saved: {saved.outcome.text}")

    def finish(self) -> None:
        """Until no save is under way."""
        while self._saver is not None and self._saver.busy:
            self.collect(None)

    def surface(self) -> None:
        """Raise the failure that is known, or log it when the caller would rather go on."""
        error, self._failed = self._failed, None
        if error is None:
            error = StorageError("the first rank could not save; its log says why")
        if self._manner.on_error == "raise":
            log.error("%s", error)
            raise error
        log.warning("%s; the training goes on", error)

    def mention(self) -> None:
        """Log the failure that is known, where something else ends the training."""
        log.error("%s", self._failed)

    def add_metrics(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Metrics of a step that was completed before: an annotation of its commit, once that is there."""
        if self._saver is not None and metrics:
            self._late.setdefault(step, {}).update(numbers_by_name(metrics))
            self._annotate_late()

    def tidy(self) -> None:
        """Apply the policy to what this run leaves behind."""
        if self._saver is not None:
            self._saver.tidy()

    def close(self) -> None:
        if self._saver is not None:
            self._saver.close()

    def _take(self, state: dict[str, Any], step: int, reason: str, metrics: Mapping[str, Any], clean: bool) -> None:
        assert self._saver is not None
        state, cast = self._cast.narrowed(state)
        about: dict[str, Any] = {"run": self._manner.run, "ranks": self._ranks.size}
        if cast:
            about["cast"] = {"rules": self._cast.rules, "from": "float32", "tensors": cast}
        request = Request(
            run=self._manner.run,
            branch=self._manner.branch,
            step=step,
            metrics=numbers_by_name(metrics),
            message=reason,
            config=self._manner.config,
            meta=encode_free_form({TRAINING: about}),
            parent=self.parent or b"",
            clean=clean,
        )
        self._saver.take(state, request)

    def _annotate_late(self) -> None:
        for step in [step for step in self._late if not self._on_its_way(step)]:
            metrics = self._late.pop(step)
            try:
                self._store.annotate(f"{self._manner.branch}@step:{step}", metrics)
            except NotFoundError:
                log.warning("step %d was not saved, so its metrics %s are not kept", step, ", ".join(metrics))
            except (ConflictError, StorageError) as error:
                log.warning("metrics of step %d could not be added: %s", step, error)

    def _on_its_way(self, step: int) -> bool:
        assert self._saver is not None
        return self._saver.busy and self.saved_step == step
