"""``save_dcp.py RUN ROOT STEP...``: saves the states of a cached run with torch.distributed.checkpoint below ROOT."""

from __future__ import annotations

import sys
from pathlib import Path

from torch.distributed import checkpoint as dcp

from benchmarks.runs import load

if __name__ == "__main__":
    _, run, root, *steps = sys.argv
    for step in steps:
        dcp.save(load(run, int(step)), checkpoint_id=Path(root, f"step-{step}"))
