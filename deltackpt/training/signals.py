"""Signals that ask a training to end: noted, passed on, and acted on where the loop is whole.

The first one sets a flag, and what handled it before is called, too. A second Ctrl-C interrupts at once, as ever.
A process forked from the trainer ends by SIGTERM and SIGUSR1 as if nobody caught them. The first Ctrl-C, which a
terminal sends to all, leaves it alone: its data may be needed for the step under way.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

CAUGHT = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Signals:
    """Catches them while it is installed, which only the main thread can do; elsewhere nothing is caught."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._pid = os.getpid()
        self._restored = False
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in CAUGHT:
                self._before[number] = signal.signal(number, self._note)

    def restore(self) -> None:
        """Whatever handled them before does so again; also by way of whoever took a signal over meanwhile."""
        self._restored = True
        for number, before in self._before.items():
            if signal.getsignal(number) == self._note:
                signal.signal(number, before if before is not None else signal.SIG_DFL)

    def _note(self, number: int, frame: FrameType | None) -> None:
        before = self._before[signal.Signals(number)]
        if self._restored or (number != signal.SIGINT and os.getpid() != self._pid):
            self._pass_on(before, number, frame)
            return
        again = self.received is not None
        self.received = signal.Signals(number)
        if before is signal.default_int_handler and not again:
            return
        if callable(before):
            before(number, frame)

    def _pass_on(self, before: Any, number: int, frame: FrameType | None) -> None:
        """As if nobody had caught it here."""
        if callable(before):
            before(number, frame)
        else:
            signal.signal(number, before if before is not None else signal.SIG_DFL)
            os.kill(os.getpid(), number)
