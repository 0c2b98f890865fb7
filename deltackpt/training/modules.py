"""Modules under their own names, whatever is wrapped around them or any of their children.

Wrappers are recognised by their class, so a child that happens to be called ``module`` keeps its name. What is stored
are bare names: they stay the same when torch.compile or DistributedDataParallel comes or goes, and so do the bases of
deltas.
"""

from __future__ import annotations

import fnmatch
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from deltackpt.checkout.wrappers import without_wrappers
from deltackpt.errors import InvalidInputError
from deltackpt.training.misfit import Misfit, fit, same_shape

# The class of a wrapper, and the child that it stands for.
_WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "FullyShardedDataParallel": "_fsdp_wrapped_module",
    "CheckpointWrapper": "_checkpoint_wrapped_module",
}


class BareNames:
    """The bare name of each name below one module."""

    def __init__(self, module: nn.Module) -> None:
        named = module.named_modules(remove_duplicate=False)
        self._wrappers = {path: _WRAPPERS[cls] for path, one in named if (cls := type(one).__name__) in _WRAPPERS}

    def of(self, name: str) -> str:
        """``name`` without wrappers, whether the wrapper shows its child in names or hides it itself."""
        if not self._wrappers:
            return name
        path, bare = "", []
        pieces = name.split(".")
        while pieces:
            child = self._wrappers.get(path)
            if child is None:
                piece = pieces.pop(0)
                bare.append(piece)
            else:
                piece = child
                if pieces[0] == child:
                    pieces.pop(0)
            path = f"{path}.{piece}" if path else piece
        return ".".join(bare)


def module_state(module: nn.Module, include: Sequence[str] = ()) -> OrderedDict[str, Any]:
    """The module's state dict under bare names; with ``include`` only the names that match one of these patterns."""
    bare = BareNames(module)
    state = module.state_dict()
    renamed = OrderedDict((bare.of(name), value) for name, value in state.items())
    if len(renamed) != len(state):
        return OrderedDict(state)
    if include:
        renamed = OrderedDict((name, value) for name, value in renamed.items() if included(name, include))
    metadata = getattr(state, "_metadata", None)
    if metadata is not None:
        renamed._metadata = OrderedDict((bare.of(path), dict(facts)) for path, facts in metadata.items())  # type: ignore[attr-defined]
    return renamed


def included(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name matches one of the patterns."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def parameter_names(module: nn.Module) -> dict[int, str]:
    """The bare name of each parameter, by the identity of the parameter."""
    bare = BareNames(module)
    return {id(parameter): bare.of(name) for name, parameter in module.named_parameters()}


def bare_stored(stored: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """Stored values under bare names, also where a wrapped state dict was stored as it is."""
    if all(name in live for name in stored):
        return dict(stored)
    pairs = zip(without_wrappers(list(stored)), stored.values(), strict=True)
    stripped = {name: value for name, value in pairs if name is not None}
    return stripped if len(stripped.keys() & live) > len(stored.keys() & live) else dict(stored)


def renamed(stored: Mapping[str, Any], rules: Mapping[str, str]) -> dict[str, Any]:
    """Stored values under new names: a rule replaces the beginning of a name, up to a dot; the longest one counts."""
    longest_first = sorted(rules, key=len, reverse=True)
    made = {_renamed(name, rules, longest_first): value for name, value in stored.items()}
    if len(made) != len(stored):
        raise InvalidInputError("rename= gives two stored tensors one name; make the rules tell them apart")
    return made


def _renamed(name: str, rules: Mapping[str, str], longest_first: Sequence[str]) -> str:
    for old in longest_first:
        if name == old or name.startswith(old if old.endswith(".") else f"{old}."):
            return rules[old] + name[len(old) :]
    return name


def module_fit(module: nn.Module, stored: Mapping[str, Any], include: Sequence[str], prefix: str) -> Misfit:
    """How a stored state dict fits the module; nothing is changed."""
    live = module_state(module, include)
    return fit(bare_stored(stored, live), live, prefix)


def load_module(module: nn.Module, stored: Mapping[str, Any]) -> None:
    """Put stored values in the place of the live ones of the same bare names and shapes; others stay as they are.

    Parameters on the meta device become real; what was tied stays tied.
    """
    bare = BareNames(module)
    live = {bare.of(name): (name, value) for name, value in module.state_dict().items()}
    values = bare_stored(stored, live)
    fitting = {
        live[name][0]: value for name, value in values.items() if name in live and same_shape(value, live[name][1])
    }
    meta = any(isinstance(value, torch.Tensor) and value.is_meta for _, value in live.values())
    state = OrderedDict(_as_parameters(module, fitting) if meta else fitting)
    metadata = getattr(module.state_dict(), "_metadata", None)
    if metadata is not None:
        state._metadata = metadata  # type: ignore[attr-defined]
    module.load_state_dict(state, strict=False, assign=meta)


def _as_parameters(module: nn.Module, state: Mapping[str, Any]) -> dict[str, Any]:
    """Loaded tensors as the parameters that they become: one for all names of a tied tensor."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    made: dict[int, nn.Parameter] = {}
    out: dict[str, Any] = {}
    for name, value in state.items():
        old = parameters.get(name)
        if old is None or isinstance(value, nn.Parameter):
            out[name] = value
            continue
        key = id(old)
        if key not in made:
            made[key] = nn.Parameter(value, requires_grad=old.requires_grad)
        out[name] = made[key]
    return out
