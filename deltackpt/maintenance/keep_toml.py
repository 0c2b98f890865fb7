"""A retention policy as TOML: every field of :class:`Keep` under its own name, ``best`` as a table of counts."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from deltackpt.errors import InvalidInputError
from deltackpt.maintenance.quantity import duration_text, size_text

if TYPE_CHECKING:
    from deltackpt.maintenance.keep import Keep

MAX_BYTES = 1 << 16


def read(source: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of a policy in the text, or the file, ``source``; InvalidInputError when it is none."""
    # Few commands read a policy.
    import tomllib

    where = "the policy" if isinstance(source, str) else repr(os.fspath(source))
    text = source if isinstance(source, str) else _file(source)
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInputError(f"{where} is not TOML: {error}") from None
    for name in found:
        _check_name(name, where)
    return found


def written(keep: Keep) -> str:
    """The text of a policy, without what it does not set."""
    lines = [f"{name} = {value}" for name, value in _plain_fields(keep)]
    if keep.best:
        lines += ["", "[best]", *(f"{_text(metric)} = {count}" for metric, count in keep.best.items())]
    return "".join(f"{line}\n" for line in lines)


def _plain_fields(keep: Keep) -> Iterable[tuple[str, str]]:
    for name in ("last", "every"):
        if (count := getattr(keep, name)) is not None:
            yield name, str(count)
    if keep.within is not None:
        yield "within", _text(duration_text(keep.within))
    if keep.milestones:
        yield "milestones", f"[{', '.join(map(str, keep.milestones))}]"
    if keep.tags:
        yield "tags", f"[{', '.join(map(_text, keep.tags))}]"
    if keep.optimizer is not None:
        yield "optimizer", str(keep.optimizer)
    if keep.max_size is not None:
        yield "max_size", _text(size_text(keep.max_size))


def _text(value: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for one character that JSON leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _file(path: str | os.PathLike[str]) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(f"cannot read {os.fspath(path)!r}: {os.strerror(error.errno or 0)}") from None
    if len(data) > MAX_BYTES:
        raise InvalidInputError(f"{os.fspath(path)!r}: a policy of more than {MAX_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{os.fspath(path)!r} is not UTF-8: {error}") from None


def _check_name(name: str, where: str) -> None:
    from deltackpt.maintenance.keep import Keep

    known = [field.name for field in fields(Keep)]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise InvalidInputError(f"{where} has no field {name!r}; {hint}")
