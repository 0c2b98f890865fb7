"""What a PyTorch file says of itself at its top level, where its name says nothing: step, epoch and metrics.

Lightning writes ``global_step`` and ``epoch``; scripts write these, ``step``, ``iteration`` and ``loss``.
"""

from __future__ import annotations

import math

from deltackpt.adoption.names import EPOCH, is_metric
from deltackpt.errors import FormatError, StorageError
from deltackpt.formats.pickles.nodes import Dict
from deltackpt.formats.sniff import read
from deltackpt.formats.source_file import open_source

_STEPS = ("global_step", "step", "iteration", "iter_num", "iter")
_STEP_RANGE = range(1 << 63)
_WHOLE = range(-(1 << 63), 1 << 63)


def said_inside(path: str) -> tuple[int | None, dict[str, float]]:
    """The step and the metrics in the file at ``path``; nothing for a file of another kind, or a damaged one."""
    try:
        with open_source(path) as file:
            state = read(file).state
    except (FormatError, StorageError):
        return None, {}
    root = None if state is None else state.root
    if type(root) is not Dict:
        return None, {}
    numbers = {key: value for key, value in root.pairs if type(key) is str and type(value) in (int, float)}
    steps = (numbers[key] for key in _STEPS if key in numbers)
    step = next((int(one) for one in steps if type(one) is int and one in _STEP_RANGE), None)
    metrics = {key: float(one) for key, one in numbers.items() if _is_told(key, one)}
    return step, metrics


def _is_told(key: str, number: float) -> bool:
    return (key == EPOCH or is_metric(key)) and (number in _WHOLE if type(number) is int else math.isfinite(number))
