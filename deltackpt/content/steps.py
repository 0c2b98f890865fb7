"""Paths without the numbers that change from one checkpoint of a run to the next.

``global_step1000/mp_rank_00_model_states.pt`` and ``global_step2000/mp_rank_00_model_states.pt`` are the same file of
two steps. Numbers of ranks and shards are no steps: they tell files of one checkpoint apart.
"""

from __future__ import annotations

import re

_WORDS = "global_?steps?|steps?|checkpoints?|ckpts?|iterations?|iters?|epochs?|ep|updates?|tokens"
_NUMBERED = rf"(?<![a-z0-9])({_WORDS})([-_=.]?)(\d+)(?![0-9]*-of-)"
_STEP = re.compile(_NUMBERED, re.IGNORECASE)
_SEPARATED = re.compile(rf"[-_.]?{_NUMBERED}", re.IGNORECASE)
_METRIC = re.compile(
    r"(?i)((?:loss|acc|accuracy|ppl|perplexity|bleu|f1|auc|score|metric)[=_-])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
)

MARK = "*"


def stable(path: str) -> str:
    """``path`` with each step number, and each metric's value, replaced by ``*``."""
    return _METRIC.sub(rf"\g<1>{MARK}", _STEP.sub(rf"\g<1>\g<2>{MARK}", path))


def unnumbered(path: str) -> str:
    """``path`` without words for steps and their numbers: ``model_step_5.pt`` is ``model.pt``."""
    return "/".join(map(_unnumbered, path.split("/")))


def _unnumbered(name: str) -> str:
    found = _SEPARATED.sub("", name)
    return name if found == name else found.lstrip("-_.")


def numbers(path: str) -> tuple[int, ...]:
    """The numbers of steps in ``path``, in its order."""
    return tuple(int(number) for _, _, number in _STEP.findall(path))
