"""Accelerate: a :class:`Checkpointer` of everything that an ``Accelerator`` has prepared."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from accelerate import Accelerator

from deltackpt.errors import InvalidInputError
from deltackpt.training.checkpointer import Checkpointer


def checkpointer(accelerator: Accelerator, store: str | os.PathLike[str], **options: Any) -> Checkpointer:
    """In the place of ``save_state`` and ``load_state``; to be made after ``prepare`` by every process.

    Takes over the models, optimizers, schedulers and the scaler that were prepared, what was registered with
    ``register_for_checkpointing`` (as ``custom_0`` and so on), and the data loaders that know their position
    (``use_stateful_dataloader=True``). ``options`` are those of :class:`Checkpointer`.
    """
    if not accelerator._models:
        raise InvalidInputError("the accelerator has prepared no model; call accelerator.prepare(...) first")
    custom = {f"custom_{at}": thing for at, thing in enumerate(accelerator._custom_objects)}
    loaders = [loader for loader in accelerator._dataloaders if _knows_its_position(loader)]
    found = {
        "model": _one_or_all(accelerator._models),
        "optimizer": _one_or_all([optimizer.optimizer for optimizer in accelerator._optimizers]),
        "scheduler": _one_or_all([scheduler.scheduler for scheduler in accelerator._schedulers]),
        "scaler": accelerator.scaler,
        "dataloader": _Loaders(loaders) if len(loaders) > 1 else _one_or_all(loaders),
    }
    return Checkpointer(store, **{**found, **options, "extra": {**custom, **(options.get("extra") or {})}})


class _Loaders:
    """Several data loaders, such as those of a training and of its evaluations, as one."""

    def __init__(self, loaders: Sequence[Any]) -> None:
        self._loaders = loaders

    def state_dict(self) -> dict[str, Any]:
        return {str(at): loader.state_dict() for at, loader in enumerate(self._loaders)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if len(state) != len(self._loaders):
            raise InvalidInputError(
                f"positions of {len(state)} data loaders were stored, here are {len(self._loaders)}; prepare as many"
            )
        for at, loader in enumerate(self._loaders):
            loader.load_state_dict(state[str(at)])


def _one_or_all(things: Sequence[Any]) -> Any:
    if len(things) <= 1:
        return things[0] if things else None
    return list(things)


def _knows_its_position(loader: Any) -> bool:
    return callable(getattr(loader, "state_dict", None)) and callable(getattr(loader, "load_state_dict", None))
