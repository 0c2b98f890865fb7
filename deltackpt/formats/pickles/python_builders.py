"""Calls of Python's own types that a pickle may make: each gives an inert value or a MisfitError."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from deltackpt.formats.pickles.misfit import Budget, MisfitError, fits
from deltackpt.formats.pickles.nodes import Dict, Node, Set, Symbol

Arguments: TypeAlias = tuple[Node, ...]
Builder = Callable[[Arguments, Budget], Node]

_FACTORIES = frozenset(f"builtins.{name}" for name in ("int", "float", "str", "list", "dict", "set", "tuple", "bool"))


def _ordered_dict(args: Arguments, budget: Budget) -> Dict:
    if not args:
        return Dict("OrderedDict", [])
    fits(len(args) == 1 and type(args[0]) is list)
    budget.spend(len(args[0]))
    fits(all(type(pair) in (list, tuple) and len(pair) == 2 for pair in args[0]))
    return Dict("OrderedDict", [(key, value) for key, value in args[0]])


def _default_dict(args: Arguments, budget: Budget) -> Dict:
    fits(len(args) <= 1)
    factory = args[0] if args else None
    if factory is None:
        return Dict("defaultdict", [], "None")
    fits(type(factory) is Symbol and factory.name in _FACTORIES)
    return Dict("defaultdict", [], factory.name.removeprefix("builtins."))


def _counter(args: Arguments, budget: Budget) -> Dict:
    if not args:
        return Dict("Counter", [])
    fits(len(args) == 1 and type(args[0]) is Dict and args[0].kind == "dict")
    budget.spend(len(args[0].pairs))
    return Dict("Counter", list(args[0].pairs))


def _set(frozen: bool) -> Builder:
    def build(args: Arguments, budget: Budget) -> Set:
        items = args[0] if args else []
        fits(len(args) <= 1 and type(items) in (list, tuple))
        budget.spend(len(items))
        return Set(list(items), frozen)

    return build


def _encoded(args: Arguments, budget: Budget) -> bytes:
    """``bytes`` as the protocols before 3 write them: each byte as the character of its number."""
    fits(len(args) == 2 and type(args[0]) is str and args[1] in ("latin1", "latin-1"))
    budget.spend(len(args[0]))
    try:
        encoded: bytes = args[0].encode("latin1")
    except UnicodeEncodeError:
        raise MisfitError from None
    return encoded


def _bytes(args: Arguments, budget: Budget) -> bytes:
    fits(not args)
    return b""


def _bytearray(args: Arguments, budget: Budget) -> bytearray:
    if not args:
        return bytearray()
    raw = args[0] if len(args) == 1 else _encoded(args, budget)
    fits(type(raw) is bytes)
    budget.spend(len(raw))
    return bytearray(raw)


def _complex(args: Arguments, budget: Budget) -> complex:
    fits(len(args) == 2 and all(type(number) is float for number in args))
    return complex(*args)


def _range(args: Arguments, budget: Budget) -> range:
    fits(len(args) == 3 and all(type(bound) is int for bound in args) and args[2] != 0)
    return range(*args)


def _slice(args: Arguments, budget: Budget) -> slice:
    fits(len(args) == 3 and all(bound is None or type(bound) is int for bound in args))
    return slice(*args)


PYTHON_BUILDERS: dict[str, Builder] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "collections.Counter": _counter,
    "builtins.set": _set(frozen=False),
    "builtins.frozenset": _set(frozen=True),
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytearray,
    "builtins.complex": _complex,
    "builtins.range": _range,
    "builtins.xrange": _range,
    "builtins.slice": _slice,
    "_codecs.encode": _encoded,
}
