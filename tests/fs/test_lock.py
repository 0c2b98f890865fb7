"""The lock of the index: many readers or one writer, of any thread and process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from deltackpt.fs.lock import FileLock, hold, is_held


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[FileLock]:
    made = FileLock(str(tmp_path / "folder" / "lock"))
    yield made
    made.close()


def in_a_child(path: str, *, exclusive: bool) -> int:
    """Take the lock in a child process; its exit code, or -1 while it waits."""
    child = os.fork()
    if not child:
        other = FileLock(path)
        with other.exclusive() if exclusive else other.shared():
            os._exit(0)
    for _ in range(50):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        threading.Event().wait(0.004)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -1


def test_readers_share_and_writers_do_not(lock: FileLock) -> None:
    path = lock._path
    with lock.shared():
        assert in_a_child(path, exclusive=False) == 0
        assert in_a_child(path, exclusive=True) == -1
    with lock.exclusive():
        assert in_a_child(path, exclusive=False) == -1
        assert in_a_child(path, exclusive=True) == -1
    assert in_a_child(path, exclusive=True) == 0


def test_threads_of_one_process(lock: FileLock) -> None:
    inside = []
    most = []

    def read() -> None:
        with lock.shared():
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    def write() -> None:
        with lock.exclusive():
            assert not inside
            inside.append(1)
            assert len(inside) == 1
            inside.pop()

    with ThreadPoolExecutor(6) as threads:
        for job in [threads.submit(write if i % 5 == 0 else read) for i in range(600)]:
            job.result(30)
    assert max(most) >= 1


def test_a_writer_waits_for_readers_and_new_readers_for_the_writer(lock: FileLock) -> None:
    order: list[str] = []
    with ThreadPoolExecutor(2) as threads:
        with lock.shared():
            writer = threads.submit(lambda: enter(lock, order, "writer"))
            while not lock._writers_waiting:
                threading.Event().wait(0.001)
            reader = threads.submit(lambda: enter(lock, order, "reader", shared=True))
            assert order == []
        writer.result(10)
        reader.result(10)
    assert order == ["writer", "reader"]


def enter(lock: FileLock, order: list[str], name: str, *, shared: bool = False) -> None:
    with lock.shared() if shared else lock.exclusive():
        order.append(name)


def test_a_reader_may_read_again_while_a_writer_waits(lock: FileLock) -> None:
    with ThreadPoolExecutor(1) as threads:
        with lock.shared():
            writer = threads.submit(lambda: enter(lock, [], "writer"))
            while not lock._writers_waiting:
                threading.Event().wait(0.001)
            with lock.shared(), lock.shared():
                assert not writer.done()
        writer.result(10)


def test_a_reader_that_wants_to_write_is_a_mistake_not_a_deadlock(lock: FileLock) -> None:
    with lock.shared(), pytest.raises(AssertionError, match="cannot become the writer"), lock.exclusive():
        pass
    with lock.exclusive():
        pass


def test_a_file_that_was_deleted_parts_nobody(lock: FileLock) -> None:
    """Whoever opens the lock after its folder was deleted, and whoever had it open, still exclude each other."""
    path = lock._path
    with lock.shared():
        pass
    os.unlink(path)
    os.rmdir(os.path.dirname(path))
    later = FileLock(path)
    with lock.exclusive(), ExitStack() as stack:
        assert in_a_child(path, exclusive=False) == -1
        stack.callback(later.close)
    assert in_a_child(path, exclusive=True) == 0


def test_paused(lock: FileLock) -> None:
    """Before a fork nobody may be within."""
    lock.pause()
    entered = threading.Event()
    thread = threading.Thread(target=lambda: enter(lock, [], "x", shared=True) or entered.set())
    thread.start()
    assert not entered.wait(0.05)
    lock.resume()
    assert entered.wait(10)
    thread.join()
    with lock.shared():
        lock.pause()
        lock.resume()
        with lock.shared():
            pass


def test_a_file_in_use(tmp_path: Path) -> None:
    path = tmp_path / "pack"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    assert not is_held(str(path))
    hold(fd)
    assert is_held(str(path))
    os.close(fd)
    assert not is_held(str(path))
    assert not is_held(str(tmp_path / "none"))
