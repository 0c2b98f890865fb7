"""A store object: opened as often as one likes, shared by threads, sent to processes, closed and used again."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import outputs

import deltackpt
from deltackpt import CorruptError, InvalidInputError, NotFoundError, Options, Store


def state(value: int) -> dict[str, Any]:
    return {"model": {"w": np.full(50_000, value)}}


def value(store: Store, ref: str) -> int:
    return int(store.load(ref)["model"]["w"][-1])


def test_two_handles_see_each_other(store: Store) -> None:
    other = Store(store.path)
    for step in range(1, 7):
        (store if step % 2 else other).commit(state(step), step=step)
        assert value(store, "main") == value(other, "main") == step
    assert list(store.log("main")) == list(other.log("main"))


def test_threads_share_one_store(store: Store) -> None:
    def work(number: int) -> list[int]:
        for step in range(5):
            store.commit(state(10 * number + step), step=step, branch=f"b{number}")
        return [value(store, f"b{number}~{back}") for back in range(5)]

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(work, range(4)))
    assert found == [[10 * number + step for step in reversed(range(5))] for number in range(4)]
    assert store.verify(data=True).ok


def test_threads_on_one_branch_rebase(store: Store) -> None:
    def work(number: int) -> None:
        for step in range(5):
            store.commit(state(10 * number + step), message=f"{number}.{step}", on_conflict="rebase")

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(work, range(3)))
    expected = sorted(f"{number}.{step}" for number in range(3) for step in range(5))
    assert sorted(commit.message for commit in store.log("main")) == expected


def test_a_pickled_store_is_its_path_and_options(store: Store) -> None:
    opened = Store(store.path, options=Options(threads=1, cache_bytes=0))
    opened.commit(state(7), step=1)
    copy = pickle.loads(pickle.dumps(opened))
    assert (copy.path, copy._repository.options) == (store.path, Options(threads=1, cache_bytes=0))
    assert value(copy, "main") == 7


def test_a_forked_child_reads_and_commits(store: Store) -> None:
    store.commit(state(1), step=1)
    child = os.fork()
    if not child:
        # Whatever happens, the child must not go on as a second test run.
        try:
            assert value(store, "main") == 1
            store.commit(state(2), step=2)
            assert value(store, "main") == 2
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert value(store, "main") == 2
    store.commit(state(3), step=3)
    assert [commit.step for commit in store.log("main")] == [3, 2, 1]


def test_a_closed_store_can_be_used_again(store: Store) -> None:
    with store as same:
        same.commit(state(1), step=1)
    store.close()
    assert value(store, "main") == 1
    store.commit(state(2), step=2)
    assert value(store, "main") == 2


def test_closing_gives_back_files_and_threads(store: Store) -> None:
    before = set(threading.enumerate())
    store.commit(state(1), step=1)
    store.load("main")
    assert set(threading.enumerate()) > before
    store.close()
    assert set(threading.enumerate()) <= before
    assert held(store) == []


def held(store: Store) -> list[str]:
    """Files below the store that this process has open."""
    paths = [os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir()]
    return [path for path in paths if path.startswith(store.path)]


def test_what_two_handles_share_is_given_back_by_the_last(store: Store) -> None:
    store.commit(state(1), step=1)
    other = Store(store.path)
    assert value(other, "main") == 1
    store.close()
    assert held(store) != []
    assert value(store, "main") == 1, "a closed store opens again what it needs"
    other.close()
    assert held(store) == []
    store.commit(state(2), step=2)
    assert value(other, "main") == 2
    other.close()
    store.close()
    assert held(store) == []


def test_a_store_that_does_not_open_holds_nothing(store: Store) -> None:
    store.commit(state(1), step=1)
    store.close()
    os.rename(Path(store.path, "log"), Path(store.path, "gol"))
    with pytest.raises(CorruptError):
        Store(store.path)
    assert held(store) == []


def test_closing_beside_threads_that_read(store: Store) -> None:
    store.commit(state(1), step=1)
    stop = threading.Event()

    def read() -> int:
        reads = 0
        while not stop.is_set() or not reads:
            assert Store(store.path).resolve("main").step == 1
            assert store.resolve("main").step == 1
            reads += 1
        return reads

    with ThreadPoolExecutor(4) as threads:
        reading = [threads.submit(read) for _ in range(4)]
        for _ in range(300):
            with Store(store.path) as other:
                assert other.resolve("main").step == 1
        stop.set()
        assert min(one.result() for one in reading) > 0


def test_paths_and_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.init("a/b/ckpts")
    assert store.path == str(tmp_path / "a" / "b" / "ckpts")
    assert repr(store) == f"Store({store.path!r})"
    monkeypatch.chdir("/")
    store.commit(state(5))
    assert value(store, "main") == 5


def test_a_store_is_made_once(store: Store) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Store.init(store.path)
    assert str(caught.value) == f"{store.path!r} holds a store already; open it instead"


def test_a_folder_with_other_things_may_become_a_store(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    Store.init(tmp_path).commit(state(1))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_tilde_is_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "ada"))
    monkeypatch.chdir(tmp_path)
    with Store.init("~/ckpts") as made:
        assert made.path == str(tmp_path / "ada" / "ckpts")
    deltackpt.save({"w": 1}, "~/ckpts/first.pt")
    assert deltackpt.load("~/ckpts/first.pt") == {"w": 1}
    assert list(Store("~/ckpts").tags()) == ["first.pt"]
    assert [path.name for path in tmp_path.iterdir()] == ["ada"]


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_what_is_no_store(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path.write_text("hello")
    with pytest.raises(NotFoundError) as caught:
        Store(path)
    told = {"missing": "does not exist; make a store there"}
    reason = told.get(kind, "is not a store: it has no store.json; make one")
    assert str(caught.value) == f"{str(path)!r} {reason} with `deltackpt init`"


READER = """
import sys, deltackpt
print(int(deltackpt.Store(sys.argv[1]).load("main")["model"]["w"][0]))
"""


def test_another_process_reads_while_this_one_commits(store: Store) -> None:
    store.commit(state(1), step=1)
    command = [sys.executable, "-c", READER, store.path]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for step in range(2, 30):
        store.commit(state(step), step=step)
    seen = [int(said) for said, _ in outputs(readers)]
    assert all(1 <= number < 30 for number in seen)


def test_a_store_that_was_moved_is_not_an_empty_one(store: Store, tmp_path: Path) -> None:
    store.commit(state(1), step=1)
    os.rename(store.path, tmp_path / "elsewhere")
    for call in (store.branches, lambda: list(store.log()), lambda: store.load("main"), store.stats):
        with pytest.raises(NotFoundError, match="is no store any more; open it where it was moved to"):
            call()
    with pytest.raises(NotFoundError):
        store.commit(state(2), step=2)
    assert not Path(store.path).exists()
    assert value(Store(tmp_path / "elsewhere"), "main") == 1
