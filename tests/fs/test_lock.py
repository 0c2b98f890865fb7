"""The lock of the index: many readers or one writer, of any thread and process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from patience import PATIENCE, until

from deltackpt.fs.lock import FileLock, hold, is_held


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[FileLock]:
    made = FileLock(str(tmp_path / "folder" / "lock"))
    yield made
    made.close()


def child_that_takes(path: str, exclusive: bool) -> int:
    child = os.fork()
    if not child:
        other = FileLock(path)
        with other.exclusive() if exclusive else other.shared():
            os._exit(0)
    return child


def is_got(path: str, *, exclusive: bool) -> bool:
    """Whether a child process gets the lock."""
    return os.waitpid(child_that_takes(path, exclusive), 0)[1] == 0


def is_waited_for(path: str, *, exclusive: bool) -> bool:
    """Whether a child process does not get the lock for a while."""
    child = child_that_takes(path, exclusive)
    threading.Event().wait(0.1)
    waits = os.waitpid(child, os.WNOHANG) == (0, 0)
    if waits:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return waits


def test_readers_share_and_writers_do_not(lock: FileLock) -> None:
    path = lock._path
    with lock.shared():
        assert is_got(path, exclusive=False)
        assert is_waited_for(path, exclusive=True)
    with lock.exclusive():
        assert is_waited_for(path, exclusive=False)
        assert is_waited_for(path, exclusive=True)
    assert is_got(path, exclusive=True)


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
            job.result(PATIENCE)
    assert max(most) >= 1


def test_a_writer_waits_for_readers_and_new_readers_for_the_writer(lock: FileLock) -> None:
    order: list[str] = []
    with ThreadPoolExecutor(2) as threads:
        with lock.shared():
            writer = threads.submit(lambda: enter(lock, order, "writer"))
            until(lambda: lock._writers_waiting)
            reader = threads.submit(lambda: enter(lock, order, "reader", shared=True))
            assert order == []
        writer.result(PATIENCE)
        reader.result(PATIENCE)
    assert order == ["writer", "reader"]


def enter(lock: FileLock, order: list[str], name: str, *, shared: bool = False) -> None:
    with lock.shared() if shared else lock.exclusive():
        order.append(name)


def test_a_reader_may_read_again_while_a_writer_waits(lock: FileLock) -> None:
    with ThreadPoolExecutor(1) as threads:
        with lock.shared():
            writer = threads.submit(lambda: enter(lock, [], "writer"))
            until(lambda: lock._writers_waiting)
            with lock.shared(), lock.shared():
                assert not writer.done()
        writer.result(PATIENCE)


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
        assert is_waited_for(path, exclusive=False)
        stack.callback(later.close)
    assert is_got(path, exclusive=True)


def test_paused(lock: FileLock) -> None:
    """Before a fork nobody may be within."""
    lock.pause()
    entered = threading.Event()
    thread = threading.Thread(target=lambda: enter(lock, [], "x", shared=True) or entered.set())
    thread.start()
    assert not entered.wait(0.05)
    lock.resume()
    assert entered.wait(PATIENCE)
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
