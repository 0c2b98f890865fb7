"""Walks over everything that commits are made of."""

from __future__ import annotations

from collections.abc import Iterator

from deltackpt.history.commits import Commit
from deltackpt.history.manifest import Manifests, chunk_names
from deltackpt.history.objects import Group, GroupLayout, Part, decode, split_chunks
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId


def all_commits(repository: Repository) -> Iterator[Commit]:
    """Every commit of the store, in the order of publishing."""
    yield from repository.look(lambda history: list(history.everything()))


def part_chunks(manifests: Manifests, identity: bytes) -> Iterator[tuple[ChunkId, str]]:
    """Every chunk that a part needs, objects included, with the tensor it belongs to (empty for an object).

    An object is yielded before it is read, so a caller that checks chunks hears of the one that cannot be.
    """
    yield ChunkId(identity), ""
    part = decode(manifests.object(identity), Part)
    yield from ((skeleton, "") for skeleton in part.skeletons)
    for group_id in map(ChunkId, part.groups):
        yield group_id, ""
        group = decode(manifests.object(group_id), Group)
        yield ChunkId(group.layout), ""
        layout = decode(manifests.object(group.layout), GroupLayout)
        yield from zip(split_chunks(group.chunks), chunk_names(group, layout), strict=True)
