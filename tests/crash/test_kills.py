"""A process that commits, tags and collects without end is killed: the store opens, with everything it acknowledged."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from crash_scenarios import ONE_THREAD, noise, small
from figures import note

from deltackpt import Store

ROOT = Path(__file__).parents[2]

# For each line "first calls" forks a process that commits and collects for ever, and tells when that is dead. Each
# commit is a line, once it is acknowledged. With calls the process kills itself at that call of a method that
# changes the disk.
NURSERY = """
import itertools, os, signal, sys
sys.path[:0] = sys.argv[1:3]
import numpy as np
import deltackpt.commit.commit, deltackpt.content.state, deltackpt.maintenance.gc
from crash_scenarios import large, noise, opened, small, small_files
from deltackpt.fs.disk import Disk

class Deadly(Disk):
    left = 0
    def step(self):
        Deadly.left -= 1
        if Deadly.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

def deadly(name):
    method = getattr(Disk, name)
    def call(self, *arguments):
        self.step()
        return method(self, *arguments)
    setattr(Deadly, name, call)

def tell(*words):
    # One write, which a kill does not divide.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

for name in "create write sync close sync_directory rename link unlink make_directory remove_directory".split():
    deadly(name)

def live(first, calls):
    Deadly.left = calls
    store = opened(sys.argv[3], Deadly())
    with small_files():
        for step in itertools.count(first):
            state = {"w": noise(step % 7, 34_000) if step % 3 else noise(step, 700), "n": np.array([step])}
            made = store.commit(state, step=step, branch="main")
            tell(step, made.id.hex())
            if step % 4 == 0:
                store.commit(large(step), branch=f"b{step}")
                store.delete_branch(f"b{step}")
            if step % 5 == 0:
                store.gc()

for line in sys.stdin:
    child = os.fork()
    if not child:
        live(*map(int, line.split()))
    tell("born", child)
    tell("dead", os.waitpid(child, 0)[1])
"""


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    folder = Path("/dev/shm", f"deltackpt-kills-{os.getpid()}") if os.path.isdir("/dev/shm") else tmp_path
    with Store.init(folder / "s", options=ONE_THREAD) as store:
        store.commit(small(1), step=0)
    yield str(folder / "s")
    subprocess.run(["rm", "-rf", folder], check=True)


@contextmanager
def nursery(path: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", NURSERY, str(ROOT), str(Path(__file__).parent), path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def killed(process: subprocess.Popen[str], first: int, calls: int, commits: int, seconds: float) -> dict[int, str]:
    """Start a worker and kill it, at one of its calls or so many seconds after so many commits; those that it
    acknowledged, by step.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    print(first, calls, file=process.stdin, flush=True)
    heard: dict[str, str] = {}
    for line in process.stdout:
        word, _, rest = line.strip().partition(" ")
        heard[word] = rest
        if len(heard) == 1 + commits and not calls:
            time.sleep(seconds)
            os.kill(int(heard["born"]), signal.SIGKILL)
        if word == "dead":
            break
    heard.pop("born")
    assert heard.pop("dead") == str(int(signal.SIGKILL))
    return {int(step): commit for step, commit in heard.items()}


def check(path: str, acknowledged: dict[int, str], *, index: bool, data: bool) -> int:
    """The store as the next process finds it, with its index or without; its newest step."""
    if not index:
        subprocess.run(["rm", "-rf", os.path.join(path, "index")], check=True)
    with Store(path, options=ONE_THREAD) as store:
        line = {commit.step: commit for commit in store.log("main")}
        assert all(line[step].id.hex() == commit for step, commit in acknowledged.items())
        for step, commit in sorted(acknowledged.items())[-5:]:
            assert line[step].id.hex() == commit
            state = store.load(commit)
            assert np.array_equal(state["n"], [step])
            assert np.array_equal(state["w"], noise(step % 7, 34_000) if step % 3 else noise(step, 700))
        assert sorted(line) == list(range(len(line)))
        assert store.verify(data=data).problems == []
        return max(step for step in line if step is not None)


def kill_often(path: str, times: int, seed: int) -> int:
    chance = random.Random(seed)
    newest, acknowledged = 0, {}
    with nursery(path) as process:
        for kill in range(times):
            # Half of them at a call of the disk, half at any moment.
            calls = chance.randrange(1, 200) if kill % 2 else 0
            acknowledged |= killed(process, newest + 1, calls, chance.randrange(6), chance.uniform(0.0, 0.02))
            newest = check(path, acknowledged, index=kill % 3 != 0, data=kill % 6 == 0)
    return len(acknowledged)


def test_killed_at_any_moment(path: str) -> None:
    assert kill_often(path, 60, 1) > 60


@pytest.mark.long
def test_killed_very_often(path: str) -> None:
    acknowledged = kill_often(path, 500, 2)
    note(f"500 kills, {acknowledged} acknowledged commits")
