"""A training that is killed at any moment goes on, bit for bit, as if it had never stopped."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from figures import note
from patience import until
from programs import is_gone

from deltackpt import Store
from deltackpt.demo.fingerprints import fingerprints

torch = pytest.importorskip("torch")

from trainee import history, live, told  # noqa: E402 - it needs torch

HERE = Path(__file__).parent
# More than all lives together can do before they are killed.
STEPS_A_LIFE = 35

# For each line a training is started in a fork, which has the imports already; its end is told. Nothing of torch ran
# before the fork.
NURSERY = """
import os, sys
sys.path[:0] = sys.argv[1:3]
import numpy, torch, torch._dynamo, trainee
import deltackpt.training.checkpointer
store, losses = sys.argv[3:5]
for line in sys.stdin:
    steps, every, worker = line.split()
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        keep = deltackpt.Keep(last=3)
        trainee.live(store, int(steps), losses, every=int(every), worker=worker, keep=keep, pause=0.004)
        os._exit(0)
    print("born", child, flush=True)
    print("dead", os.waitpid(child, 0)[1], flush=True)
"""


@contextmanager
def nursery(store: Path, losses: Path) -> Iterator[subprocess.Popen[str]]:
    root = HERE.parents[1]
    command = [sys.executable, "-c", NURSERY, str(HERE), str(root), str(store), str(losses)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def one_life(process: subprocess.Popen[str], losses: Path, order: str, after: int | None, delay: float) -> bool:
    """Start a training, kill it ``delay`` seconds after it told ``after`` losses; whether it came to its end."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(order, file=process.stdin, flush=True)
    child = int(process.stdout.readline().split()[1])
    before = len(history(losses))
    if after is not None:
        until(lambda: len(history(losses)) >= before + after or is_gone(child))
        time.sleep(delay)
        # On a busy machine it may have come to its end meanwhile.
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    return process.stdout.readline().split() == ["dead", "0"]


def kill_often(folder: Path, kills: int, seed: int) -> None:
    """``kills`` lives that end too early, and one that does not; compared with one that was never disturbed."""
    chance = random.Random(seed)
    steps = kills * STEPS_A_LIFE
    whole = live(str(folder / "whole"), steps, str(folder / "whole.txt"), every=steps, worker="thread")
    store, losses = folder / "store", folder / "losses.txt"
    losses.touch()
    with nursery(store, losses) as process:
        for _ in range(kills):
            every, worker = chance.choice([1, 2, 5]), chance.choice(["process", "process", "thread"])
            one_life(process, losses, f"{steps} {every} {worker}", chance.randrange(1, 30), chance.uniform(0, 0.05))
        assert one_life(process, losses, f"{steps} 50 process", None, 0)
    expected = told(folder / "whole.txt")
    assert told(losses) == expected
    assert {(step, loss) for step, loss in history(losses)} == set(expected.items()), "also in lives that were lost"
    with Store(store) as killed, Store(folder / "whole") as undisturbed:
        assert killed.verify(data=True).ok
        final, reference = killed.load("main"), undisturbed.load("main")
    assert final["step"] == steps
    assert fingerprints(final) == fingerprints(reference)
    assert torch.equal(final["model"]["out.weight"], whole.model.state_dict()["out.weight"])


def test_a_training_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    kill_often(tmp_path, 6, 1)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(5))
def test_killed_very_often(tmp_path: Path, seed: int) -> None:
    kill_often(tmp_path, 10, 100 + seed)
    note("a training killed 10 times: every loss and the final state as without")
