"""deltackpt: a store for training checkpoints that works like git.

store = deltackpt.Store.init("runs/ckpts")
store.commit({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, step=1000)
state = store.load("main~3")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from deltackpt.content.open import open_state
    from deltackpt.errors import (
        ConflictError,
        CorruptError,
        DeltackptError,
        FormatError,
        InvalidInputError,
        LockedError,
        NotFoundError,
        StorageError,
    )
    from deltackpt.history.commits import Commit
    from deltackpt.history.repository import Options
    from deltackpt.maintenance.keep import Keep
    from deltackpt.skeleton.registry import register
    from deltackpt.store import Store
    from deltackpt.training.checkpointer import Checkpointer
    from deltackpt.training.dropin import load, save

__all__ = [
    "Checkpointer",
    "Commit",
    "ConflictError",
    "CorruptError",
    "DeltackptError",
    "FormatError",
    "InvalidInputError",
    "Keep",
    "LockedError",
    "NotFoundError",
    "Options",
    "StorageError",
    "Store",
    "load",
    "open_state",
    "register",
    "save",
]

_HOMES = {
    "Checkpointer": "deltackpt.training.checkpointer",
    "Store": "deltackpt.store",
    "load": "deltackpt.training.dropin",
    "save": "deltackpt.training.dropin",
    "Commit": "deltackpt.history.commits",
    "Keep": "deltackpt.maintenance.keep",
    "open_state": "deltackpt.content.open",
    "Options": "deltackpt.history.repository",
    "register": "deltackpt.skeleton.registry",
}


def __getattr__(name: str) -> Any:
    # Names are looked up on first use, so that `import deltackpt` and light commands stay fast.
    if name == "__version__":
        return _version()
    if name not in __all__:
        raise AttributeError(f"module 'deltackpt' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "deltackpt.errors")), name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("deltackpt")
    except PackageNotFoundError:
        return "0+unknown"
