"""How long tests wait for what must come: a guard against what hangs, and never a measure of speed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence

import pytest

PATIENCE = 300.0
"""Seconds; no machine is so slow or so busy that what comes at all takes longer."""

ends = pytest.mark.timeout(PATIENCE)
"""For tests of what must not go on for ever."""


def until(condition: Callable[[], object]) -> None:
    """Wait for something that another process or thread brings about."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "what was waited for does not come"
        time.sleep(0.002)


def outputs(processes: Sequence[subprocess.Popen[str]]) -> list[tuple[str, str]]:
    """What each has said on its two outputs, when all have ended; none is left behind."""
    try:
        return [process.communicate(timeout=PATIENCE) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
