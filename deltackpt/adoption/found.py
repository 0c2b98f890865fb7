"""Checkpoints on disk, in their order: steps, epochs and metrics, by names, trainer_state.json and PyTorch files."""

from __future__ import annotations

import fnmatch
import glob
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deltackpt.adoption.inside import said_inside
from deltackpt.adoption.kinds import Kind, Kinds, names_in
from deltackpt.adoption.names import EPOCH, last_number, said_by_name
from deltackpt.adoption.search import Place, Search
from deltackpt.errors import InvalidInputError, NotFoundError
from deltackpt.formats.wording import shown_path

_MAX_STATE_BYTES = 64 << 20
_STEP_RANGE = range(1 << 63)
_TRAINER_STATE = "trainer_state.json"
_BEST = "best_metric"


@dataclass(frozen=True, slots=True)
class FoundCheckpoint:
    """A checkpoint, and what names, trainer_state.json and PyTorch files say of it.

    ``size`` and ``mtime_ns`` are those of the path itself, or of the files together; an epoch is one of the metrics.
    ``yields`` says that the step is not in the name, so that another of that step comes first: the final model of a
    run, or a copy of the best, is often of a step that was saved as well.
    """

    place: Place
    step: int | None
    metrics: Mapping[str, float]
    size: int
    mtime_ns: int
    yields: bool

    @property
    def path(self) -> str:
        """What it is called."""
        return self.place.path

    @property
    def origin(self) -> dict[str, Any]:
        """What tells this checkpoint from any other, kept beside its commit."""
        return {"path": os.path.realpath(self.path), "size": self.size, "mtime_ns": self.mtime_ns}


@dataclass(frozen=True, slots=True)
class Findings:
    """Checkpoints, the oldest first; and what stood among them and is none, which an import leaves as it is."""

    checkpoints: tuple[FoundCheckpoint, ...]
    left: tuple[str, ...]


def find_checkpoints(patterns: Iterable[str], gone: Iterable[str] = ()) -> Findings:
    """What paths and globs name, and what folders of checkpoints hold, each once: by step, epoch, number, then time.

    A file that is named by itself, as the only one, is taken for a checkpoint whatever it is. NotFoundError when one of
    the patterns names nothing, or nothing is a checkpoint, unless it names some of the absolute paths ``gone``, where
    checkpoints were imported from that may be removed by now; InvalidInputError when two have the same step.
    """
    patterns, absent = list(patterns), list(gone)
    named = {pattern: _matches(pattern) for pattern in patterns}
    for pattern, matches in named.items():
        if not matches and not _names_any(pattern, absent):
            raise NotFoundError(f"{shown_path(pattern)}: no such file, and no file matches it")
    search = Search(Kinds(frozenset(absent)))
    _search(search, named)
    if not search.places and not any(_names_any(pattern, absent) for pattern in patterns):
        raise NotFoundError(
            f"{shown_path(patterns[0]) if patterns else 'nothing'}: no checkpoint is there, by names and contents;"
            " `deltackpt commit PATH` takes any file or folder as it is"
        )
    found = sorted(map(_described, _each_once(search.places)), key=_order)
    return Findings(tuple(_with_steps_once(found)), tuple(dict.fromkeys(search.left)))


def _matches(pattern: str) -> list[str]:
    if os.path.lexists(pattern):
        return [pattern]
    # A TensorFlow checkpoint is called by the prefix of its files.
    prefixed = glob.glob(f"{glob.escape(pattern)}.index") + glob.glob(f"{glob.escape(pattern)}.data-*-of-*")
    return sorted(glob.glob(pattern)) or sorted(prefixed)


def _names_any(pattern: str, paths: Iterable[str]) -> bool:
    """Whether a path is what ``pattern`` names, or lies in it."""
    whole = os.path.join(os.path.realpath(os.path.dirname(pattern) or "."), os.path.basename(pattern))
    steps = whole.rstrip("/").split("/")
    # Step by step, as globs go: a star stops at a slash.
    return any(fnmatch.fnmatchcase("/".join(path.split("/")[: len(steps)]), "/".join(steps)) for path in paths)


