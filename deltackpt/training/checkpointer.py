"""The checkpointer: what a training loop calls."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import uuid
import weakref
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from deltackpt.commit.request import free_form
from deltackpt.errors import InvalidInputError
from deltackpt.history.objects import encode_free_form
from deltackpt.history.provenance import environment
from deltackpt.history.refs import Branch
from deltackpt.history.repository import Options
from deltackpt.history.resolve import DEFAULT_BRANCH
from deltackpt.maintenance.keep import Keep
from deltackpt.skeleton.capture import capture
from deltackpt.store import Store
from deltackpt.training import preflight, report
from deltackpt.training.cast import Cast
from deltackpt.training.frozen import Frozen
from deltackpt.training.job import Opening
from deltackpt.training.nested import without_meta
from deltackpt.training.ranks import Ranks
from deltackpt.training.restoring import Restorer
from deltackpt.training.roster import MODEL, Choice, Roster
from deltackpt.training.saver import Memory, Saved, Saver, Worker
from deltackpt.training.saving import Manner, OnBusy, OnError, Saving
from deltackpt.training.schedule import Every, Schedule
from deltackpt.training.signals import Signals
from deltackpt.training.snapshot import plain_bytes

log = logging.getLogger("deltackpt")

DEFAULT_OPTIONS = Options(threads=1)


class Checkpointer:
    """Saves a training while it runs, and takes it up again bit for bit.

    Used from the thread that trains; under torch.distributed by every rank, at the same places. A context manager:
    leaving it waits until the last save is durable. ``docs/training.md`` explains each argument.
    """

    def __init__(
        self,
        store: str | os.PathLike[str],
        *,
        model: Any = None,
        optimizer: Any = None,
        scheduler: Any = None,
        scaler: Any = None,
        dataloader: Any = None,
        extra: Mapping[str, Any] | None = None,
        config: Any = None,
        files: Sequence[str] = (),
        every: Every = None,
        keep: Keep | None = None,
        branch: str = DEFAULT_BRANCH,
        start_from: str | None = None,
        load: Sequence[str] | None = None,
        strict: bool = True,
        rename: Mapping[str, str] | None = None,
        include: Sequence[str] = (),
        frozen: Literal["store", "reference"] = "store",
        origin: str = "",
        cast: Mapping[str, str] | None = None,
        worker: Worker = "process",
        memory: Memory = "auto",
        on_busy: OnBusy = "wait",
        on_error: OnError = "raise",
        catch_signals: bool = True,
        scalars: Any = None,
        options: Options = DEFAULT_OPTIONS,
        nice: int = 10,
    ) -> None:
        things = {MODEL: model, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler, **(extra or {})}
        reference = _reference(frozen, model, origin)
        roster = Roster.of(things, dataloader=dataloader, files=files, include=include, frozen=reference)
        encoded = b"" if config is None else encode_free_form(free_form(config, "config"))
        manner = Manner(uuid.uuid4().hex, Branch(branch).name, encoded, on_busy, on_error, report.scalars_to(scalars))
        choice = Choice(None if load is None else frozenset(load), strict, rename or {})
        roster.check(choice)
        self.epoch = 0
        """The epoch under way, to be set by the loop; it is saved, and set by :meth:`resume`."""
        self.stopping = False
        """Whether a signal ends the training: every rank knows, and the last state is durable."""
        self._branch = branch
        self._on_busy = on_busy
        self._schedule = Schedule.of(every, keep)
        self._completed = 0
        self._begun = self._paused = self._within = self._closed = False
        self._forced = self._awaited = self._due = False
        self._left: int | None = None
        self._metrics: dict[str, Any] = {}
        self._known: dict[str, Any] = {}
        self._stop: signal.Signals | None = None
        self._ranks = Ranks()
        self._store = self._checked(store, roster)
        saver = self._new_saver(options, worker, memory, keep, nice) if self._ranks.first else None
        self._saving = Saving(self._store, self._ranks, roster, Cast(cast or {}), manner, saver, self._schedule.lost)
        self._restorer = Restorer(self._store, self._ranks, roster, branch, start_from, choice, config)
        self._signals = Signals()
        if catch_signals:
            self._signals.install()
            # One that is dropped without being closed, as when the cell of a notebook runs again, catches none either.
            weakref.finalize(self, self._signals.restore).atexit = False

    @property
    def store(self) -> Store:
        """The store, open for reading."""
        return self._store

    @property
    def last(self) -> Saved | None:
        """The last save that ended, on the first rank."""
        return self._saving.last

    @property
    def skipped(self) -> int:
        """How many saves were left out because the one before was still being written (``on_busy="skip"``)."""
        return self._saving.skipped

    # The loop

    def resume(self, which: str = "auto", *, optimizer: Literal["load", "reset"] = "load") -> int:
        """Take up the newest healthy commit of the branch; returns the number of completed steps, 0 for a new run.

        ``"auto"`` begins at step 0 where there is none, and says so; ``"must"`` fails there; a ref takes that commit,
        and rewinds the branch with the next save. All is read and compared before anything live changes.
        """
        resumed = self._restorer.resume(which, reset_optimizer=optimizer == "reset")
        self._completed, self.epoch, self._begun = resumed.start, resumed.epoch, True
        if resumed.commit is not None:
            self._saving.parent = resumed.commit.id if resumed.commit.id != self._saving.head else None
            self._saving.saved_step = None if resumed.anew else resumed.start
            if not resumed.anew and self._schedule.goals and self._ranks.first:
                self._schedule.known(commit.metrics for commit in self._store.log(resumed.commit))
        self._schedule.saved()
        return resumed.start

    def steps(self, total: int) -> Iterator[int]:
        """The steps from 0 to ``total`` that are still to do. Each is completed, and perhaps saved, after its body.

        A loop that is left by ``break`` saves nothing more by itself, and says so in the log. :meth:`save` does, also
        within the body before: what the body has changed counts as its step then.
        """
        self._begin()
        self._restorer.again()
        self._left = None
        for step in range(self._completed, total):
            self._within = True
            try:
                yield step
            except GeneratorExit:
                self._leave_within(step)
                raise
            finally:
                self._within = False
            if self.step(step):
                return
        self.save()

    def step(self, step: int, metrics: Mapping[str, Any] | None = None) -> bool:
        """The 0-based ``step`` is complete: save it if the strategy says so. True when the training is to end.

        Waits for the copy of the state, and, with ``on_busy="wait"``, for the save before it. A save that failed in the
        background is raised here, or logged with ``on_error="warn"``.
        """
        self._begin()
        if step < self._completed:
            raise InvalidInputError(f"step {step} was completed already, the next is {self._completed}")
        self._completed, self._left = step + 1, None
        self.log(**(metrics or {}))
        self._known, self._metrics = self._metrics, {}
        self._saving.collect()
        reason = self._reason(self._known) if self._ranks.first else None
        forced, awaited, self._forced, self._awaited = self._forced, self._awaited, False, False
        stop, wanted, failed = self._ranks.most(self._signals.received or 0, reason is not None, self._saving.failed)
        if failed:
            self._saving.surface()
        if stop:
            self._end(signal.Signals(stop), self._known)
        elif wanted or forced:
            self._save(reason or "", self._known, patient=forced or self._on_busy == "wait")
        if awaited:
            self.wait()
        return self.stopping

    def log(self, *, step: int | None = None, **metrics: Any) -> None:
        """Metrics of the step that is under way, or of an earlier 0-based ``step``, to whose commit they are added."""
        if step is None or step >= self._completed:
            self._metrics.update({name: _alone(value) for name, value in metrics.items()})
        else:
            self._saving.add_metrics(step + 1, metrics)

    def save(self, *, wait: bool = False) -> None:
        """Save the last completed step now, unless it is saved; with ``wait`` until it is durable.

        Within the body of :meth:`steps`, whose step is half done, it is saved when the body ends. After a ``break`` out
        of that body its step counts as completed.
        """
        self._begin()
        if self._within:
            self._forced, self._awaited = True, self._awaited or wait
            return
        self._forced = self._awaited = False
        if self._left is not None:
            self._completed, self._left, self._known = self._left + 1, None, {}
        known, self._metrics = {**self._known, **self._metrics}, {}
        self._save("", known, patient=True)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Until no save is under way; a failure is raised, or logged with ``on_error="warn"``."""
        self._saving.finish()
        if self._ranks.most(self._saving.failed)[0]:
            self._saving.surface()

    def poll(self) -> bool:
        """Whether a signal asks the training to end, as all ranks agree; to be asked by all, in a long evaluation."""
        return self._asked() is not None

    @contextlib.contextmanager
    def paused_writes(self) -> Iterator[None]:
        """Nothing is written or deleted within the block, but by :meth:`save`, :meth:`log` of an earlier step, or a
        signal. What falls due is saved at the first step after it.
        """
        self._saving.finish()
        self._saving.tidy()
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def restore_files(
        self, folder: str | os.PathLike[str], ref: str | None = None, *, force: bool = False
    ) -> list[str]:
        """Write the files kept with a commit (else with the branch's newest) below ``folder``; returns their paths."""
        from deltackpt.training.files import write_files

        return write_files(self._store.load(ref or self._branch, part="files"), os.fspath(folder), force=force)

    # The end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                if self._forced:
                    self.save()
                self.wait()
                if self._stop is None:
                    # One that came after the last step has nothing more to wait for.
                    self._stop = self._asked()
                if self._stop is None:
                    self._saving.tidy()
            elif isinstance(error, Exception):
                # What was being written still becomes durable; the error that ends the training is the one to see.
                self._saving.finish()
                if self._saving.failed:
                    self._saving.mention()
        finally:
            self.close()
        if error is None and self._stop is not None:
            self._leave(self._stop)

    def close(self) -> None:
        """Give back memory, the writer and the signals; leaving the context does it, after waiting."""
        self._closed = True
        self._signals.restore()
        self._saving.close()
        self._ranks.close()
        self._store.close()

    def _leave_within(self, step: int) -> None:
        """The body of ``step`` was left, by ``break`` or by an error, perhaps long ago."""
        self._left = step
        if self._ranks.first and not self._forced and not self._closed:
            saved = self._saving.saved_step or 0
            log.warning("left within step %d; saved are %d completed steps, save() after the loop adds it", step, saved)

    def _asked(self) -> signal.Signals | None:
        """The signal that asks the training to end, as all ranks agree."""
        stop = self._ranks.most(self._signals.received or 0)[0]
        return signal.Signals(stop) if stop else None

    def _begin(self) -> None:
        """A branch that has commits is taken up, or left alone; never written over from step 0."""
        if self._closed:
            raise InvalidInputError("this Checkpointer is closed; save before its with block ends")
        if not self._begun:
            if self._saving.head is not None:
                raise InvalidInputError(
                    f"branch {self._branch!r} has commits already; call resume() first, or choose another branch"
                )
            self._begun = True
            self._schedule.saved()

    def _reason(self, metrics: Mapping[str, Any]) -> str | None:
        """Why this step is saved. While writes are paused nothing is; what fell due then has no reason of its own:
        it was of a state that is gone.
        """
        found = self._schedule.reason(self._completed, metrics)
        if self._paused:
            self._due = self._due or found is not None
            return None
        due, self._due = self._due, False
        return "" if found is None and due else found

    def _save(self, reason: str, metrics: Mapping[str, Any], *, patient: bool, clean: bool = True) -> None:
        if self._saving.save(self._completed, self.epoch, reason, metrics, patient=patient, clean=clean):
            self._schedule.known([metrics])
        self._schedule.saved()

    def _end(self, received: signal.Signals, metrics: Mapping[str, Any]) -> None:
        log.warning("%s: saving step %d, then the training ends", received.name, self._completed)
        self._stop = received
        self._save(received.name, metrics, patient=True, clean=False)
        self.wait()
        self.stopping = True

    def _leave(self, received: signal.Signals) -> None:
        """End the program as the signal would have, now that all is saved."""
        if received is signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + received)

    def _checked(self, path: str | os.PathLike[str], roster: Roster) -> Store:
        """The store, once it is known that the state can be captured and be written there. For all ranks at once."""
        nbytes = plain_bytes(capture(without_meta(roster.state([roster.of_rank()], 0, 0))))
        self._ranks.from_first(lambda: preflight.check(os.fspath(path), self._branch, nbytes))
        return Store(path)

    def _new_saver(self, options: Options, worker: Worker, memory: Memory, keep: Keep | None, nice: int) -> Saver:
        head = self._store.branches().get(self._branch)

        def opening(lend: bool) -> Opening:
            policy = None if keep is None else keep.to_toml()
            return Opening(
                path=self._store.path,
                threads=options.workers,
                chain_budget=options.chain_budget,
                nice=nice,
                lend=lend,
                keep=policy,
                environment=environment(),
                parent_pid=os.getpid(),
            )

        return Saver(opening, worker, memory, None if head is None else head.id)


def _reference(frozen: str, model: Any, origin: str) -> Frozen | None:
    if frozen not in ("store", "reference"):
        raise InvalidInputError(f"frozen is 'store' or 'reference', not {frozen!r}")
    return Frozen(model, origin) if frozen == "reference" else None


def _alone(value: Any) -> Any:
    """A loss without what it was computed from, which would stay in memory with it."""
    return value.detach() if hasattr(value, "detach") else value
