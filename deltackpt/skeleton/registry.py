"""Classes that the program allows in a state: named tuples, enums, dataclasses and tensor subclasses, by registration.

A skeleton holds the *name* under which a class was registered, never an import path to follow: what was not
registered in this process cannot be made, whatever a file says.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TypeVar

from deltackpt.errors import InvalidInputError
from deltackpt.skeleton.tags import Tag

_CONTAINERS = (dict, list, tuple, set, frozenset, str, bytes, bytearray, int, float)

AnyClass = TypeVar("AnyClass", bound=type)


class RegistrationError(InvalidInputError):
    """A class that cannot be registered, or that is needed and is not registered."""


@dataclasses.dataclass(frozen=True, slots=True)
class Registered:
    """``kind`` says how instances are written; ``fields`` are empty for enums, and for tensor subclasses."""

    cls: type
    name: str
    kind: Tag
    fields: tuple[str, ...]


_by_class: dict[type, Registered] = {}
_by_name: dict[str, Registered] = {}


def register(cls: AnyClass, name: str | None = None) -> AnyClass:
    """Allow instances of ``cls`` in states; returns ``cls``, so that it works as a decorator.

    ``name`` is what is stored; by default the module and qualified name. Keep it when the class moves. A dataclass
    comes back field by field: neither its constructor nor ``__post_init__`` runs. A tensor subclass is taken apart and
    put together by its own ``__tensor_flatten__`` and ``__tensor_unflatten__``.
    """
    if not isinstance(cls, type):
        raise RegistrationError(f"register takes a class, got {cls!r}; pass type(it)")
    entry = _describe(cls, name or f"{cls.__module__}.{cls.__qualname__}")
    other = _by_name.get(entry.name)
    if other is not None and other.cls is not cls and not _is_redefinition(other.cls, cls):
        raise RegistrationError(f"{entry.name!r} is registered for {other.cls!r} already; pass another name=")
    _by_class[cls] = entry
    _by_name[entry.name] = entry
    return cls


def registered_classes() -> list[Registered]:
    """Everything registered so far."""
    return list(_by_class.values())


def registered(cls: type) -> Registered | None:
    """How instances of exactly this class are written; None when it was not registered."""
    return _by_class.get(cls)


def class_named(name: str, kind: Tag) -> Registered:
    """The class that a skeleton names; RegistrationError says what to call when this process does not know it."""
    entry = _by_name.get(name)
    if entry is None:
        raise RegistrationError(f"the state holds a {name!r}; call deltackpt.register on that class before loading")
    if entry.kind is not kind:
        raise RegistrationError(f"{name!r} was stored as {kind.name}, but the registered class is {entry.kind.name}")
    return entry


def _is_redefinition(old: type, new: type) -> bool:
    """A notebook cell or a reload defines the same class again: the newer one counts."""
    return (old.__module__, old.__qualname__) == (new.__module__, new.__qualname__)


def _describe(cls: type, name: str) -> Registered:
    if issubclass(cls, enum.Enum):
        return Registered(cls, name, Tag.FLAG if issubclass(cls, enum.Flag) else Tag.ENUM, ())
    if hasattr(cls, "__tensor_flatten__") and hasattr(cls, "__tensor_unflatten__"):
        return Registered(cls, name, Tag.TENSOR_SUBCLASS, ())
    if dataclasses.is_dataclass(cls) and not issubclass(cls, _CONTAINERS):
        return Registered(cls, name, Tag.DATACLASS, tuple(f.name for f in dataclasses.fields(cls)))
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return Registered(cls, name, Tag.NAMED_TUPLE, tuple(cls._fields))
    raise RegistrationError(
        f"{name} is not a namedtuple, an enum, a plain dataclass or a tensor with __tensor_flatten__;"
        " store its plain values instead"
    )
