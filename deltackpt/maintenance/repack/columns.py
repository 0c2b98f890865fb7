"""Columns: the records of one place, or of several that share records, through all commits.

A place is a chunk's number within a tensor of one name, type and shape. Records of a column follow one another as
commits did. Columns whose records stand on one another are a *block*, which is encoded anew at once or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deltackpt.history.manifest import Manifests
from deltackpt.history.objects import PartEntry
from deltackpt.ids import ChunkId, CommitId
from deltackpt.maintenance.holdings import Place
from deltackpt.maintenance.mark import Marks
from deltackpt.maintenance.reencode import Reencoder
from deltackpt.maintenance.survey import Survey

_Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """Records, oldest first, of ``width`` chunks each that commits need.

    ``tied`` counts those that stand on records of other columns, as casts do.
    """

    records: tuple[Place, ...]
    width: int
    tied: int


@dataclass(frozen=True, slots=True)
class Block:
    """Columns, those first on which others stand."""

    columns: tuple[Column, ...]

    def records(self) -> Iterator[Place]:
        return (place for column in self.columns for place in column.records)


def blocks(reencoder: Reencoder, marks: Marks, manifests: Manifests) -> list[Block]:
    """All data of the commits that are marked, in the order in which commits name it."""
    places = _places(reencoder.survey, marks, manifests)
    records: dict[_Key, dict[int, Place]] = {}
    for chunk in places:
        place = reencoder.survey.in_use.get(chunk)
        key = None if place is None else _key(reencoder, place, places)
        if place is not None and key is not None:
            records.setdefault(key, {}).setdefault(id(place.entry), place)
    return _joined(reencoder.survey, records)


def _places(survey: Survey, marks: Marks, manifests: Manifests) -> dict[ChunkId, int]:
    """The place of each chunk, by number; of several the one that a commit named first."""
    numbers: dict[tuple[object, ...], int] = {}
    places: dict[ChunkId, int] = {}
    walked: set[bytes] = set()
    for _, part in kept_parts(survey, marks):
        if part.id in walked:
            continue
        walked.add(part.id)
        for tensor in manifests.part(part.id).tensors:
            layout = tensor.layout
            for at, chunk in enumerate(tensor.chunks):
                key = (part.name, layout.name, layout.dtype, layout.shape, layout.period, layout.piece, at)
                places.setdefault(chunk, numbers.setdefault(key, len(numbers)))
    return places


def kept_parts(survey: Survey, marks: Marks) -> Iterator[tuple[CommitId, PartEntry]]:
    """Parts that a gc keeps, as commits came."""
    for identity, commit in survey.commits.items():
        deleted = survey.deleted.get(identity, set())
        if identity in marks.commits and None not in deleted:
            yield from ((identity, part) for part in commit.parts if part.name not in deleted)


def _key(reencoder: Reencoder, place: Place, places: dict[ChunkId, int]) -> _Key | None:
    members = [places.get(member.id) for member in reencoder.members(place)]
    return None if None in members else tuple(number for number in members if number is not None)


def _joined(survey: Survey, records: dict[_Key, dict[int, Place]]) -> list[Block]:
    owner = {entry: key for key, column in records.items() for entry in column}
    above: dict[_Key, _Key] = {}

    def root(key: _Key) -> _Key:
        while (found := above.get(key, key)) != key:
            above[key] = above.get(found, found)
            key = found
        return key

    tied = dict.fromkeys(records, 0)
    for key, column in records.items():
        for place in column.values():
            bases = {
                owner.get(id(survey.in_use[base].entry)) for base in place.entry.head.bases if base in survey.in_use
            }
            others = [base for base in bases if base is not None and base != key]
            tied[key] += bool(others)
            for other in others:
                above[root(other)] = root(key)
    together: dict[_Key, list[_Key]] = {}
    for key in records:
        together.setdefault(root(key), []).append(key)
    columns = {key: Column(tuple(column.values()), len(key), tied[key]) for key, column in records.items()}
    return [Block(tuple(columns[key] for key in sorted(keys, key=tied.__getitem__))) for keys in together.values()]
