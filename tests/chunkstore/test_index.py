"""The index is a cache: lost, cut short, flipped, of another store or of another time, it is built again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from disks import rows_of, tables_of
from patience import PATIENCE

from deltackpt import Options, Store
from deltackpt.chunkstore import environments
from deltackpt.chunkstore.transaction import Decision, Transaction
from deltackpt.errors import DeltackptError, NotFoundError
from deltackpt.fs.disk import Disk
from deltackpt.history.objects import CommitObject, decode, encode
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId, CommitId

ONE_THREAD = Options(threads=1, cache_bytes=0)
STATES = [{"w": np.arange(4_000, dtype=np.uint16) + i, "n": np.arange(99) * i} for i in range(4)]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Three commits, one of them inline."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (2_000,))
    with Store.init(tmp_path / "s", options=ONE_THREAD) as made:
        for step in range(3):
            made.commit(STATES[step], step=step)
        yield made


def data_file(store: Store) -> Path:
    return Path(store.index_path, "lmdb", "data.mdb")


def is_whole(path: str) -> bool:
    with Store(path, options=ONE_THREAD) as store:
        loaded = [store.load(f"main~{2 - step}") for step in range(3)]
    return all(
        np.array_equal(got[name], state[name]) for got, state in zip(loaded, STATES, strict=False) for name in got
    )


def in_a_child(path: str) -> int:
    return forked(lambda: is_whole(path))


def forked(question: Callable[[], object]) -> int:
    """Ask in a forked process: 0 for yes, 1 for no, 2 for a typed error, or minus the signal that killed it."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if question() else 1
        except DeltackptError:
            code = 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("loss", ["folder", "data", "lock", "empty", "text"])
def test_lost(store: Store, loss: str) -> None:
    data = data_file(store)
    match loss:
        case "folder":
            shutil.rmtree(store.index_path)
        case "data":
            shutil.rmtree(data.parent)
        case "lock":
            Path(store.index_path, "lock").unlink()
        case "empty":
            data.write_bytes(b"")
        case "text":
            data.write_bytes(b"this is no database\n" * 1_000)
    # In a child, where the environment is opened anew; then in this process, which has it open.
    assert in_a_child(store.path) == 0
    assert is_whole(store.path)
    store.commit(STATES[3], step=3)
    assert store.verify(data=True).ok


def test_cut_short_at_every_page(store: Store) -> None:
    data = data_file(store).read_bytes()
    for length in range(0, len(data), 4096):
        data_file(store).unlink()
        data_file(store).write_bytes(data[:length])
        assert in_a_child(store.path) == 0, length


