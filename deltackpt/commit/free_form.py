"""Configurations and notes as plain data: what they hold is kept for what it is, or refused by its path."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import os
import uuid
from collections import abc
from collections.abc import Mapping
from typing import Any

from deltackpt.errors import InvalidInputError, brief
from deltackpt.skeleton.names import shown

_ITSELF = (type(None), bool, float, datetime.datetime)
_WHOLE = range(-(1 << 63), 1 << 64)
_AS_TEXT = (datetime.date, datetime.time, decimal.Decimal, uuid.UUID, range)
# Of libraries that need not be there: module and name of the class. Each is its text in their own configurations, too.
_FOREIGN_TEXT = frozenset({("torch", "dtype"), ("torch", "device"), ("torch", "layout"), ("torch", "memory_format")})


def plain_data(value: Any, path: str) -> Any:
    """``value`` as dicts, lists, texts and numbers; ``path`` is what an error calls it.

    Objects with fields (dataclasses, attrs classes, argument namespaces) become dicts, tuples and sets lists, enum
    members their values, numbers of other libraries numbers; paths, dates, decimals and element types become text.
    """
    if type(value) in _ITSELF:
        return value
    if isinstance(value, enum.Enum):
        return plain_data(value.value, path)
    if isinstance(value, int):
        return _whole(value, path)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, Mapping):
        return {_key(key, path): plain_data(item, f"{path}/{key}") for key, item in value.items()}
    if isinstance(value, abc.Sequence | abc.Set):
        return [plain_data(item, f"{path}/{at}") for at, item in enumerate(value)]
    fields = _fields(value)
    return plain_data(fields, path) if fields is not None else _foreign(value, path)


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _refused(path, f"{brief(value)} is not valid Unicode; pass bytes") from None
    return str(value)


def _whole(value: int, path: str) -> int:
    if value not in _WHOLE:
        raise _refused(path, f"{brief(value)} does not fit 64 bits; pass it as text or as a float")
    return int(value)


def _key(key: Any, path: str) -> Any:
    """Keys may be tuples, too, which are values in no other place."""
    if isinstance(key, tuple):
        return tuple(_key(item, path) for item in key)
    found = plain_data(key, path)
    if isinstance(found, dict | list):
        raise _refused(path, f"{brief(key)} cannot be a key; use text or numbers")
    return found


def _fields(value: Any) -> dict[str, Any] | None:
    """The fields of an object that is made of them, by name."""
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if attributes := getattr(type(value), "__attrs_attrs__", None):
        return {attribute.name: getattr(value, attribute.name) for attribute in attributes}
    return dict(vars(value)) if type(value).__name__ in ("Namespace", "SimpleNamespace") else None


def _foreign(value: Any, path: str) -> Any:
    kind = type(value)
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        return plain_data(value.item(), path)
    if isinstance(value, os.PathLike):
        return _text(os.fsdecode(value), path)
    if (kind.__module__, kind.__name__) in _FOREIGN_TEXT or _is_numpy_type(kind):
        return str(value)
    what = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    advice = "store it in the state" if hasattr(value, "shape") else "pass its name, or a dict of its values"
    raise _refused(path, f"a {what} is no plain data, which is all that config and meta hold; {advice}")


def _is_numpy_type(kind: type) -> bool:
    return any(base.__module__ == "numpy" and base.__name__ == "dtype" for base in kind.__mro__)


def _refused(path: str, reason: str) -> InvalidInputError:
    return InvalidInputError(f"{shown(path)}: {reason}")
