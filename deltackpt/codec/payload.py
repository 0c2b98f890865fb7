"""Payloads: the pieces they are written from, and reading one that may be damaged or hostile."""

from __future__ import annotations

from typing import TypeAlias

from deltackpt.errors import CorruptError

Piece: TypeAlias = bytes | memoryview


class PayloadError(CorruptError):
    """A payload that does not decode to the bytes it stands for."""

    def __init__(self, found: str) -> None:
        super().__init__(f"chunk payload: {found}; run `deltackpt verify`")


class Cursor:
    """Takes pieces off the front of a payload and believes no length. Views, never copies."""

    __slots__ = ("_at", "_payload")

    def __init__(self, payload: memoryview) -> None:
        self._payload = payload.cast("B") if payload.format != "B" else payload
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._payload) - self._at

    def take(self, size: int) -> memoryview:
        """The next ``size`` bytes; PayloadError when there are fewer."""
        if size > self.left:
            raise PayloadError(f"{size} bytes expected at byte {self._at}, found {self.left}")
        start, self._at = self._at, self._at + size
        return self._payload[start : self._at]

    def rest(self) -> memoryview:
        """Everything that was not taken yet."""
        return self.take(self.left)

    def finish(self) -> None:
        """The payload must be used up: trailing bytes are damage, not slack."""
        if self.left:
            raise PayloadError(f"{self.left} bytes too many at byte {self._at}")