def test_bits_that_flip_never_give_wrong_bytes(store: Store) -> None:
    """Nearly always the index is built again. A page whose count of rows is wrong can hide some: a typed error."""
    data = data_file(store).read_bytes()
    used = [page for page in range(len(data) // 4096) if any(data[page * 4096 : page * 4096 + 4096])]
    chance = random.Random(5)
    outcomes = []
    for _ in range(120):
        at = chance.choice(used) * 4096 + chance.randrange(4096)
        data_file(store).parent.mkdir(parents=True, exist_ok=True)
        data_file(store).write_bytes(data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :])
        outcomes.append(in_a_child(store.path))
        shutil.rmtree(store.index_path)
    assert set(outcomes) <= {0, 2, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT}
    assert outcomes.count(0) >= 116
    assert is_whole(store.path)


def test_of_another_store(store: Store, tmp_path: Path) -> None:
    with Store.init(tmp_path / "other", options=ONE_THREAD) as other:
        other.commit({"w": np.arange(3)})
        shutil.rmtree(store.index_path)
        shutil.copytree(other.index_path, store.index_path)
    assert is_whole(store.path)


def test_of_an_earlier_time(store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.index_path, tmp_path / "old")
    late = store.commit(STATES[3], step=3)
    store.commit({"x": np.arange(5)}, branch="dev")
    shutil.rmtree(store.index_path)
    shutil.copytree(tmp_path / "old", store.index_path)
    with Store(store.path, options=ONE_THREAD) as again:
        assert again.resolve("main").id == late.id
        assert set(again.branches()) == {"main", "dev"}


def test_of_a_copy_that_went_another_way(store: Store, tmp_path: Path) -> None:
    """A store that was copied with its index, whose copy then got the first one's index back."""
    shutil.copytree(store.path, tmp_path / "copy")
    store.commit(STATES[3], step=3, message="here")
    with Store(tmp_path / "copy", options=ONE_THREAD) as copy:
        there = copy.commit({"x": np.arange(7)}, step=3, message="there")
        shutil.rmtree(copy.index_path)
        shutil.copytree(store.index_path, copy.index_path)
    with Store(tmp_path / "copy", options=ONE_THREAD) as copy:
        assert copy.resolve("main").id == there.id
        assert np.array_equal(copy.load("main")["x"], np.arange(7))


def test_nothing_stands_in_the_index_that_a_power_loss_could_take_back(store: Store) -> None:
    """A reader that sees another writer's record makes its name durable before it believes it."""
    calls: list[str] = []

    class Watching(Disk):
        def sync_directory(self, path: str) -> None:
            calls.append(os.path.basename(path))
            super().sync_directory(path)

    reader = Repository(store.path, ONE_THREAD, lambda done, total: None, Watching())
    reader.look(lambda history: None)
    assert calls == []
    # Another host's record, which this machine's index has not taken in.
    shutil.copytree(store.index_path, f"{store.index_path}.before")
    store.commit(STATES[3], step=3)
    shutil.rmtree(store.index_path)
    os.rename(f"{store.index_path}.before", store.index_path)
    reader.look(lambda history: None)
    assert calls == [str(reader.chunks.facts.first_epoch)]


def swell(store: Store) -> bool:
    update = store._repository.chunks.index.update()
    following = update.position.number + 1
    for first in range(0, 700_000, 100_000):
        rows = [(b"%032d" % number, bytes(78)) for number in range(first, first + 100_000)]
        update._write(following, [lambda tables, rows=rows: [tables.put(b"chunks", *row) for row in rows]])
    return True


def test_the_map_grows_under_readers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process makes the index larger than this one has mapped, while threads of this one read it."""
    known = store._repository.chunks.look(lambda view: [chunk for chunk, _ in view.chunks()])
    stop = threading.Event()

    def read_on() -> int:
        count = 0
        while not stop.is_set() or count == 0:
            count += store._repository.chunks.look(lambda view: sum(view.chunk(chunk) is not None for chunk in known))
        return count

    with ThreadPoolExecutor(4) as threads:
        readers = [threads.submit(read_on) for _ in range(4)]
        try:
            assert forked(lambda: swell(store)) == 0
        finally:
            stop.set()
        assert store._repository.chunks.look(lambda view: view.tables.get(b"chunks", b"%032d" % 699_999)) == bytes(78)
        stop.set()
        assert all(reader.result(PATIENCE) % len(known) == 0 for reader in readers)
    assert data_file(store).stat().st_size > 64 << 20


def test_a_forked_child_opens_the_index_and_leaves_it(store: Store) -> None:
    inode = data_file(store).stat().st_ino
    assert in_a_child(store.path) == 0
    assert forked(lambda: store.commit(STATES[3], step=3)) == 0
    assert data_file(store).stat().st_ino == inode, "it was not built anew"
    assert store.resolve("main").step == 3
    assert forked(lambda: forked(lambda: store.resolve("main").step == 3) == 0) == 0, "nor by the child of a child"


def test_an_index_that_is_built_again_is_never_seen_empty(store: Store) -> None:
    known = store._repository.chunks.look(lambda view: [chunk for chunk, _ in view.chunks()])
    with ThreadPoolExecutor(4) as threads:
        rebuilt = [threads.submit(store._repository.chunks.rebuild) for _ in range(10)]
        while not all(job.done() for job in rebuilt):
            found = store._repository.chunks.look(lambda view: sum(view.chunk(chunk) is not None for chunk in known))
            assert found == len(known)
        for job in rebuilt:
            job.result()


def test_a_ref_whose_key_rotted_is_not_taken_for_free(store: Store) -> None:
    head = store.resolve("main").id
    with tables_of(store) as tables:
        row = tables.txn.pop(b"heads/main", db=tables.handles[b"refs"])
        tables.txn.put(b"heads/maio", row, db=tables.handles[b"refs"])
    made = store.commit(STATES[3], step=3)
    assert made.parents == (head,)


@pytest.mark.parametrize("named", ["by its id", "by what comes after it"])
def test_a_commit_whose_row_is_gone_is_found_again(store: Store, named: str) -> None:
    store.commit({"n": 1}, branch="other")
    first, last = (store.commit({"n": n}, branch="line", step=n) for n in (1, 2))
    with tables_of(store) as tables:
        tables.delete(b"commits", first.id)
    if named == "by its id":
        assert store.load(first.id.hex()) == {"n": 1}
    else:
        assert [commit.id for commit in store.log("line")] == [last.id, first.id]
    with pytest.raises(NotFoundError, match="no branch, tag or commit"):
        store.load("lime")


def test_a_chunk_whose_key_rotted_is_found_again(store: Store) -> None:
    with tables_of(store) as tables:
        for key, _ in list(tables.items(b"chunks")):
            tables.delete(b"chunks", key)
    assert is_whole(store.path)


def test_a_reader_within_a_reader_does_not_wait_for_the_writer_behind_it(store: Store) -> None:
    """Two looks at once from one thread stand in no one's way when a writer queues between them."""
    index = environments.shared_environment(os.path.realpath(store.index_path))
    written = threading.Event()

    def write() -> None:
        with index.lock.exclusive():
            written.set()

    with index.lock.shared():
        writer = threading.Thread(target=write)
        writer.start()
        assert not written.wait(0.05)
    writer.join(PATIENCE)
    assert written.is_set()


def test_a_gc_gives_back_what_the_index_grew_by(store: Store) -> None:
    for branch in range(3):
        state = {f"t{i}": np.full(300, i + 1000 * branch, np.int64) for i in range(3_000)}
        store.commit(state, branch=f"b{branch}", parent=None)
    store.commit({"w": np.arange(9)}, step=10)
    with Store(store.path) as reading:
        assert reading.load("main")["w"].tolist() == list(range(9))
        for branch in range(3):
            store.delete_branch(f"b{branch}")
        file = data_file(store)
        before = file.stat().st_size
        rows = rows_of(store)[b"commits"]
        store.gc()
        assert file.stat().st_size < before / 4
        assert reading.load("main")["w"].tolist() == list(range(9)), "who had the old file open follows"
        assert rows_of(store)[b"commits"].items() <= rows.items()
        reading.commit({"w": np.arange(10)})
    kept = rows_of(store)
    store._repository.chunks.rebuild()
    assert rows_of(store) == kept


def test_a_commit_that_two_records_bring_is_listed_once(store: Store) -> None:
    """Or no rebuild would ever come to as many commits as are listed, and every unknown name would ask for one."""
    head = store.resolve("main")
    repository = store._repository
    with Transaction(repository.chunks, repository.reader) as transaction:
        transaction.publish(lambda view: Decision("again", commits=(view.commit(head.id).data,) * 2))  # type: ignore[union-attr]
    for _ in range(2):
        with pytest.raises(NotFoundError, match="no branch, tag or commit 'nothing'"):
            store.resolve("nothing")
        shutil.rmtree(store.index_path)
    assert len(store._repository.look(lambda history: list(history.everything()))) == 3
    assert store.verify(data=True).ok
    assert is_whole(store.path)


def test_a_commit_that_is_brought_and_dropped_at_once_is_not_listed(store: Store) -> None:
    head = store.resolve("main")
    repository = store._repository
    data = repository.chunks.look(lambda view: view.commit(head.id).data)  # type: ignore[union-attr]
    other = encode(msgspec.structs.replace(decode(data, CommitObject), message="another"))
    with Transaction(repository.chunks, repository.reader) as transaction:
        gone = CommitId(ChunkId.of(other))
        transaction.publish(lambda view: Decision("at once", commits=(other,), dropped=(gone,)))
    with pytest.raises(NotFoundError, match="no branch, tag or commit 'nothing'"):
        store.resolve("nothing")
    assert store.verify(data=True).ok
