"""Parts as they go into a commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deltackpt.errors import FormatError
from deltackpt.skeleton.capture import CapturedTensor


@dataclass(frozen=True, slots=True)
class ContentPart:
    """A part to be committed: the bytes of its skeleton and of its files skeleton (empty for none), and its table."""

    name: str
    skeleton: bytes
    files: bytes
    tensors: tuple[CapturedTensor, ...]


def _nothing_changes() -> None:
    """The caller promised it."""


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that one commit holds. ``warnings`` say what was wrong with files that are kept all the same.

    ``check_unchanged``, after the last read, raises when somebody wrote to what was read.
    """

    parts: tuple[ContentPart, ...]
    warnings: tuple[FormatError, ...] = ()
    check_unchanged: Callable[[], None] = _nothing_changes
