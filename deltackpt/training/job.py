"""What a snapshot's writer is told and what it answers, in terms that travel between processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from deltackpt.history.commits import Commit


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A tensor of a snapshot: ``offset`` is where its plain bytes begin in the buffer."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


class JobPart(msgspec.Struct, frozen=True, array_like=True):
    """A part of a snapshot: its skeleton, and its tensors in table order."""

    name: str
    skeleton: bytes
    rows: tuple[Row, ...]


class Job(msgspec.Struct, frozen=True):
    """One commit to be made of what lies in buffer ``buffer``, by the run that ``run`` names.

    ``expected`` is where the branch must stand, ``parent`` the commit to go on from when that is another one; ids are
    empty for none. ``config`` and ``meta`` are encoded plain data, or empty. With ``clean`` the policy is applied then.
    """

    number: int
    buffer: int
    run: str
    parts: tuple[JobPart, ...]
    branch: str
    expected: bytes
    parent: bytes
    step: int
    metrics: dict[str, float]
    message: str = ""
    config: bytes = b""
    meta: bytes = b""
    clean: bool = True


class Opening(msgspec.Struct, frozen=True):
    """How a writer works: which store, with how many threads, how far it steps back for others, under which policy.

    ``keep`` is that policy as TOML. ``lend`` says that a snapshot's buffer stays as it is until the next commit has
    ended, to be its delta bases. ``environment`` is the trainer's, which its commits keep.
    """

    path: str
    threads: int
    chain_budget: float
    nice: int
    lend: bool
    keep: str | None
    environment: dict[str, str]
    parent_pid: int


class Outcome(msgspec.Struct, frozen=True, tag=True):
    """What became of a job: the commit's id, or the kind of error and its text. ``seconds`` is what it took."""

    number: int
    commit: bytes = b""
    plain_bytes: int = 0
    stored_bytes: int = 0
    seconds: float = 0.0
    healthy: bool = True
    error: str = ""
    text: str = ""


class Note(msgspec.Struct, frozen=True, tag=True):
    """Something that the writer did, or could not do, beside its jobs; ``final`` when it was asked for that."""

    text: str
    warning: bool = False
    final: bool = False


TRAINING = "training"
"""The entry of a commit's ``meta`` in which a run writes about itself."""


def about(commit: Commit) -> Mapping[str, Any]:
    """What the run that made a commit wrote about itself; nothing when no run did."""
    meta = commit.meta
    found = meta.get(TRAINING) if isinstance(meta, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def run_of(commit: Commit) -> str | None:
    """The run that made a commit, if a run did."""
    return about(commit).get("run")
