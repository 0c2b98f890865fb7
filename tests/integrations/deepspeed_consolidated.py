"""Whether DeepSpeed makes the same float32 weights of a checkout as of its own folder. ``python ... FOLDER...``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ |= {"DS_ACCELERATOR": "cpu"}

import torch
from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint as consolidated

for folder in map(Path, sys.argv[1:]):
    ours = consolidated(str(folder / "out"), tag="4")
    theirs = consolidated(str(folder / "ckpts"), tag="global_step4")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    sys.stdout.write(f"{folder.name}: the same float32 weights\n")
