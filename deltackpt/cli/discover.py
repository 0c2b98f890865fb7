"""Which store a command works on when it is not told, and where else stores might be."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator

from deltackpt.errors import NotFoundError

VARIABLE = "DELTACKPT_STORE"
HIDDEN = ".deltackpt"
FACTS = "store.json"
_SEARCH_DEPTH = 4
_SEARCH_FOLDERS = 2000
_SEARCH_FINDS = 6


class StoreNotFoundError(NotFoundError):
    """No store is named, and none lies above."""


def named_store(path: str) -> str:
    """The store that ``path`` means: the folder itself, or the ``.deltackpt`` in it.

    Shells leave ``--store=~/x`` as it is, and a variable may come from no shell.
    """
    path = os.path.expanduser(path)
    hidden = os.path.join(path, HIDDEN)
    return hidden if not _is_store(path) and _is_store(hidden) else path


def default_store() -> str:
    """``$DELTACKPT_STORE``, else the nearest store upwards; StoreNotFoundError lists those below instead."""
    if told := os.environ.get(VARIABLE):
        return named_store(told)
    here = os.getcwd()
    for folder in _upwards(here):
        found = named_store(folder)
        if _is_store(found):
            return found
    raise StoreNotFoundError(_nothing_here(here))


def stores_below(folder: str) -> Iterator[str]:
    """Stores below ``folder``, nearest first. Looks at a bounded number of folders and follows no links."""
    pending = deque([(folder, 0)])
    looked = 0
    while pending and looked < _SEARCH_FOLDERS:
        current, depth = pending.popleft()
        looked += 1
        if _is_store(current):
            yield current
        elif depth < _SEARCH_DEPTH:
            pending.extend((path, depth + 1) for path in _folders_in(current))


def _is_store(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, FACTS))


def _upwards(folder: str) -> Iterator[str]:
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above


def _folders_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            wanted = (e for e in entries if e.name == HIDDEN or not e.name.startswith("."))
            return sorted(entry.path for entry in wanted if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _nothing_here(here: str) -> str:
    found = [os.path.relpath(path, here) for _, path in zip(range(_SEARCH_FINDS), stores_below(here), strict=False)]
    missing = f"no store in {here!r} or above"
    if found:
        there = "there is" if len(found) == 1 else "there are"
        return f"{missing}; below it {there} {', '.join(map(repr, found))}: name one with --store"
    return f"{missing}; make one with `deltackpt init`, or name one with --store or ${VARIABLE}"
