"""Run where Orbax is: ``orbax_folder.py save FOLDER`` writes a checkpoint, ``load FOLDER`` tells what is in one."""

from __future__ import annotations

import sys

import numpy as np
import orbax.checkpoint as ocp

task, folder = sys.argv[1:]
values = np.random.default_rng(3)
tree = {"params": {f"layer{n}": values.standard_normal((128, 64), np.float32) for n in range(3)}, "step": np.array(7)}
with ocp.StandardCheckpointer() as checkpointer:
    if task == "save":
        checkpointer.save(folder, tree)
    else:
        found = checkpointer.restore(folder, tree)
        same = all(np.array_equal(found["params"][name], array) for name, array in tree["params"].items())
        sys.stdout.write(f"{same} {int(found['step'])}")
