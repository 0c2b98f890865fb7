"""Names of leaves: ``/`` between levels of nesting, the tool's own names kept whole."""

from __future__ import annotations

from collections.abc import Iterable


def segment(key: object) -> str:
    """One level of a name. A string is itself; any other key is its ``repr``.

    A lone surrogate cannot stand in UTF-8, so in a *name* it is written as a backslash escape. (The key itself
    is kept as it is; two names that become equal this way are refused like any other two.)
    """
    text = key if type(key) is str else repr(key)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def joined(path: str, level: str) -> str:
    """The name of what stands at ``level`` below ``path``; the root has the empty name."""
    return f"{path}/{level}" if path else level


def shown(name: str) -> str:
    """A name for people: as it is, or through ``repr`` when it has characters that a terminal must not get."""
    if not name:
        return "the state"
    return name if name.isprintable() else repr(name)


def trail(keys: Iterable[object]) -> str:
    """The way to a value as Python would write it: ``['state'][3]``."""
    return "".join(f"[{key!r}]" for key in keys)


def is_part_name(key: object) -> bool:
    """Whether a key of the top level may name a part: a non-empty string that UTF-8 can hold."""
    return type(key) is str and key != "" and segment(key) == key
