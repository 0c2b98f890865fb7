"""A system that lacks what only Linux has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STORY = """
import os, sys
del os.sched_getaffinity, os.posix_fallocate
import numpy as np
from deltackpt import Options, Store
store = Store.init(sys.argv[1])
store.commit({"w": np.arange(100_000)}, step=1)
assert store.load("main")["w"][-1] == 99_999
assert Options().workers == os.cpu_count()
print(store.checkout("main", sys.argv[1] + ".safetensors"))
"""


def test_a_store_lives_without_affinity_and_preallocation(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", STORY, str(tmp_path / "s")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert int(done.stdout) == (tmp_path / "s.safetensors").stat().st_size
