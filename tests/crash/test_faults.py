"""Every call of the disk fails, once and from then on, alone and in pairs: a typed error, the store as before."""

from __future__ import annotations

import errno
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import pytest
from crash_scenarios import ONE_THREAD, Life, large, noise, opened, refs_of, small, small_files
from faulty import CALLS, Fault, FaultyDisk
from figures import note
from recording import RecordingDisk

from deltackpt import Store
from deltackpt.chunkstore.facts import create
from deltackpt.chunkstore.layout import Layout
from deltackpt.chunkstore.log import UnknownOutcomeError
from deltackpt.errors import DeltackptError

CODES = (errno.EIO, errno.ENOSPC, errno.EROFS)
# At length three more: a quota, a file that may not grow, a share whose server forgot the file.
MORE_CODES = (errno.EDQUOT, errno.EFBIG, errno.ESTALE)
KEPT = noise(5, 36_000)


def commit_a_pack(store: Store) -> None:
    store.commit({**large(9), "kept": KEPT + 1}, branch="new")


def commit_inline(store: Store) -> None:
    store.commit(small(9))


def tag(store: Store) -> None:
    store.tag("v1")


def collect(store: Store) -> None:
    store.gc()


def checkout(store: Store) -> None:
    target = os.path.join(os.path.dirname(store.path), "out.safetensors")
    store.checkout("main", target, force=True)
    os.unlink(target)


def load(store: Store) -> None:
    store.load("main")


OPERATIONS: dict[str, Callable[[Store], None]] = {
    operation.__name__: operation for operation in (commit_a_pack, commit_inline, tag, collect, checkout, load)
}


@pytest.fixture(scope="module")
def original() -> Iterator[str]:
    """A store with two branches and a pack that is half garbage."""
    folder = tempfile.mkdtemp(prefix="deltackpt-faults-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    with small_files():
        life = Life(RecordingDisk(os.path.join(folder, "original")))
        life.commit({"kept": KEPT, "lost": noise(6, 38_000)}, branch="dev")
        life.commit({"kept": KEPT})
        life.delete_branch("dev")
    life.store.close()
    yield life.store.path
    shutil.rmtree(folder)


@pytest.fixture
def copy(original: str) -> Iterator[str]:
    path = os.path.join(os.path.dirname(original), "copy")
    shutil.copytree(original, path)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def faults(original: str, operation: str, copy: str, codes: Sequence[int] = CODES) -> list[Fault]:
    """A fault at every call that the operation makes."""
    disk = FaultyDisk()
    store = opened(copy, disk)
    disk.calls.clear()
    with small_files():
        OPERATIONS[operation](store)
    store.close()
    every = [(call, nth) for call in CALLS for nth in range(1, disk.calls[call] + 1)]
    return [Fault(call, nth, code, sticky) for call, nth in every for code in codes for sticky in (False, True)]


Faults = tuple[Fault, ...]


def suffer(path: str, operation: str, faults: Faults) -> bool:
    """Run the operation with the faults and check what is left; whether it failed."""
    disk = FaultyDisk()
    store = opened(path, disk)
    before = refs_of(store)
    disk.calls.clear()
    disk.faults = faults
    failure: DeltackptError | None = None
    try:
        with small_files():
            OPERATIONS[operation](store)
    except DeltackptError as error:
        failure = error
    store.close()
    if failure is not None:
        assert "\n" not in str(failure), faults
    _check_what_is_left(path, before, failure, faults)
    return failure is not None


def _check_what_is_left(path: str, before: dict[str, str], failure: DeltackptError | None, faults: Faults) -> None:
    with Store(path, options=ONE_THREAD) as store:
        after = refs_of(store)
        if failure is not None and not isinstance(failure, UnknownOutcomeError):
            assert after == before, (faults, failure)
        assert (store.load("main")["kept"] == KEPT).all() if "kept" in store.load("main") else True
        assert store.verify(data=True).problems == [], faults
        store.commit(small(33), branch="later")
        store.gc()
        assert store.verify(data=True).problems == [], faults


def suffer_all(original: str, operation: str, copy: str, found: Sequence[Faults]) -> int:
    failed = 0
    for faults in found:
        shutil.rmtree(copy)
        shutil.copytree(original, copy)
        failed += suffer(copy, operation, faults)
    return failed


def alone(found: Sequence[Fault]) -> list[Faults]:
    return [(fault,) for fault in found]


def paired(found: Sequence[Fault], times: int) -> list[Faults]:
    """Pairs at random: the second strikes the operation that goes on, or what cleans up after the first."""
    chance = random.Random(len(found))
    later = [Fault(call, nth, code, sticky=False) for call in CALLS for nth in range(1, 9) for code in CODES]
    return [(chance.choice(found), chance.choice([*found, *later])) for _ in range(times)]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_calls_that_fail(original: str, operation: str, copy: str) -> None:
    found = faults(original, operation, copy)
    # Of many, every fifth: six variants of each call, so each call is among them. The long run takes all.
    assert suffer_all(original, operation, copy, alone(found[:: 1 if len(found) < 60 else 5])) > len(found) // 40


@pytest.mark.parametrize("operation", OPERATIONS)
def test_two_calls_that_fail(original: str, operation: str, copy: str) -> None:
    pairs = paired(faults(original, operation, copy), 40)
    assert suffer_all(original, operation, copy, pairs) > 10


@pytest.mark.long
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_call_that_fails(original: str, operation: str, copy: str) -> None:
    found = faults(original, operation, copy, CODES + MORE_CODES)
    failed = suffer_all(original, operation, copy, alone(found))
    note(f"{operation}: {len(found)} faults, {failed} of them refused the operation")


@pytest.mark.campaign
@pytest.mark.parametrize("operation", OPERATIONS)
def test_many_pairs_of_calls_that_fail(original: str, operation: str, copy: str) -> None:
    failed = suffer_all(original, operation, copy, paired(faults(original, operation, copy), 1_000))
    note(f"{operation}: 1000 pairs of faults, {failed} of them refused the operation")


def test_init_that_fails_can_be_tried_again(tmp_path: object) -> None:
    path = os.path.join(str(tmp_path), "store")
    disk = FaultyDisk()
    create(disk, Layout(path), "now")
    every = [(call, nth) for call in CALLS for nth in range(1, disk.calls[call] + 1)]
    for call, nth in every:
        shutil.rmtree(path)
        with suppress(DeltackptError):
            create(FaultyDisk(Fault(call, nth, errno.EIO, sticky=False)), Layout(path), "now")
        if not os.path.exists(os.path.join(path, "store.json")):
            create(FaultyDisk(), Layout(path), "now")
        with Store(path, options=ONE_THREAD) as store:
            store.commit(small(1))
            assert store.verify(data=True).ok
