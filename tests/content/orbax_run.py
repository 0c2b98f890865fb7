"""Run where Orbax is: ``orbax_run.py save RUN`` writes two steps of a run, ``load RUN`` tells whether they are in it.

Of three layers one is another in the second step.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

STEPS = (0, 10)


def tree(step: int) -> dict[str, Any]:
    layers = np.random.default_rng(3).standard_normal((3, 256, 256), np.float32)
    layers[2] *= 1 + step / 1000
    return {"params": {f"layer{number}": layer for number, layer in enumerate(layers)}, "step": np.array(step)}


def holds(manager: ocp.CheckpointManager, step: int) -> bool:
    expected = tree(step)
    found = manager.restore(step, args=ocp.args.StandardRestore(expected))
    same = [np.array_equal(found["params"][name], layer) for name, layer in expected["params"].items()]
    return all(same) and int(found["step"]) == step


if __name__ == "__main__":
    task, run = sys.argv[1:]
    with ocp.CheckpointManager(run) as manager:
        for step in STEPS:
            if task == "save":
                manager.save(step, args=ocp.args.StandardSave(tree(step)))
                manager.wait_until_finished()
            else:
                sys.stdout.write(f"{holds(manager, step)} ")
