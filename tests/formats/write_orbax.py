"""Run by Orbax's interpreter: ``write_orbax.py ARRAYS FOLDER`` saves an .npz as a checkpoint."""

from __future__ import annotations

import sys

import numpy as np
import orbax.checkpoint as ocp

if __name__ == "__main__":
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(sys.argv[2], dict(np.load(sys.argv[1])))
