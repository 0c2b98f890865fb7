"""What the parts of a commit are for, told by their names: which hold a model, which an optimizer.

A name is read as words: ``opt``, ``g_optimizer``, ``optimState`` and ``optimizer_states`` are optimizers; schedulers,
random numbers, scalers and loaders are neither; anything else that holds tensors is a model (``net``, ``ema``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from deltackpt.history.objects import PartEntry

FULL = "full"
WEIGHTS = "weights-only"
PARTIAL = "partial"

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_OPTIMIZER = re.compile(r"opts?|optims?|optimi[sz]ers?")
_HELPER = re.compile(r"sched\w*|lr|rngs?|random|seeds?|scalers?|loaders?|dataloaders?|samplers?")


def is_optimizer(part: str) -> bool:
    """Whether a part of that name holds the state of an optimizer."""
    return any(_OPTIMIZER.fullmatch(word) for word in _words(part))


def holds(parts: Sequence[PartEntry]) -> str:
    """``full`` (a model and an optimizer), ``weights-only`` (a model alone) or ``partial`` (no model).

    An optimizer counts before it has any tensors. What stands at the top level itself is a model only when no part
    beside it holds tensors or an optimizer: then it is a bare state dict, or a file.
    """
    optimizers = [part for part in parts if is_optimizer(part.name)]
    others = [part for part in parts if part.name and (part.tensors or is_optimizer(part.name))]
    bare = not others and any(part.tensors for part in parts)
    if not models(parts) and not bare:
        return PARTIAL
    return FULL if optimizers else WEIGHTS


def models(parts: Sequence[PartEntry]) -> list[str]:
    """Names of the parts that hold a model; none in a bare state dict, or a file."""
    return [part.name for part in parts if part.name and part.tensors and _may_be_model(part.name)]


def _may_be_model(name: str) -> bool:
    return not is_optimizer(name) and not any(_HELPER.fullmatch(word) for word in _words(name))


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]
