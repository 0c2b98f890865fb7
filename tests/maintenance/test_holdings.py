"""What a survey keeps in arrays, held against the same rules written out with dictionaries, in random histories."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import chain

import pytest

from deltackpt import Store
from deltackpt.chunkstore.heads import Heads
from deltackpt.chunkstore.location import locations
from deltackpt.chunkstore.pack import HEADER_SIZE, TARGET_PACK_BYTES, TRAILER_SIZE, PackEntry
from deltackpt.chunkstore.record import Kind, Member, RecordHead
from deltackpt.ids import ChunkId, PackId
from deltackpt.maintenance.chunk_set import ChunkSet
from deltackpt.maintenance.forget import forgotten
from deltackpt.maintenance.holdings import Holdings
from deltackpt.maintenance.live import live_records, packed_size
from deltackpt.maintenance.survey import Survey, SurveyError


@dataclass
class Model:
    """The rules of the format pages, one chunk at a time."""

    packs: dict[PackId, list[PackEntry]] = field(default_factory=dict)
    in_use: dict[ChunkId, tuple[PackId, PackEntry]] = field(default_factory=dict)

    def arrive(self, pack: PackId, entries: list[PackEntry], unused: Collection[bytes], takes_over: bool) -> None:
        self.packs[pack] = entries
        for entry in entries:
            for member in entry.head.members:
                if member.id not in unused and (takes_over or member.id not in self.in_use):
                    self.in_use[member.id] = (pack, entry)

    def leave(self, pack: PackId) -> None:
        self.packs.pop(pack)
        self.in_use = {chunk: place for chunk, place in self.in_use.items() if place[0] != pack}

    def live(self, chunks: Collection[ChunkId], lost: Collection[ChunkId]) -> set[tuple[PackId, int]] | None:
        """None when a chunk is missing."""
        found: set[tuple[PackId, int]] = set()
        seen: set[ChunkId] = set()
        pending = list(chunks)
        while pending:
            chunk = pending.pop()
            if chunk in seen:
                continue
            seen.add(chunk)
            if chunk in self.in_use:
                pack, entry = self.in_use[chunk]
                found.add((pack, entry.offset))
                pending += entry.head.bases
            elif chunk not in lost:
                return None
        return found

    def forgotten(self, gone: Collection[PackId], lost: Collection[ChunkId]) -> set[ChunkId]:
        leaving = {chunk for chunk, (pack, _) in self.in_use.items() if pack in gone}
        staying = chain.from_iterable(entries for pack, entries in self.packs.items() if pack not in gone)
        shadows = {member.id for entry in staying for member in entry.head.members} & leaving
        return shadows | {c for c in self.in_use.keys() - leaving if not self._decodes(c, leaving, lost)}

    def _decodes(self, chunk: ChunkId, leaving: Collection[ChunkId], lost: Collection[ChunkId]) -> bool:
        if chunk in leaving or chunk not in self.in_use:
            return chunk not in leaving and chunk in lost
        return all(self._decodes(base, leaving, lost) for base in self.in_use[chunk][1].head.bases)


def some_entries(chance: random.Random, ranks: dict[ChunkId, int]) -> list[PackEntry]:
    """Records of known chunks and of new ones; each chunk has one rank for ever, so there is no cycle."""
    entries, at = [], HEADER_SIZE
    for _ in range(chance.randrange(6)):
        rank = chance.randrange(4)
        known = [chunk for chunk, its in ranks.items() if its == rank]
        below = [chunk for chunk, its in ranks.items() if its < rank]
        count = chance.choice([1, 1, 3])
        own = [ChunkId(chance.randbytes(32)) if chance.random() < 0.7 or not known else chance.choice(known)]
        own += [ChunkId(chance.randbytes(32)) for _ in range(count - 1)]
        if rank and not below:
            continue
        bases = tuple(chance.choice(below) for _ in own) if rank else ()
        ranks |= dict.fromkeys(own, rank)
        members = tuple(Member(chunk, chance.randrange(100)) for chunk in own)
        head = RecordHead(Kind.DATA, 1, 2, rank, 1.5, chance.randrange(90), members, bases)
        entries.append(PackEntry(at, head))
        at += head.stored_length
    return entries


def placed(holdings: Holdings) -> dict[ChunkId, tuple[PackId, PackEntry]]:
    return {chunk: (place.pack, place.entry) for chunk, place in holdings.in_use.items()}


def live_through(chance: random.Random, survey: Survey, model: Model, steps: int) -> dict[ChunkId, int]:
    """Take the same random steps in both; the chunks that were ever named, with their ranks."""
    holdings, ranks = survey.holdings, dict[ChunkId, int]()
    for _ in range(steps):
        pick = chance.random()
        if pick < 0.6 or not model.packs:
            # A writer whose answer was lost may name a pack a second time.
            again = bool(model.packs) and chance.random() < 0.1
            pack = chance.choice(list(model.packs)) if again else PackId.new()
            entries = model.packs[pack] if again else some_entries(chance, ranks)
            unused = (
                frozenset(chunk for chunk in ranks if chance.random() < 0.1) if chance.random() < 0.3 else frozenset()
            )
            takes_over = chance.random() < 0.2
            if unused or takes_over or again:
                holdings.settle()
            holdings.arrive(pack, 100, Heads.of(entries))
            model.arrive(pack, entries, unused, takes_over)
            if unused or takes_over or again or chance.random() < 0.4:
                holdings.settle(unused, takes_over=takes_over)
        elif pick < 0.8:
            holdings.settle()
            pack = chance.choice(list(model.packs))
            holdings.leave(pack)
            model.leave(pack)
        elif pick < 0.9 and model.in_use:
            holdings.settle()
            chunk = chance.choice(list(model.in_use))
            holdings.records.forget([chunk])
            del model.in_use[chunk]
        else:
            holdings.settle()
            holdings.compact()
    holdings.settle()
    return ranks


@pytest.fixture
def survey(store: Store) -> Survey:
    return Survey(store._repository.chunks)


@pytest.mark.parametrize("seed", range(40))
def test_arrays_and_dictionaries_come_to_the_same(survey: Survey, seed: int) -> None:
    chance, model = random.Random(seed), Model()
    ranks = live_through(chance, survey, model, 60)
    assert placed(survey.holdings) == model.in_use
    assert len(survey.in_use) == len(model.in_use)
    assert {pack: survey.holdings.entries(pack) for pack in survey.packs} == model.packs
    for _ in range(20):
        survey.lost = {chunk for chunk in ranks if chunk not in model.in_use and chance.random() < 0.8}
        wanted = [chunk for chunk in ranks if chance.random() < 0.1]
        expected = model.live(wanted, survey.lost)
        chunks = ChunkSet.of(survey.holdings.records.numbering, wanted)
        if expected is None:
            with pytest.raises(SurveyError, match="is reachable but in no pack; nothing was deleted"):
                live_records(survey, chunks)
        else:
            live = live_records(survey, chunks)
            assert {(place.pack, place.entry.offset) for place in live.everywhere()} == expected
            for pack, entries in model.packs.items():
                needed = [entry for entry in entries if (pack, entry.offset) in expected]
                assert [place.entry for place in live.places(pack)] == needed
                assert live.count(pack) == len(needed)
                assert live.size(pack) == packed_size(entry.head for entry in needed)
        gone = {pack for pack in model.packs if chance.random() < 0.3}
        assert set(forgotten(survey, gone)) == model.forgotten(gone, survey.lost)


def test_a_place_is_the_same_object_whoever_asks(survey: Survey) -> None:
    live_through(random.Random(3), survey, Model(), 30)
    first = dict(survey.in_use)
    assert all(survey.in_use[chunk].entry is place.entry for chunk, place in first.items())
    entries = {id(entry) for pack in survey.packs for entry in survey.holdings.entries(pack)}
    assert {id(place.entry) for place in survey.in_use.values()} <= entries


def test_packs_that_have_left_take_no_room_once_they_are_most_of_all(survey: Survey) -> None:
    holdings = survey.holdings
    heads = [Heads.of(some_entries(random.Random(seed), {})) for seed in range(50)]
    packs = [PackId.new() for _ in heads]
    for pack, each in zip(packs, heads, strict=True):
        holdings.arrive(pack, 100, each)
    holdings.settle()
    for pack in packs[:-5]:
        holdings.leave(pack)
    before = placed(holdings)
    holdings.compact()
    assert len(holdings.records) == sum(map(len, heads[-5:]))
    assert placed(holdings) == before
    assert list(holdings.packs) == packs[-5:]


@pytest.mark.parametrize("seed", range(5))
def test_a_writer_makes_packs_of_the_size_that_was_planned(seed: int) -> None:
    """One record at a time, as the writer does it: a pack is closed by the record that fills it."""
    chance = random.Random(seed)
    members = (Member(ChunkId(bytes(32)), 1),)
    heads = [RecordHead(Kind.DATA, 1, 2, 0, 1.0, chance.randrange(40 << 20), members) for _ in range(30)]
    total = current = 0
    for head in heads:
        if not current:
            current = HEADER_SIZE
            total += HEADER_SIZE + TRAILER_SIZE
        current += head.stored_length
        total += head.stored_length + 8 + head.size
        current = 0 if current >= TARGET_PACK_BYTES else current
    assert packed_size(heads) == total


@pytest.mark.parametrize("seed", range(5))
def test_a_reader_is_told_the_same_places_as_by_the_index(survey: Survey, seed: int) -> None:
    model = Model()
    ranks = live_through(random.Random(seed), survey, model, 40)
    expected = {
        chunk: dict(locations(pack, entry.offset, entry.head))[chunk] for chunk, (pack, entry) in model.in_use.items()
    }
    assert survey.holdings.locations([*ranks, ChunkId(bytes(32))]) == expected
