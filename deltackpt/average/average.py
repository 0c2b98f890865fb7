"""The average of several commits, as something to commit or to write to a file.

Which parts, and everything in them that is no float, is as in the last commit. Names, types and shapes must be the same
in all. Nothing is read before it is written, so memory stays at some chunks for each thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from deltackpt.average.mean import Mean, Term
from deltackpt.average.weights import weights_of
from deltackpt.checkout.leaves import part_leaves
from deltackpt.content.content import Content, ContentPart
from deltackpt.errors import InvalidInputError
from deltackpt.formats.wording import listed
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredPart, StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.history.roles import models
from deltackpt.skeleton.capture import ROOT, CapturedTensor, capture
from deltackpt.skeleton.nodes import QuantizedTensor

_LISTED = 5


class MismatchError(InvalidInputError):
    """Commits that have no average: the text names the tensors that differ."""


@dataclass(frozen=True, slots=True)
class Average:
    """Commits with the weight of each; ``parts`` are those of the last commit that are averaged."""

    repository: Repository
    commits: tuple[Commit, ...]
    weights: tuple[float, ...]
    parts: tuple[str, ...]

    @property
    def last(self) -> Commit:
        return self.commits[-1]

    @property
    def whole(self) -> bool:
        """Whether nothing of the last commit is left out: then the average is a file, too, where that was one."""
        return len(self.parts) == len(self.last.parts)

    def content(self) -> Content:
        """What a commit of the average holds; MismatchError when there is none."""
        made = [self._part(name) for name in self.parts]
        return Content(tuple(made if ROOT in self.parts else [_root(self.parts), *made]))

    def meta(self) -> dict[str, Any]:
        """What it is an average of, as plain data."""
        pairs = zip(self.commits, self.weights, strict=True)
        return {"average": [{"commit": str(c.id), "step": c.step, "weight": weight} for c, weight in pairs]}

    def _part(self, name: str) -> ContentPart:
        stored = [self.repository.manifests.part(commit.part_named(name).id) for commit in self.commits]
        _check_alike(self.commits, stored)
        by_name = [{tensor.name: tensor for tensor in part.tensors} for part in stored]
        last = stored[-1]
        tensors = tuple(CapturedTensor(t.name, self._mean([found[t.name] for found in by_name])) for t in last.tensors)
        return ContentPart(name, last.skeleton, last.files if self.whole else b"", tensors)

    def _mean(self, tensors: Sequence[StoredTensor]) -> Mean:
        return Mean(self.repository.reader, [Term(t, w) for t, w in zip(tensors, self.weights, strict=True)])


def average(
    repository: Repository,
    commits: Sequence[Commit],
    *,
    weights: Sequence[float] | None = None,
    decay: float | None = None,
    part: str | None = None,
) -> Average:
    """Of the models in ``commits``, or of one ``part``; weights as in :func:`weights_of`."""
    scaled = weights_of(len(commits), weights, decay)
    last = commits[-1]
    if part is not None:
        last.part_named(part)
    # A state that is a bare state dict, and a file, are averaged whole.
    parts = [part] if part is not None else models(last.parts) or [entry.name for entry in last.parts]
    _check_meanable(repository, last, parts)
    return Average(repository, tuple(commits), tuple(scaled), tuple(parts))


def _check_meanable(repository: Repository, commit: Commit, parts: Sequence[str]) -> None:
    for name in parts:
        tensors = part_leaves(repository, commit, name).tensors
        quantized = next((one for one in tensors if isinstance(one.leaf.whole, QuantizedTensor)), None)
        if quantized is not None:
            raise InvalidInputError(
                f"tensor {quantized.name!r} is of a quantised one, which has no average; commit it dequantised, or"
                " average another part"
            )
        elsewhere = {tensor.leaf.reference.part for tensor in tensors} - {*parts}
        if elsewhere:
            raise InvalidInputError(
                f"part {name!r} shares tensors with part {min(elsewhere)!r}, so it cannot be averaged without it;"
                f" average part {min(elsewhere)!r}"
            )


def _check_alike(commits: Sequence[Commit], parts: Sequence[StoredPart]) -> None:
    last = {tensor.name: (tensor.dtype.name, tensor.shape) for tensor in parts[-1].tensors}
    for commit, part in zip(commits[:-1], parts[:-1], strict=True):
        here = {tensor.name: (tensor.dtype.name, tensor.shape) for tensor in part.tensors}
        wrong = [
            f"{name} ({_shown(here.get(name))} and {_shown(last.get(name))})"
            for name in {**here, **last}
            if here.get(name) != last.get(name)
        ]
        if wrong:
            raise MismatchError(
                f"commits {commit.description} and {commits[-1].description} have no average: they differ in"
                f" {listed(wrong, _LISTED)}"
            )


def _shown(form: tuple[str, tuple[int, ...]] | None) -> str:
    return "absent" if form is None else f"{form[0]} {list(form[1])}"


def _root(parts: Iterable[str]) -> ContentPart:
    """The top level of a state that has ``parts`` and nothing else."""
    [top, *_] = capture({name: {} for name in parts}).parts
    return ContentPart(ROOT, top.skeleton, b"", ())
