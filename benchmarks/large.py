"""A state larger than the memory it may cost: 8 GB, committed, changed, committed again, checked out.

The tensors are mapped from files, so that the caller's own memory is page cache; what counts is the anonymous
memory that the process gains. A hard limit (``RLIMIT_DATA``) of 1 GB above the start makes a store that needs
more fail rather than merely look bad.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.contenders import DeltackptStore
from benchmarks.figures import Figure, at_most, missing
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.resident import anonymous_bytes, anonymous_peak_during, settle, writable_bytes
from benchmarks.stopwatch import in_fresh_process, timed
from benchmarks.workspace import scratch

LIMIT_BYTES = 10**9
TENSORS, QUICK_TENSORS, ROWS, COLUMNS = 32, 4, 16_384, 4_096
ACTIONS = ("first commit", "second commit", "checkout")


def figures(options: Options) -> Iterator[Figure]:
    count = QUICK_TENSORS if options.quick else TENSORS
    table = f"state of {count * ROWS * COLUMNS * 4 / 1e9:.1f} GB, limit 1 GB"
    say(table)
    try:
        measured = in_fresh_process(_measure, count)
    except MemoryError:
        yield missing(table, DeltackptStore.name, ACTIONS[0], "did not fit the limit: MemoryError")
        return
    for action, (extra, speed) in measured.items():
        yield Figure(table, action, "peak extra memory", "MB", (extra / 1e6,), at_most(LIMIT_BYTES / 1e6))
        yield Figure(table, action, "speed", "MB/s", (speed,))


def _measure(count: int) -> dict[str, tuple[int, float]]:
    """Extra bytes and MB/s of each action, in this process."""
    with scratch("large") as folder:
        state = {f"layer.{i}": _mapped(folder / f"tensor-{i}") for i in range(count)}
        size = sum(t.nbytes for t in state.values())
        settle()
        base = anonymous_bytes()
        _limit_memory()
        contender = DeltackptStore(folder)
        measured = {ACTIONS[0]: _watch(base, size, lambda: contender.commit_state(state, 0))}
        _train(state)
        measured[ACTIONS[1]] = _watch(base, size, lambda: contender.commit_state(state, 1))
        measured[ACTIONS[2]] = _watch(base, size, lambda: contender.checkout(1, folder / "out.safetensors"))
        return measured


def _watch(base: int, size: int, action: Callable[[], object]) -> tuple[int, float]:
    """Bytes beyond ``base``, which was measured before the store was opened, and MB/s."""
    seconds: list[float] = []
    peak = anonymous_peak_during(lambda: seconds.append(timed(action)))
    return peak - base, size / 1e6 / seconds[0]


def _limit_memory() -> None:
    """Private writable memory may grow by the limit and no more; shared file mappings do not count."""
    resource.setrlimit(resource.RLIMIT_DATA, (writable_bytes() + LIMIT_BYTES, resource.RLIM_INFINITY))


def _mapped(path: Path) -> torch.Tensor:
    """Weights at initialisation: normal, of standard deviation 0.02, in a mapped file."""
    tensor = torch.from_file(str(path), shared=True, size=ROWS * COLUMNS, dtype=torch.float32)
    return tensor.normal_(std=0.02).reshape(ROWS, COLUMNS)


def _train(state: dict[str, torch.Tensor]) -> None:
    """Every value moves by one part in ten thousand: the size of an optimizer's step, row by row."""
    for tensor in state.values():
        for rows in tensor.split(1024):
            rows.mul_(1 + 1e-4 * torch.randn_like(rows))
