"""What is committed lies apart from the store that takes it."""

from __future__ import annotations

import os

from deltackpt.errors import InvalidInputError
from deltackpt.formats.wording import shown_path


class WithinStoreError(InvalidInputError):
    """A folder that holds the store, or something that lies in it: a commit would have to hold itself."""


def refuse_own_files(path: str, root: str) -> None:
    """WithinStoreError when ``path`` and the store's folder ``root`` are not apart."""
    if not path or "\0" in path:
        return  # which reading refuses in its own words
    real, store = os.path.realpath(path), os.path.realpath(root)
    if os.path.join(real, "").startswith(os.path.join(store, "")):
        raise WithinStoreError(f"{shown_path(path)}: lies in the store {root!r} itself; name something outside of it")
    if os.path.join(store, "").startswith(os.path.join(real, "")):
        raise WithinStoreError(
            f"{shown_path(path)}: holds the store {root!r} itself; name what lies beside it,"
            " or take the checkpoints in it with `deltackpt import`"
        )
