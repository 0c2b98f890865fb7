"""Plain chunks kept from one commit to the next: found, replaced in place, and never written over while on loan."""

from __future__ import annotations

from deltackpt.chunkstore.plain_cache import CommitPlains, RecentPlains
from deltackpt.ids import ChunkId


def chunk(number: int, size: int = 100) -> tuple[ChunkId, memoryview]:
    plain = memoryview(bytes([number]) * size)
    return ChunkId.of(plain), plain


def held(cache: CommitPlains, name: ChunkId) -> bytes | None:
    with cache.loan() as borrow:
        plain = borrow(name)
        return None if plain is None else bytes(plain)


def filled(limit: int, *numbers: int) -> CommitPlains:
    """A cache in the middle of the commit that comes after one of chunks ``numbers``."""
    cache = CommitPlains(limit)
    cache.begin()
    for number in numbers:
        cache.put(*chunk(number), None)
    cache.begin()
    return cache


def test_what_the_last_commit_kept_is_here_in_the_next() -> None:
    cache = filled(1000, 1, 2)
    assert [held(cache, chunk(n)[0]) for n in (1, 2, 3)] == [bytes([1]) * 100, bytes([2]) * 100, None]


def test_a_new_chunk_takes_the_memory_of_the_one_it_replaces() -> None:
    cache = filled(1000, 1)
    with cache.loan() as borrow:
        old = borrow(chunk(1)[0])
    cache.put(*chunk(2), chunk(1)[0])
    assert old == bytes([2]) * 100
    assert held(cache, chunk(1)[0]) is None
    assert held(cache, chunk(2)[0]) == bytes([2]) * 100


def test_what_is_on_loan_is_not_written_over() -> None:
    cache = filled(1000, 1)
    with cache.loan() as borrow:
        old = borrow(chunk(1)[0])
        cache.put(*chunk(2), chunk(1)[0])
        assert old == bytes([1]) * 100
    assert held(cache, chunk(2)[0]) == bytes([2]) * 100


def test_a_chunk_on_loan_may_be_dropped_and_stays_readable() -> None:
    cache = filled(100, 1)
    with cache.loan() as borrow:
        old = borrow(chunk(1)[0])
        cache.put(*chunk(2), None)
        assert held(cache, chunk(1)[0]) is None
        assert old == bytes([1]) * 100


def test_a_chunk_of_another_size_gets_memory_of_its_own() -> None:
    cache = filled(1000, 1)
    cache.put(*chunk(2, 50), chunk(1)[0])
    assert held(cache, chunk(1)[0]) == bytes([1]) * 100
    assert held(cache, chunk(2, 50)[0]) == bytes([2]) * 50


def test_chunks_of_the_running_commit_do_not_push_each_other_out() -> None:
    cache = filled(200, 1, 2)
    for number in (3, 4, 5):
        cache.put(*chunk(number), None)
    assert [held(cache, chunk(n)[0]) is not None for n in (1, 2, 3, 4, 5)] == [False, False, True, True, False]


def test_the_limit_holds_when_chunks_are_replaced() -> None:
    cache = filled(200, 1, 2)
    for number in (1, 2):
        cache.put(*chunk(number + 10), chunk(number)[0])
    cache.put(*chunk(13), None)
    assert [held(cache, chunk(n)[0]) is not None for n in (11, 12, 13)] == [True, True, False]


def test_an_unchanged_chunk_is_carried_over() -> None:
    cache = filled(200, 1, 2)
    assert cache.keep(chunk(1)[0])
    assert not cache.keep(chunk(3)[0])
    cache.put(*chunk(3), None)
    cache.put(*chunk(4), None)
    assert [held(cache, chunk(n)[0]) is not None for n in (1, 2, 3, 4)] == [True, False, True, False]


def test_a_chunk_put_twice_counts_once() -> None:
    cache = filled(200)
    cache.put(*chunk(1), None)
    cache.put(*chunk(1), None)
    cache.put(*chunk(2), None)
    assert held(cache, chunk(1)[0]) is not None
    assert held(cache, chunk(2)[0]) is not None


def test_recent_plains_keep_what_was_put_last() -> None:
    recent: RecentPlains[int] = RecentPlains(200)
    for number in (1, 2, 3):
        recent.put(number, chunk(number)[1])
    assert [recent.get(n) is not None for n in (1, 2, 3)] == [False, True, True]
    recent.put(4, chunk(4, 201)[1])
    assert recent.get(4) is None
