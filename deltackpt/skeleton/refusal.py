"""What cannot be stored, and what the caller can do about it."""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Callable

from deltackpt.errors import InvalidInputError, LimitError
from deltackpt.skeleton.names import shown

FREED = "the tensor's storage has been freed; gather or reload it before committing"


class UnstorableError(InvalidInputError):
    """A value of a kind that cannot be stored; ``path`` is the name of the place where it stands."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{shown(path)}: {reason}")
        self.path = path
        self.reason = reason


class DuplicateNameError(InvalidInputError):
    """Two tensors would have one name."""


class StateLimitError(LimitError, InvalidInputError):
    """The state is deeper, or one of its values larger, than a skeleton may be."""


def refuse(path: str, value: object) -> UnstorableError:
    """The error for a value whose exact type is not known; most specific advice first."""
    for applies, reason in _REASONS:
        if applies(value):
            return UnstorableError(path, reason(value))
    return UnstorableError(path, _unknown_object(value))


def _name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _is_tensor_subclass(value: object) -> bool:
    return any(base.__module__ == "torch" and base.__name__ == "Tensor" for base in type(value).__mro__)


def _is_array_subclass(value: object) -> bool:
    return any(base.__module__ == "numpy" and base.__name__ == "ndarray" for base in type(value).__mro__)


def is_registrable(value: object) -> bool:
    """Whether ``value`` could be stored if its class were registered."""
    if isinstance(value, type):
        return False
    return dataclasses.is_dataclass(value) or isinstance(value, enum.Enum) or hasattr(value, "_fields")


def _builtin_base(value: object) -> type | None:
    kinds = (dict, list, tuple, set, frozenset, str, bytes, bytearray, int, float, complex)
    return next((kind for kind in kinds if isinstance(value, kind)), None)


def _unknown_object(value: object) -> str:
    return (
        f"objects of class {_name(value)} cannot be stored; store its plain values "
        "(dict, list, numbers, tensors) instead, or leave it out of the state"
    )


_CALLABLES = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.MethodWrapperType)

_REASONS: tuple[tuple[Callable[[object], bool], Callable[[object], str]], ...] = (
    (
        lambda v: isinstance(v, _CALLABLES),
        lambda v: "functions cannot be stored; leave it out of the state and set it again after loading",
    ),
    (
        lambda v: isinstance(v, types.ModuleType),
        lambda v: "Python modules cannot be stored; leave it out of the state",
    ),
    (
        lambda v: isinstance(v, type),
        lambda v: "classes cannot be stored; store its name as a str instead",
    ),
    (
        lambda v: isinstance(v, types.GeneratorType),
        lambda v: "generators cannot be stored; store list(it) instead",
    ),
    (
        lambda v: _is_tensor_subclass(v) and type(v).__name__ == "DTensor",
        lambda v: (
            "a tensor that is sharded over ranks cannot be stored by one of them; gather it first, with full_tensor()"
            " or get_model_state_dict(..., options=StateDictOptions(full_state_dict=True))"
        ),
    ),
    (
        lambda v: _is_tensor_subclass(v) and hasattr(v, "__tensor_flatten__"),
        lambda v: (
            f"tensors of the subclass {_name(v)} are not registered; call deltackpt.register({type(v).__name__}) first,"
            " or pass a plain torch.Tensor (to_local() or dequantize())"
        ),
    ),
    (
        _is_tensor_subclass,
        lambda v: (
            f"tensors of the subclass {_name(v)} cannot be stored; pass a plain torch.Tensor "
            "(full_tensor(), to_local() or as_subclass(torch.Tensor))"
        ),
    ),
    (
        _is_array_subclass,
        lambda v: f"arrays of the subclass {_name(v)} cannot be stored; pass numpy.asarray(it)",
    ),
    (
        lambda v: callable(getattr(v, "state_dict", None)),
        lambda v: f"objects of class {_name(v)} cannot be stored; pass its state_dict()",
    ),
    (
        is_registrable,
        lambda v: f"class {_name(v)} is not registered; call deltackpt.register({type(v).__name__}) first",
    ),
    (
        lambda v: _builtin_base(v) is not None,
        lambda v: (
            f"{_name(v)} is a subclass of {_builtin_base(v).__name__} that cannot be stored as such; "  # type: ignore[union-attr]
            f"pass {_builtin_base(v).__name__}(it)"  # type: ignore[union-attr]
        ),
    ),
)
