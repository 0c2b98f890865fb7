"""Short lives of a store, each through a disk of one's choice, and what must hold after a crash at any moment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from recording import RecordingDisk, Tree

from deltackpt import Options, Store
from deltackpt.chunkstore.facts import NotAStoreError, create
from deltackpt.chunkstore.layout import Layout
from deltackpt.chunkstore.pack_writer import PackWriter
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.fs.disk import Disk
from deltackpt.history.deletion import delete
from deltackpt.history.repository import Repository
from deltackpt.maintenance import archive, condemn, gc, leaving
from deltackpt.maintenance.repack import reversal

ONE_THREAD = Options(threads=1, cache_bytes=1 << 20)
AN_HOUR_AGO = 3601.0
MEMORY = "/dev/shm"

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Known:
    """What a caller knows of a store: where its refs stand, and what each commit held."""

    refs: dict[str, str]
    states: dict[str, State]


EMPTY = Known({}, {})


class Moment(Protocol):
    """When a crash came: what the caller knew then, a ``Known`` or None, and what it would have heard next."""

    @property
    def known(self) -> object: ...

    @property
    def next(self) -> object: ...


class Life:
    """A store that acknowledges to ``disk`` what its callers are told."""

    def __init__(self, disk: RecordingDisk) -> None:
        self._disk = disk
        self.known = EMPTY
        create(disk, Layout(disk.root), "2026-01-01T00:00:00+00:00")
        disk.acknowledge(EMPTY)
        self.store = opened(disk.root, disk)

    def commit(self, state: State, branch: str = "main", **described: object) -> None:
        made = self.store.commit(state, branch=branch, **described)
        self._heard({made.id.hex(): state})

    def tag(self, name: str) -> None:
        self.store.tag(name, "main")
        self._heard()

    def delete_tag(self, name: str) -> None:
        self.store.delete_tag(name)
        self._heard()

    def delete_branch(self, name: str) -> None:
        self.store.delete_branch(name)
        self._heard()

    def delete(self, *refs: str) -> None:
        delete(self.store._repository, [self.store.resolve(ref) for ref in refs])
        self._heard()

    def gc(self) -> None:
        assert self.store.gc().freed_bytes >= 0
        self._heard()

    def repack(self) -> None:
        assert self.store.repack().records > 0
        self._heard()

    def _heard(self, new: dict[str, State] | None = None) -> None:
        self.known = Known(refs_of(self.store), {**self.known.states, **(new or {})})
        self._disk.acknowledge(self.known)


def opened(root: str, disk: Disk) -> Store:
    store = Store(root, options=ONE_THREAD)
    store._repository = Repository(root, ONE_THREAD, lambda done, total: None, disk)
    return store


def refs_of(store: Store) -> dict[str, str]:
    return {key: commit.hex() for key, commit in store._repository.look(lambda history: history.view.refs()).items()}


def noise(seed: int, size: int) -> np.ndarray:
    """Bytes that no encoder can shorten."""
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def small(seed: int) -> State:
    """A state that fits a log record."""
    return {"w": noise(seed, 700), "b": noise(seed + 100, 40)}


def large(seed: int, size: int = 34_000) -> State:
    """A state that needs a pack."""
    return {"w": noise(seed, size), "b": noise(seed + 100, 40)}


def _first_commit(life: Life) -> None:
    life.commit(large(1))


def _inline_commits(life: Life) -> None:
    for step in range(3):
        life.commit(small(step), step=step)


def _deltas(life: Life) -> None:
    state = large(1)
    life.commit(state, step=1)
    life.commit({**state, "w": state["w"] + (np.arange(34_000) % 97 == 0)}, step=2)


def _several_packs(life: Life) -> None:
    life.commit({f"w{number}": noise(number, 34_000) for number in range(3)})
    life.commit({f"w{number}": noise(number + 9, 34_000) for number in range(2)})


def _two_branches(life: Life) -> None:
    life.commit(small(1))
    life.commit(large(2), branch="dev")
    life.commit(small(3))


def _tags(life: Life) -> None:
    life.commit(small(1))
    life.tag("kept")
    life.commit(small(2), tags=["other"])
    life.delete_tag("kept")


def _gc_of_a_branch(life: Life) -> None:
    life.commit(small(1))
    life.commit(large(2), branch="dev")
    life.delete_branch("dev")
    life.gc()


def _gc_that_copies(life: Life) -> None:
    kept = noise(5, 36_000)
    life.commit({"kept": kept, "lost": noise(6, 38_000)}, branch="dev")
    life.commit({"kept": kept})
    life.delete_branch("dev")
    life.gc()
    life.commit({"kept": kept, "lost": noise(6, 38_000)})


def _gc_that_rebases(life: Life) -> None:
    for step in range(3):
        # What a step adds is nearly half of what the whole takes.
        life.commit({"w": noise(1, 34_000) + step * (noise(2, 34_000) % 8)}, step=step)
    life.delete("step:0", "step:1")
    life.gc()
    life.commit({"w": noise(1, 34_000) + 3 * (noise(2, 34_000) % 8)}, step=3)


def _repack(life: Life) -> None:
    for step in range(3):
        life.commit({"w": noise(1, 34_000) + step * (noise(2, 34_000) % 8)}, step=step)
    life.repack()
    life.commit({"w": noise(1, 34_000) + 3 * (noise(2, 34_000) % 8)}, step=3)


def _gc_that_archives(life: Life) -> None:
    for step in range(3):
        life.commit(small(step), step=step)
    life.commit(small(9), branch="dev")
    life.delete_branch("dev")
    life.gc()
    life.commit(small(4), step=4)
    life.gc()


def _archive_without_gc(life: Life) -> None:
    for step in range(7):
        life.commit(small(step), step=step)


SCENARIOS: dict[str, Callable[[Life], None]] = {
    "init": lambda life: None,
    "first commit": _first_commit,
    "inline commits": _inline_commits,
    "deltas": _deltas,
    "several packs": _several_packs,
    "two branches": _two_branches,
    "tags": _tags,
    "gc of a branch": _gc_of_a_branch,
    "gc that copies": _gc_that_copies,
    "gc that rebases": _gc_that_rebases,
    "repack": _repack,
    "gc that archives": _gc_that_archives,
    "archive without gc": _archive_without_gc,
}


# Every sync of the protocol: what is synced, and a life in which it matters.
SYNCS = {
    "a pack": (r"\.pack$", "first commit"),
    "a log record": (r"/log/\.[0-9a-f]+\.tmp$", "first commit"),
    "a segment": (r"\.seg$", "gc that archives"),
    "the folder of an epoch": (r"/log/[0-9a-f]{14}$", "first commit"),
    "the shelves of packs": (r"/packs$", "first commit"),
    "a shelf": (r"/packs/..$", "first commit"),
    "the folder of epochs": (r"/log$", "gc that archives"),
    "the folder of segments": (r"/segments$", "gc that archives"),
    "the store": (r"/store$", "init"),
}


@contextmanager
def small_files() -> Iterator[None]:
    """Within the block, packs begin at 8 KB and close at 40 KB, so that small states take the way of large ones.

    The log's epochs are a few records long, a record tells of few packs as gone, and every chain is dear enough to be
    repacked.
    """
    saved = Transaction.__init__.__defaults__, PackWriter.__init__.__defaults__
    favoured, reversal.FAVOURED_BUDGET = reversal.FAVOURED_BUDGET, 0.0
    epochs = gc.EPOCH_RECORDS, archive.EPOCH_RECORDS_WITHOUT_GC
    most = leaving.MOST_PACKS, condemn.MOST_CHUNKS
    leaving.MOST_PACKS, condemn.MOST_CHUNKS = 2, 4
    Transaction.__init__.__defaults__, PackWriter.__init__.__defaults__ = (8_000,), (40_000,)
    gc.EPOCH_RECORDS, archive.EPOCH_RECORDS_WITHOUT_GC = 4, 6
    try:
        yield
    finally:
        Transaction.__init__.__defaults__, PackWriter.__init__.__defaults__ = saved
        gc.EPOCH_RECORDS, archive.EPOCH_RECORDS_WITHOUT_GC = epochs
        reversal.FAVOURED_BUDGET = favoured
        leaving.MOST_PACKS, condemn.MOST_CHUNKS = most


def recorded(scenario: str, root: str, disk: type[RecordingDisk] = RecordingDisk) -> RecordingDisk:
    """Live through ``scenario`` in the folder ``root``, which must not exist."""
    os.makedirs(os.path.dirname(root), exist_ok=True)
    recorder = disk(root)
    with small_files():
        SCENARIOS[scenario](Life(recorder))
    return recorder


def lay_out(tree: Tree, root: str) -> None:
    """Make the folder of a crash, an hour ago, in the place of what is at ``root``."""
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    for path, data in sorted(tree.items()):
        place = os.path.join(root, path)
        if data is None:
            os.mkdir(place)
        else:
            with open(place, "wb") as file:
                file.write(data)
    age(root)


def age(root: str) -> None:
    """Let every file below ``root`` be an hour older, so that gc takes what a crash left for litter."""
    for folder, _, names in os.walk(root):
        for place in (os.path.join(folder, name) for name in names):
            os.utime(place, (os.path.getmtime(place) - AN_HOUR_AGO,) * 2)


def check(crash: Moment, root: str, *, onwards: bool = True) -> None:
    """The store at ``root`` opens by itself and has all it acknowledged; with ``onwards``, the next commit and gc work.

    AssertionError, or whatever error the store raised, when one of these does not hold.
    """
    known = crash.known
    if known is None:
        if not _is_store(root):
            create(Disk(), Layout(root), "2026-01-01T00:00:00+00:00")
        known = EMPTY
    assert isinstance(known, Known)
    following = crash.next if crash.next is not None else EMPTY
    assert isinstance(following, Known)
    states = {**known.states, **following.states}
    with Store(root, options=ONE_THREAD) as store:
        refs = refs_of(store)
        assert refs in (known.refs, following.refs)
        _check_commits(store, states)
        assert store.verify(data=True).problems == []
        if onwards:
            store.commit(small(77), branch="after-the-crash")
            store.gc()
            assert {key: commit for key, commit in refs_of(store).items() if key != "heads/after-the-crash"} == refs
            _check_commits(store, states)
            assert store.verify().problems == []
            assert not _litter(root)


def _litter(root: str) -> list[str]:
    """What a crash may leave and gc takes away: packs and records that were being written."""
    names = [os.path.join(folder, name) for folder, _, found in os.walk(root) for name in found]
    return [name for name in names if name.endswith(".tmp") or "/tmp/" in name.removeprefix(root)]


def _is_store(root: str) -> bool:
    try:
        Store(root, options=ONE_THREAD).close()
    except NotAStoreError:
        return False
    return True


def _check_commits(store: Store, states: dict[str, State]) -> None:
    for commit in refs_of(store).values():
        for made in store.log(commit):
            if made.id.hex() in states:
                loaded = store.load(made)
                expected = states[made.id.hex()]
                assert loaded.keys() == expected.keys()
                assert all(loaded[name].tobytes() == value.tobytes() for name, value in expected.items())
