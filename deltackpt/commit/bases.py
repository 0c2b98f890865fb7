"""Bases for tensors that the parent does not have: the first commit of a fine-tune, another prefix, a renamed layer.

They are looked for in one commit that the caller names, or at the heads of all branches. Of the tensors with the same
type and shape the one is taken whose name ends most like that of the new one; of several heads the one that a few
sampled chunks are most like, and none that they are not like at all. A base that is no help costs time only: where a
delta against it is not smaller, the chunk is kept by itself.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter

from deltackpt.commit.casts import NARROW, WIDE
from deltackpt.commit.likeness import Pair, likeness
from deltackpt.content.content import Content
from deltackpt.errors import CorruptError, NotFoundError
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.pointers import list_refs
from deltackpt.history.refs import Branch
from deltackpt.history.repository import Repository
from deltackpt.skeleton.capture import CapturedTensor
from deltackpt.tensor.dtype import BYTES

_MAX_HEADS = 16
_STEPS = re.compile(r"[/.]")
_Key = tuple[str, tuple[int, ...], tuple[str, ...]]

_log = logging.getLogger("deltackpt")


def borrowed_bases(
    repository: Repository, content: Content, parent: Mapping[str, StoredTensor], base: Commit | None
) -> dict[str, StoredTensor]:
    """Stored tensors for those of ``content`` that ``parent`` lacks, by the names of the new ones."""
    wanted = [t for part in content.parts for t in part.tensors if t.name not in parent and t.source.dtype is not BYTES]
    if not wanted:
        return {}
    if base is not None:
        return {tensor.name: lent for tensor, lent in _pairs(wanted, _tensors(repository, base))}
    offers = [_pairs(wanted, _tensors(repository, head)) for head in _heads(repository)]
    judged = [(likeness(repository, pairs), pairs) for pairs in offers]
    # The most alike last, so that what it lends stands.
    helpful = sorted(((alike, pairs) for alike, pairs in reversed(judged) if alike), key=itemgetter(0))
    return {tensor.name: lent for _, pairs in helpful for tensor, lent in pairs}


def wide_bases(content: Content, parent: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Stored float32 tensors of which 16-bit ones of ``content`` may be the rounded copies, by the names of the latter.

    Only for tensors that ``parent`` has in no 16 bits: the others have a base already.
    """
    narrow = [t for part in content.parts for t in part.tensors if t.source.dtype.name in NARROW]
    wanted = [t for t in narrow if (held := parent.get(t.name)) is None or held.dtype.name not in NARROW]
    if not wanted:
        return {}
    stored = [tensor for tensor in parent.values() if tensor.dtype.name == WIDE and tensor.chunks]
    return {tensor.name: wide for tensor, wide in _pairs(wanted, stored, WIDE)}


def _heads(repository: Repository) -> list[Commit]:
    """The commits at the heads of branches, the newest first."""
    heads = {commit.id: commit for commit in list_refs(repository, Branch).values()}
    return sorted(heads.values(), key=lambda commit: commit.time, reverse=True)[:_MAX_HEADS]


def _tensors(repository: Repository, commit: Commit) -> Iterator[StoredTensor]:
    try:
        for part in commit.parts:
            yield from repository.manifests.part(part.id).tensors
    except (CorruptError, NotFoundError) as error:
        _log.warning("commit %s is damaged (%s), so nothing of it helps to store this one", commit.id.short, error)


def _by_ending(tensors: Iterable[StoredTensor]) -> dict[_Key, StoredTensor]:
    """Tensors by type, shape and each ending of their names; of several the first."""
    found: dict[_Key, StoredTensor] = {}
    for tensor in tensors:
        for ending in _endings(tensor.name):
            found.setdefault((tensor.dtype.name, tensor.shape, ending), tensor)
    return found


def _pairs(wanted: Iterable[CapturedTensor], stored: Iterable[StoredTensor], dtype: str | None = None) -> list[Pair]:
    """Each tensor with the one of its shape and type, or of ``dtype``, whose name ends most like its own."""
    known = _by_ending(stored)
    pairs: list[Pair] = []
    for tensor in wanted:
        form = dtype or tensor.source.dtype.name, tuple(tensor.source.shape)
        matches = (known.get((*form, ending)) for ending in _endings(tensor.name))
        if (match := next(filter(None, matches), None)) is not None:
            pairs.append((tensor, match))
    return pairs


def _endings(name: str) -> Iterator[tuple[str, ...]]:
    """The endings of a name in whole steps, the longest first."""
    steps = tuple(_STEPS.split(name))
    return (steps[at:] for at in range(len(steps)))
