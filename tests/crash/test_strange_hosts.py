"""Processes that share a store and little else: another namespace of process numbers, another opinion of the time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from crash_scenarios import ONE_THREAD, noise, small

from deltackpt import Store

ROOT = Path(__file__).parents[2]

# Commits to a branch of its own and collects between; a line for each commit, once it is acknowledged.
WRITER = """
import os, sys
sys.path[:0] = sys.argv[1:3]
import numpy as np
from crash_scenarios import ONE_THREAD, noise, small_files
from deltackpt import Store

path, branch, times = sys.argv[3], sys.argv[4], int(sys.argv[5])
print("pid", os.getpid(), flush=True)
with small_files(), Store(path, options=ONE_THREAD) as store:
    for step in range(times):
        made = store.commit({"w": noise(step % 5, 34_000), "n": np.array([step])}, step=step, branch=branch)
        print(step, made.id.hex(), flush=True)
        assert np.array_equal(store.load(made)["n"], [step])
        if step % 3 == 2:
            store.commit({"w": noise(step + 50, 34_000)}, branch=f"{branch}-{step}")
            store.delete_branch(f"{branch}-{step}")
            store.gc()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    with Store.init(tmp_path / "s", options=ONE_THREAD) as store:
        store.commit(small(1), step=0)
        return store.path


def together(
    path: str, hosts: Sequence[Sequence[str]], times: int, environment: Mapping[str, str] | None = None
) -> list[dict[str, str]]:
    """A writer behind each command prefix, at the same time; what each told, by first word."""
    program = [sys.executable, "-c", WRITER, ROOT, Path(__file__).parent, path]
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [*host, *program, f"host-{number}", str(times)],
                    stdout=subprocess.PIPE,
                    text=True,
                    env={**os.environ, **(environment or {})},
                )
            )
            for number, host in enumerate(hosts)
        ]
        told = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(hosts)
    return [dict(line.split(maxsplit=1) for line in text.splitlines()) for text in told]


def check(path: str, told: Sequence[Mapping[str, str]], times: int) -> None:
    """Each writer's line is whole, and every byte verifies, with the index as it was left and with a new one."""
    for kept in (True, False):
        if not kept:
            shutil.rmtree(os.path.join(path, "index"))
        with Store(path, options=ONE_THREAD) as store:
            for number, lines in enumerate(told):
                line = list(store.log(f"host-{number}"))
                assert [commit.id.hex() for commit in reversed(line)] == [lines[str(step)] for step in range(times)]
                for commit in line:
                    state = store.load(commit)
                    assert np.array_equal(state["n"], [commit.step])
                    assert np.array_equal(state["w"], noise(commit.step % 5, 34_000))
            assert store.verify(data=True).problems == []


def test_two_containers_with_the_same_process_numbers(path: str) -> None:
    """Both are number 1 of their namespace, and see no process of the other."""
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("making a namespace of process numbers is not permitted here")
    told = together(path, [apart, apart], 12)
    assert [lines["pid"] for lines in told] == ["1", "1"]
    check(path, told, 12)


def test_clocks_that_disagree(path: str) -> None:
    """Two days slow, 400 days fast and right: to the fast one, whatever others are writing looks like old litter."""
    if shutil.which("faketime") is None:
        pytest.skip("needs the command faketime")
    hosts = [["faketime", "-f", "-2d"], ["faketime", "-f", "+400d"], []]
    # Files keep the times that the file system gave them, as on a share whose server has a clock of its own.
    told = together(path, hosts, 9, {"NO_FAKE_STAT": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    check(path, told, 9)
    with Store(path, options=ONE_THREAD) as store:
        slow, fast, right = (next(iter(store.log(f"host-{number}"))) for number in range(3))
        assert (right.time - slow.time).days in (1, 2)
        assert (fast.time - right.time).days in (399, 400)
