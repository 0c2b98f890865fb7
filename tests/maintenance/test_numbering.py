"""Numbers for chunk ids: the same id has the same number for ever, whoever asks and in whatever company."""

from __future__ import annotations

import random

import numpy as np
import pytest

from deltackpt.chunkstore.heads import join_ids, split_ids
from deltackpt.ids import ChunkId
from deltackpt.maintenance.chunk_set import ChunkSet
from deltackpt.maintenance.numbering import Numbering


def some_ids(count: int, seed: int = 0) -> list[ChunkId]:
    chance = random.Random(seed)
    return [ChunkId(chance.randbytes(32)) for _ in range(count)]


def test_ids_are_numbered_as_a_dictionary_would_through_every_growth_of_the_table() -> None:
    chance, ids = random.Random(1), some_ids(20_000)
    numbering, model = Numbering(), dict[ChunkId, int]()
    while len(model) < len(ids):
        asked = chance.choices(ids[: 2 * len(model) + 100], k=chance.choice([1, 7, 300, 5000]))
        numbers = numbering.number(join_ids(asked)).tolist()
        assert [model.setdefault(chunk, number) for chunk, number in zip(asked, numbers, strict=True)] == numbers
    assert sorted(model.values()) == list(range(len(ids))) == list(range(len(numbering)))
    assert split_ids(numbering.ids(np.array([model[chunk] for chunk in ids]))) == ids
    assert [numbering.find_one(chunk) for chunk in ids[:500]] == [model[chunk] for chunk in ids[:500]]


def test_what_was_never_numbered_is_not_found_and_stays_without_a_number() -> None:
    known, unknown = some_ids(1000), some_ids(1000, seed=2)
    numbering = Numbering()
    numbering.number(join_ids(known))
    assert numbering.find(join_ids(unknown)).tolist() == [-1] * 1000
    assert [numbering.find_one(chunk) for chunk in unknown] == [-1] * 1000
    assert len(numbering) == 1000


def test_ids_that_were_made_to_look_in_one_place_do_not() -> None:
    # Alike in three of four words: a table that looked at those alone would walk through all before for each.
    ids = [ChunkId(bytes(24) + number.to_bytes(8, "little")) for number in range(50_000)]
    numbering = Numbering()
    assert sorted(numbering.number(join_ids(ids)).tolist()) == list(range(50_000))


def test_a_set_of_chunks_is_told_by_its_numbers() -> None:
    ids = some_ids(300)
    numbering = Numbering()
    numbering.number(join_ids(ids[:200]))
    chosen = ChunkSet.of(numbering, ids[100:250])
    chosen.add(ids[260] + ids[261])
    expected = {*ids[100:250], ids[260], ids[261]}
    assert {chunk for chunk in ids if chunk in chosen} == expected
    assert set(split_ids(numbering.ids(np.flatnonzero(chosen.mask())))) == expected
    chosen.clear()
    assert not chosen.mask().any()


def test_half_an_id_is_refused() -> None:
    with pytest.raises(ValueError, match="48 bytes are no whole number of chunk ids"):
        ChunkSet(Numbering()).add(bytes(48))
