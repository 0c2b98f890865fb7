"""Names that a format takes, checked before anything is written."""

from __future__ import annotations

from deltackpt.convert.flat import FlatState
from deltackpt.errors import InvalidInputError
from deltackpt.formats.names import SAFE_NAME, is_unsafe
from deltackpt.formats.wording import quoted


def check_names(state: FlatState, format: str, max_bytes: int) -> None:
    """InvalidInputError for a name that is empty, a path out of a folder, no UTF-8, or longer than ``format`` takes."""
    for tensor in state.tensors:
        name = tensor.name
        if not name:
            raise InvalidInputError(f"a tensor has no name, which {format} needs; give it one with --rename '^$=>NAME'")
        if is_unsafe(name):
            raise InvalidInputError(
                f"tensor {quoted(name)} cannot go into a file; rename it with --rename: {SAFE_NAME}"
            )
        try:
            nbytes = len(name.encode())
        except UnicodeEncodeError:
            raise InvalidInputError(f"tensor {quoted(name)}: the name is no UTF-8; change it with --rename") from None
        if nbytes > max_bytes:
            raise InvalidInputError(
                f"tensor {quoted(name)}: the name has {nbytes} bytes, {format} takes {max_bytes};"
                " shorten it with --rename 'REGEX=>REPL'"
            )
