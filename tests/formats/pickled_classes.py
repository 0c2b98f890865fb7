"""Classes that a pickle can name, since they stand in a module of their own."""

from __future__ import annotations

import enum


class Colour(enum.Enum):
    RED = 1


class Listed(list):  # type: ignore[type-arg]
    """Pickled as a list with a class."""
