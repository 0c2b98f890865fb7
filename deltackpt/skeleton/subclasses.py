"""Tensor subclasses that PyTorch can take apart and put together: quantised weights, blocks with their scales.

``__tensor_flatten__`` names the inner tensors and says, in plain values, how they go together, for
``__tensor_unflatten__`` (PyTorch's protocol for "traceable wrapper subclasses"). Each inner tensor is a leaf below the
name of the whole. Only classes that the program has registered are taken apart, and none other is put together.
"""

from __future__ import annotations

from typing import Any

from deltackpt.errors import FormatError, brief
from deltackpt.skeleton.registry import Registered
from deltackpt.skeleton.walk import Walk, Writer

WHOLE = "(whole)"
"""The field after the inner tensors: what goes with them, sizes, strides, and whether it is a parameter that trains."""


def inner_tensors(value: Any) -> dict[str, Any]:
    """The inner tensors of a live instance, by name."""
    return {name: getattr(value, name) for name in value.__tensor_flatten__()[0]}


def subclass_writer(entry: Registered) -> Writer:
    """How instances of a registered tensor subclass are written."""

    def write(walk: Walk, value: Any, path: str) -> None:
        fields = walk.census.once(value, _taken_apart)
        walk.enter(value, path)
        walk.atoms += (int(entry.kind), entry.name, len(fields))
        for name, item in fields:
            walk.atoms.append(name)
            walk.child(item, path, name)
        walk.leave(value)

    return write


def _taken_apart(value: Any) -> list[tuple[str, Any]]:
    names, context = value.__tensor_flatten__()
    parameter = bool(getattr(value, "_is_param", False))
    whole = (context, tuple(value.size()), tuple(value.stride()), parameter, bool(value.requires_grad))
    return [*((name, getattr(value, name)) for name in names), (WHOLE, whole)]


def put_together(cls: Any, name: str, fields: list[str], values: list[Any]) -> Any:
    """The instance that was taken apart; FormatError when the class does not take what was stored."""
    import torch

    *inner, whole = values
    try:
        context, size, stride, parameter, grad = whole
        parts = dict(zip(fields, inner, strict=False))
        made = cls.__tensor_unflatten__(parts, context, torch.Size(size), tuple(stride))
        return torch.nn.Parameter(made, requires_grad=grad) if parameter else made.requires_grad_(grad)
    except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise FormatError(
            f"{name} cannot be put together: {brief(str(error))}; load it with the class as it was"
        ) from error
