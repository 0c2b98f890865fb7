"""Names that point to commits: branches move with every commit, tags stay."""

from __future__ import annotations

import re
from dataclasses import dataclass

from deltackpt.errors import InvalidInputError

MAX_NAME_BYTES = 200
RESERVED = frozenset({"latest"})
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\]\\#@'\"]")


class InvalidRefNameError(InvalidInputError):
    """A name that no branch or tag may have."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A line of commits; ``key`` is its name in the index and the log."""

    name: str

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def key(self) -> str:
        return f"heads/{self.name}"

    def __str__(self) -> str:
        return f"branch {self.name!r}"


@dataclass(frozen=True, slots=True)
class Tag:
    """A fixed name of one commit."""

    name: str

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def key(self) -> str:
        return f"tags/{self.name}"

    def __str__(self) -> str:
        return f"tag {self.name!r}"


Ref = Branch | Tag


def parse_key(key: str) -> Ref:
    """The ref of a name as the log and the index spell it."""
    kind, _, name = key.partition("/")
    return Branch(name) if kind == "heads" else Tag(name)


def check_name(name: str) -> None:
    """InvalidRefNameError unless ``name`` can be a ref: what git allows, and nothing that a ref expression uses."""
    reason = _objection(name)
    if reason:
        raise InvalidRefNameError(
            f"{repr(name)[:80]} cannot be the name of a branch or tag: {reason}; choose another name"
        )


def _objection(name: object) -> str | None:
    if not isinstance(name, str):
        return "it is not a text"
    if not name:
        return "it is empty"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if size > MAX_NAME_BYTES:
        return f"it is {size} bytes long, the limit is {MAX_NAME_BYTES}"
    if found := _FORBIDDEN.search(name):
        return f"it contains {found.group()!r}"
    if name in RESERVED:
        return "the word is reserved"
    if name.startswith("-") or ".." in name:
        return "it begins with '-' or contains '..'"
    if any(not piece or piece.startswith(".") or piece.endswith((".lock", ".")) for piece in name.split("/")):
        return "a piece between slashes is empty, begins or ends with '.', or ends with '.lock'"
    return None
