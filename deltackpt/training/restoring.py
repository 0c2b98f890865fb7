"""Putting a commit back into a live training: read and compare everything, then change everything."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from deltackpt.errors import CorruptError
from deltackpt.history.commits import Commit
from deltackpt.ids import CommitId
from deltackpt.store import Store
from deltackpt.training.cast import widened
from deltackpt.training.job import about
from deltackpt.training.misfit import Misfit
from deltackpt.training.ranks import Ranks
from deltackpt.training.resume import AUTO, MUST, Found, MisfitError, differences, find
from deltackpt.training.roster import LOADER, Choice, Roster

log = logging.getLogger("deltackpt")

BESIDE = ("rng", LOADER, "files", "frozen", "facts")


@dataclass(frozen=True, slots=True)
class Resumed:
    """Where the run goes on. ``anew`` says that its steps count from 0 although ``commit`` gave it weights."""

    commit: Commit | None
    start: int = 0
    epoch: int = 0
    anew: bool = False


class Restorer:
    """Restores one training. ``choice`` is what a run that starts from another branch takes over from there."""

    def __init__(
        self,
        store: Store,
        ranks: Ranks,
        roster: Roster,
        branch: str,
        start_from: str | None,
        choice: Choice,
        config: Any,
    ) -> None:
        self._store = store
        self._ranks = ranks
        self._roster = roster
        self._branch = branch
        self._start_from = start_from
        self._choice = choice
        self._config = config
        self._of_rank: Mapping[str, Any] | None = None

    def resume(self, which: str, *, reset_optimizer: bool = False) -> Resumed:
        """Choose a commit and take it over. For all ranks at once; every rank hears of an error in the choice."""
        anew = self._begins_elsewhere(which)
        found = self._agreed(which, anew, reset_optimizer)
        for note in found.notes:
            log.warning("%s", note)
        if found.commit is None:
            return Resumed(None)
        if anew:
            return self._begin_from(found.commit)
        return self._go_on(found.commit, reset_optimizer)

    def again(self) -> None:
        """Set the random generators once more: between resuming and the first step a data loader may have used them."""
        if self._of_rank is not None:
            without_loader = {"rng": self._of_rank["rng"]} if "rng" in self._of_rank else {}
            replace(self._roster, loader=None).load_rank(without_loader, self._ranks.rank, self._ranks.size)
            self._of_rank = None

    def _begins_elsewhere(self, which: str) -> bool:
        """Whether this run begins its branch, from a commit of another."""
        begun = self._store.branches() if self._ranks.first else {}
        return bool(
            self._ranks.told(self._start_from is not None and self._branch not in begun and which in (AUTO, MUST))
        )

    def _agreed(self, which: str, anew: bool, reset: bool) -> Found:
        """The first rank chooses; all look up what it chose."""
        identity, notes = self._ranks.from_first(lambda: self._chosen(which, anew, reset))
        commit = self._store.resolve(CommitId(identity)) if identity else None
        return Found(commit, notes if self._ranks.first else ())

    def _chosen(self, which: str, anew: bool, reset: bool) -> tuple[bytes, tuple[str, ...]]:
        found = self._found(which, anew, reset)
        return bytes(found.commit.id) if found.commit is not None else b"", found.notes

    def _found(self, which: str, anew: bool, reset: bool) -> Found:
        if anew:
            assert self._start_from is not None
            return Found(self._store.resolve(self._start_from))
        choice = Choice(reset_optimizer=reset)
        return find(self._store, self._branch, which, [part for part in self._roster.members if choice.takes(part)])

    def _begin_from(self, commit: Commit) -> Resumed:
        """Weights of another branch, and steps that count from 0."""
        stored = self._read(commit, self._choice)
        ready, misfit = self._roster.prepared(stored, self._choice)
        if misfit and self._choice.strict:
            raise MisfitError(
                f"commit {commit.description} does not fit: {misfit}; strict=False takes what fits, rename= maps names"
            )
        if misfit:
            log.warning("taken over from %s but for what does not fit: %s", commit.description, misfit)
        self._roster.load(ready)
        log.info("branch %r begins from %s (%s)", self._branch, commit.description, commit.branch)
        return Resumed(commit, anew=True)

    def _go_on(self, commit: Commit, reset_optimizer: bool) -> Resumed:
        choice = Choice(reset_optimizer=reset_optimizer)
        try:
            stored = self._read(commit, choice)
        except CorruptError:
            if self._ranks.first and commit.parents:
                before = self._store.resolve(commit.parents[0])
                log.error(
                    "commit %s is damaged; the one before it is %s: resume(%r); `deltackpt repair` mends what it can",
                    commit.description,
                    before.description,
                    before.id.short,
                )
            raise
        ready, misfit = self._roster.prepared(stored, choice)
        if misfit:
            raise MisfitError(
                f"commit {commit.description} is not of this training: {misfit};"
                f" to begin another one with its weights: Checkpointer(..., branch=NEW, start_from={commit.id.short!r})"
            )
        self._roster.load(ready)
        inexact = self._roster.load_rank(stored, self._ranks.rank, self._ranks.size)
        self._of_rank = {"rng": stored["rng"]} if "rng" in stored else {}
        self._say(commit, stored, inexact)
        return Resumed(commit, int(stored.get("step", commit.step or 0)), int(stored.get("epoch", 0)))

    def _read(self, commit: Commit, choice: Choice) -> dict[str, Any]:
        """The parts that are wanted, each verified, and what stands at the top level itself."""
        there = [part.name for part in commit.parts]
        wanted = [part for part in self._roster.members if choice.takes(part)]
        cast = frozenset(about(commit).get("cast", {}).get("tensors", ()))
        stored: dict[str, Any] = {}
        for part in [part for part in there if part in wanted or part in BESIDE]:
            stored[part] = widened(self._store.load(commit, part=part), cast, part)
        root = self._store.load(commit, part="") if "" in there else {}
        return {**root, **stored} if isinstance(root, dict) else stored

    def _say(self, commit: Commit, stored: Mapping[str, Any], inexact: list[str]) -> None:
        """What a person should know of the commit that the run goes on from."""
        if inexact:
            log.warning("not as it was before: %s", "; ".join(inexact))
        if not self._ranks.first:
            return
        log.info("resumed from %s on branch %r", commit.description, self._branch)
        for note in differences(commit, self._config):
            log.warning("%s", note)
        if self._roster.files is not None and (changed := self._roster.files.changed(stored.get("files", {}))):
            log.warning("files are not as they were: %s; restore_files() writes them", Misfit(different=tuple(changed)))
