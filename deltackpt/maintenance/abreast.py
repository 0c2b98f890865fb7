"""Publishing what was decided from the log itself, not from the index: under the very number that follows the look."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from deltackpt.chunkstore.log import UnknownOutcomeError
from deltackpt.chunkstore.log_record import Position
from deltackpt.chunkstore.transaction import Decision, Transaction
from deltackpt.chunkstore.view import View
from deltackpt.errors import LockedError

_MAX_RACES = 1000


class _OvertakenError(Exception):
    """Somebody published since the look: look again."""


def publish_abreast(transaction: Transaction, look: Callable[[], Position], decide: Callable[[], Decision]) -> None:
    """Publish what ``decide`` makes of the log as ``look`` found it, which tells up to where; again when overtaken.

    With an unknown outcome the log tells, which is what every next step looks at.
    """
    for _ in range(_MAX_RACES):
        position = look()
        decision = decide()
        with contextlib.suppress(_OvertakenError):
            with contextlib.suppress(UnknownOutcomeError):
                transaction.publish(_unless_overtaken(position, decision))
            return
    raise LockedError(f"overtaken by writers {_MAX_RACES} times; try again when fewer are at work")


def _unless_overtaken(position: Position, decision: Decision) -> Callable[[View], Decision]:
    def decide(view: View) -> Decision:
        if view.position != position:
            raise _OvertakenError
        return decision

    return decide
