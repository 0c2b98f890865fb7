"""What a save cost: one line of the log, and numbers for whoever draws them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from deltackpt.training.saver import Saved

log = logging.getLogger("deltackpt")

Scalars = Callable[[int, Mapping[str, float]], None]


def scalars_to(target: Any) -> Scalars:
    """A callback ``(step, numbers)``; or TensorBoard's SummaryWriter, under ``checkpoint/``."""
    if target is None:
        return lambda step, numbers: None
    if not hasattr(target, "add_scalar"):
        return target  # type: ignore[no-any-return]

    def write(step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            target.add_scalar(f"checkpoint/{name}", value, step)

    return write


def numbers_of(saved: Saved) -> dict[str, float]:
    """A save in numbers."""
    outcome = saved.outcome
    return {
        "plain_bytes": float(outcome.plain_bytes),
        "stored_bytes": float(outcome.stored_bytes),
        "ratio": outcome.plain_bytes / max(1, outcome.stored_bytes),
        "stall_ms": 1e3 * saved.stall,
        "background_s": outcome.seconds,
    }


def tell(saved: Saved, scalars: Scalars) -> None:
    """The line of a commit, and its numbers."""
    numbers = numbers_of(saved)
    log.info(
        "step %d%s: %.1f MB plain, %.1f MB stored (%.1fx), stalled %.0f ms, %.1f s in the background",
        saved.request.step,
        f" ({saved.request.message})" if saved.request.message else "",
        numbers["plain_bytes"] / 1e6,
        numbers["stored_bytes"] / 1e6,
        numbers["ratio"],
        numbers["stall_ms"],
        numbers["background_s"],
    )
    if not saved.outcome.healthy:
        log.warning("step %d holds tensors that are not finite; resume() passes over it", saved.request.step)
    scalars(saved.request.step, numbers)
