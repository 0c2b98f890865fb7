"""``save`` and ``load`` in the place of ``torch.save`` and ``torch.load``: a path of which the first part is a store.

``runs/ckpts/epoch-3.pt`` is the tag ``epoch-3.pt`` in the store ``runs/ckpts``. Saving under a name again moves the
tag; what it named before stays in the history.
"""

from __future__ import annotations

import os
from typing import Any

from deltackpt.chunkstore.layout import Layout
from deltackpt.errors import InvalidInputError, NotFoundError
from deltackpt.history.commits import Commit
from deltackpt.store import Store
from deltackpt.training.preflight import opened

Path = str | os.PathLike[str]


def save(state: Any, path: Path, **described: Any) -> Commit:
    """Store ``state`` durably under ``path``; takes the keyword arguments of :meth:`Store.commit`, too.

    The store is the nearest folder above that is one, else the folder of ``path``, where one is made.
    """
    folder, name = split(path)
    if not name:
        raise InvalidInputError(f"{os.fspath(path)!r} is a store; give a name within it, such as {folder}/model.pt")
    with opened(folder) as store:
        commit = store.commit(state, **described)
        store.tag(name, commit, force=True)
        return store.resolve(commit)


def load(path: Path, map_location: Any = None, *, select: str | None = None, part: str | None = None) -> Any:
    """The state that was saved under ``path``: a store and the name of a save, or any ref, such as ``main~3``.

    A store by itself gives its newest commit. NotFoundError when there is no store above, or no such name in it.
    """
    folder, name = split(path)
    if not is_store(folder):
        raise NotFoundError(f"no store at {folder!r} or above; {os.fspath(path)!r} was not saved with deltackpt.save")
    with Store(folder) as store:
        return store.load(name or "latest", select=select, part=part, device=map_location)


def split(path: Path) -> tuple[str, str]:
    """The folder of the store that ``path`` leads into, and the rest; where there is none, all but the last piece."""
    whole = os.path.abspath(os.path.expanduser(os.fspath(path)))
    folder, pieces = whole, list[str]()
    while folder != os.path.dirname(folder):
        if is_store(folder):
            return folder, "/".join(reversed(pieces))
        pieces.append(os.path.basename(folder))
        folder = os.path.dirname(folder)
    return os.path.dirname(whole), os.path.basename(whole)


def is_store(folder: str) -> bool:
    return os.path.isfile(Layout(folder).facts)
