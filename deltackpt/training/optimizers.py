"""Optimizers by the names of their parameters.

A state dict knows parameters by position, so groups put in another order would silently swap the moments of equal
shapes. Names are stored beside it, and moments go back to the parameter of the same name, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from deltackpt.errors import InvalidInputError

Groups = list[list[str]]


class OptimizerMismatchError(InvalidInputError):
    """The stored optimizer is not the live one; its moments would not mean the same."""


def group_names(optimizer: Optimizer, names: Mapping[int, str]) -> Groups | None:
    """The names of the parameters of each group; None when one of them belongs to no module that was named."""
    groups = [[names.get(id(parameter), "") for parameter in group["params"]] for group in optimizer.param_groups]
    return groups if all(all(group) for group in groups) else None


def kind_of(optimizer: Any) -> str:
    """What an optimizer calls itself."""
    return type(optimizer).__name__


def matched(optimizer: Optimizer, stored: Mapping[str, Any], then: Groups | None, now: Groups | None) -> dict[str, Any]:
    """The stored state dict with positions and groups as the live optimizer has them.

    OptimizerMismatchError says why when that cannot be: other parameters, or groups that were cut in another way.
    """
    groups = stored["param_groups"]
    if then is None or now is None:
        _check_positions(optimizer, groups)
        return dict(stored)
    _check_names(then, now)
    position = {
        name: at
        for group, saved in zip(then, groups, strict=True)
        for name, at in zip(group, saved["params"], strict=True)
    }
    home = {name: index for index, group in enumerate(then) for name in group}
    state: dict[int, Any] = {}
    made: list[dict[str, Any]] = []
    at = 0
    for names in now:
        made.append(
            {**_settings(groups, {home[name] for name in names}, names), "params": list(range(at, at + len(names)))}
        )
        for name in names:
            if position[name] in stored["state"]:
                state[at] = stored["state"][position[name]]
            at += 1
    return {**stored, "state": state, "param_groups": made}


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Load a state dict so that every tensor keeps the type it was stored with.

    PyTorch turns moments into the type of their parameter, which loses bits of float32 moments of 16-bit weights and
    breaks those of quantised optimizers.
    """
    optimizer.load_state_dict(dict(state))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for at, parameter in enumerate(parameters):
        for key, value in state["state"].get(at, {}).items():
            live = optimizer.state[parameter].get(key)
            if isinstance(value, torch.Tensor) and isinstance(live, torch.Tensor) and live.dtype != value.dtype:
                optimizer.state[parameter][key] = value.to(live.device)


def _check_positions(optimizer: Optimizer, groups: Sequence[Mapping[str, Any]]) -> None:
    stored = [len(group["params"]) for group in groups]
    live = [len(group["params"]) for group in optimizer.param_groups]
    if stored != live:
        raise OptimizerMismatchError(f"groups of {stored} parameters were stored, here they are of {live}")


def _check_names(then: Groups, now: Groups) -> None:
    stored, live = {name for group in then for name in group}, {name for group in now for name in group}
    if stored == live:
        return
    gone, new = sorted(stored - live), sorted(live - stored)
    pieces = [f"{len(gone)} parameters are not here any more ({gone[0]}, ...)"] if gone else []
    pieces += [f"{len(new)} parameters are new ({new[0]}, ...)"] if new else []
    raise OptimizerMismatchError(" and ".join(pieces))


def _settings(groups: Sequence[Mapping[str, Any]], homes: set[int], names: Sequence[str]) -> dict[str, Any]:
    """What the stored groups say of a live one, but for its parameters."""
    said = [
        {key: value for key, value in groups[home].items() if key not in ("params", "param_names")}
        for home in sorted(homes)
    ]
    if any(other != said[0] for other in said[1:]):
        raise OptimizerMismatchError(
            f"the group of {names[0]} joins parameters that were in {len(said)} groups with different settings"
        )
    return said[0] if said else {}
