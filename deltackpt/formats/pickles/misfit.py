"""What a builder says when a call does not fit, and how much copying one pickle may ask for."""

from __future__ import annotations

from deltackpt.errors import FormatError, LimitError

_SHOWN_BITS = 128


class MisfitError(Exception):
    """The arguments are not those of the function that is named. The call stays an opaque object.

    With a text, the file is not what it says it is: a tensor that leaves its storage, not just one of an unknown kind.
    """

    def __init__(
        self, what: str = "", expected: str = "", found: object = "", kind: type[FormatError] = FormatError
    ) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.found = found if isinstance(found, str) else _shown(found)
        self.kind = kind


def _shown(found: object) -> str:
    """``found`` as text. Python refuses to write out a number of many thousand digits."""
    if type(found) is int and found.bit_length() > _SHOWN_BITS:
        return f"a number of {found.bit_length()} bits"
    return str(found)


class Budget:
    """What one pickle may still copy. A few bytes can ask for the same megabyte to be copied again and again."""

    def __init__(self, amount: int) -> None:
        self._left = amount

    def spend(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise MisfitError("the pickle's objects", "copies no larger than the pickle", "more", LimitError)


def fits(condition: object) -> None:
    """MisfitError unless ``condition`` holds."""
    if not condition:
        raise MisfitError
