"""Tensors of an earlier step, where the number of the step is part of their names.

The folder of a run that keeps every step is committed as a whole, again and again. What is new in it has no base of its
own name, and yet the parent has it in the folder of the step before.
"""

from __future__ import annotations

from collections.abc import Mapping

from deltackpt.content.content import Content
from deltackpt.content.steps import numbers, stable
from deltackpt.history.manifest import StoredTensor


def of_earlier_steps(content: Content, parent: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """For names of ``content`` that ``parent`` lacks, its tensor whose name differs by the numbers of steps only.

    Of several the one of the highest step.
    """
    names = [tensor.name for part in content.parts for tensor in part.tensors]
    lacking = {name: role for name in names if name not in parent and (role := stable(name)) != name}
    if not lacking:
        return {}
    wanted, latest = set(lacking.values()), dict[str, StoredTensor]()
    for name in sorted(parent, key=numbers):
        if (role := stable(name)) in wanted:
            latest[role] = parent[name]
    return {name: latest[role] for name, role in lacking.items() if role in latest}
