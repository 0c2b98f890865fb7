"""Wall time of a call, of a fresh process, and the order in which contenders take turns."""

from __future__ import annotations

import gc
import multiprocessing
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any


def timed(action: Callable[[], object]) -> float:
    """Seconds of one call. Garbage of earlier calls is collected before, not during."""
    gc.collect()
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def command_seconds(command: Sequence[str]) -> float:
    """Seconds of a whole command, from its start to its end; its output is thrown away."""
    return timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def in_fresh_process(function: Callable[..., Any], *arguments: object) -> Any:
    """``function(*arguments)`` in an interpreter of its own, started new, gone afterwards."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def rotated(contenders: Sequence[Any], turn: int) -> list[Any]:
    """The same contenders starting one later each turn, so that nobody always follows the same neighbour."""
    start = turn % len(contenders)
    return [*contenders[start:], *contenders[:start]]