def _search(search: Search, named: Mapping[str, Sequence[str]]) -> None:
    paths = [path for matches in named.values() for path in matches]
    if len(paths) == 1 and paths == list(named):
        _search_one(search, paths[0])
        return
    by_folder: dict[str, dict[str, None]] = {}
    for path in paths:
        at = path.rstrip("/") or path
        by_folder.setdefault(os.path.dirname(at), {})[os.path.basename(at)] = None
    for folder, names in by_folder.items():
        search.look(folder, names)


def _search_one(search: Search, path: str) -> None:
    """A path that somebody named by itself: a link is what it leads to, a file what it is called."""
    path = os.path.realpath(path) if os.path.islink(path.rstrip("/")) else path
    if not os.path.isdir(path) or search.kinds.of(path) is Kind.CHECKPOINT:
        search.places.append(Place(path, path))
    else:
        search.look(path, names_in(path))


def _each_once(places: Iterable[Place]) -> list[Place]:
    return list({(os.path.realpath(p.path), p.is_file_set): p for p in reversed(list(places))}.values())


def _with_steps_once(found: Sequence[FoundCheckpoint]) -> list[FoundCheckpoint]:
    """The same, in which what yields to another checkpoint of its step has none."""
    by_step: dict[int, FoundCheckpoint] = {}
    kept: list[FoundCheckpoint] = []
    for one in sorted(found, key=lambda one: one.yields):
        other = by_step.setdefault(one.step, one) if one.step is not None else one
        if other is not one and not one.yields:
            raise InvalidInputError(
                f"{shown_path(other.path)} and {shown_path(one.path)} are both of step {one.step};"
                " name the checkpoints of one run, and import another run with a --branch of its own"
            )
        kept.append(one if other is one else replace(one, step=None))
    return sorted(kept, key=_order)


def _order(one: FoundCheckpoint) -> tuple[float, float, float, int, str]:
    step = math.inf if one.step is None else one.step
    number = last_number(os.path.basename(os.path.abspath(one.path)))
    return step, one.metrics.get(EPOCH, math.inf), number, one.mtime_ns, one.path


def _described(place: Place) -> FoundCheckpoint:
    statuses = [os.stat(os.path.join(place.folder, name)) for name in place.members]
    # The final model has the name of its run, which says nothing of it.
    name = "" if place.is_final else os.path.basename(os.path.abspath(place.path))
    named, metrics = said_by_name(name)
    step = named
    if named is None and isinstance(place.where, str) and os.path.isfile(place.where):
        step, inside = said_inside(place.where)
        metrics = inside | metrics
    state = _trainer_state(os.path.join(place.path, _TRAINER_STATE))
    if isinstance(state.get("global_step"), int) and state["global_step"] in _STEP_RANGE:
        step = state["global_step"]
    size, mtime = sum(s.st_size for s in statuses), max(s.st_mtime_ns for s in statuses)
    return FoundCheckpoint(place, step, {**_logged(state), **metrics}, size, mtime, named is None)


def _trainer_state(path: str) -> dict[str, Any]:
    """What Transformers' Trainer wrote; nothing when it is not there or something else."""
    try:
        with open(path, "rb") as file:
            state = json.loads(file.read(_MAX_STATE_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return state if isinstance(state, dict) else {}


def _logged(state: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of the last step in a trainer's log, the best that it has seen, and the epoch."""
    log = state.get("log_history")
    entries = [e for e in log if isinstance(e, dict)] if isinstance(log, list) else []
    of_step = {k: v for entry in entries if entry.get("step") == state.get("global_step") for k, v in entry.items()}
    named = {**of_step, _BEST: state.get(_BEST), EPOCH: state.get(EPOCH)}
    return {key: float(v) for key, v in named.items() if type(v) in (int, float) and key != "step"}
