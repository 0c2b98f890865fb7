"""Bases for tensors that the parent does not have: the first commit of a fine-tune, another prefix, a renamed layer.

They are looked for in one commit that the caller names, or in the parent and at the heads of all branches, by their
values; so names may be those of another framework. A 16-bit tensor may also be the rounded copy of a float32 one. A
base that is no help costs time only: where a delta against it is not smaller, the chunk is kept by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from deltackpt.commit.lenders import promising_heads, tensors_of
from deltackpt.commit.start import Start
from deltackpt.commit.wanted import wanted_bases
from deltackpt.content.content import Content
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository


@dataclass(frozen=True, slots=True)
class Borrowed:
    """Stored tensors by the names of new ones: those of their type, and float32 ones that they may be rounded from."""

    bases: Mapping[str, StoredTensor] = field(default_factory=dict)
    wide: Mapping[str, StoredTensor] = field(default_factory=dict)


def borrowed_bases(
    repository: Repository, content: Content, parent: Mapping[str, StoredTensor], start: Start
) -> Borrowed:
    """Bases for those tensors of ``content`` for which ``parent``, the parent commit's by name, has none.

    ``parent`` may have one of its tensors under several names.
    """
    wanted = wanted_bases(content, parent, repository.chunks.facts.chunk_bytes)
    if not wanted:
        return Borrowed()
    # NumPy takes 0.1 s to import, which commits that look for no base do not pay.
    from deltackpt.commit.search import Search

    search = Search(repository, wanted)
    if start.base is not None:
        search.in_named(tensors_of(repository, start.base))
    else:
        search.in_likely(_likely(repository, content, parent, start))
    types = {one.name: one.source.dtype.name for one in wanted}
    return Borrowed(
        {name: stored for name, stored in search.found.items() if stored.dtype.name == types[name]},
        {name: stored for name, stored in search.found.items() if stored.dtype.name != types[name]},
    )


def _likely(
    repository: Repository, content: Content, parent: Mapping[str, StoredTensor], start: Start
) -> Iterator[tuple[int, Iterable[StoredTensor]]]:
    """The parent, then the heads of branches, each with the number of its tensors."""
    if parent:
        yield 0, {stored.name: stored for stored in parent.values()}.values()
    for head in promising_heads(repository, content):
        if start.parent is None or head.id != start.parent.id:
            yield sum(part.tensors for part in head.parts), tensors_of(repository, head)
