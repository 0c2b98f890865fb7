"""Progress bars, for what lasts longer than a second and only where somebody watches."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from deltackpt.cli.settings import Settings

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE_SECONDS = 1.0


class Bar:
    """A bar on stderr, counting bytes (with speed and time left) or, with ``unit``, things.

    A context manager; shows itself once it has been open for a second. ``advance`` and ``reached`` may be called from
    any thread. Without ``total`` it shows that something is going on.
    """

    def __init__(self, settings: Settings, label: str, total: int | None = None, unit: str | None = None) -> None:
        self._label = label
        self._total = total
        self._unit = unit
        self._done = 0
        self._lock = threading.Lock()
        self._shown: Progress | None = None
        self._timer: threading.Timer | None = None
        if settings.progress and sys.stderr.isatty():
            self._timer = threading.Timer(PATIENCE_SECONDS, self._show)
            self._timer.daemon = True

    def __enter__(self) -> Self:
        if self._timer is not None:
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer.join()
        if self._shown is not None:
            self._shown.stop()

    def advance(self, count: int) -> None:
        """``count`` more are done."""
        with self._lock:
            self._done += count
            self._update()

    def reached(self, done: int, total: int) -> None:
        """``done`` of ``total`` are done."""
        with self._lock:
            self._done, self._total = done, total
            self._update()

    def _update(self) -> None:
        if self._shown is not None:
            self._shown.update(self._shown.task_ids[0], completed=self._done, total=self._total)

    def _show(self) -> None:
        # rich takes 0.1 s to import, which only what lasts longer than a second has to pay.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *self._columns(),
            console=Console(stderr=True),
            transient=True,
        )
        with self._lock:
            bar.add_task(self._label, total=self._total, completed=self._done)
            bar.start()
            self._shown = bar

    def _columns(self) -> list[Any]:
        from rich.progress import (
            DownloadColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        from deltackpt.cli.rate_column import RateColumn

        if self._unit is not None:
            return [MofNCompleteColumn(), TextColumn(self._unit), RateColumn(self._unit), TimeRemainingColumn()]
        if self._total is None:
            return [TimeElapsedColumn()]
        return [DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()]


def index_progress(settings: Settings) -> Callable[[int, int], None]:
    """A listener for the building of a lost index; its bar goes away with the last record."""
    bar: Bar | None = None

    def hear(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = Bar(settings, "building the index again", total, "records").__enter__()
        bar.reached(done, total)
        if done >= total:
            bar.__exit__(None, None, None)
            bar = None

    return hear
