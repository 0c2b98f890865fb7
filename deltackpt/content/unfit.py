"""What is said of a value in a file that a state cannot have."""

from __future__ import annotations


class UnfitError(Exception):
    """The value cannot be made again; the text says what it is. Never leaves this package."""


def fits(condition: bool, what: str) -> None:
    """UnfitError about ``what`` unless ``condition`` holds."""
    if not condition:
        raise UnfitError(what)
