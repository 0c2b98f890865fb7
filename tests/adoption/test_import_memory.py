"""A checkpoint that is far larger than what importing it may take of memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from figures import note
from safetensors.torch import save_file

import deltackpt
from deltackpt import Store

# Imports what an argument names, twice: a small one, so that libraries are loaded, then the large one.
PROGRAM = """
import sys
from pathlib import Path
from deltackpt import Options, Store
from deltackpt.adoption.found import find_checkpoints

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024

store = Store(sys.argv[1], options=Options(cache_bytes=0))
list(store.adopt(find_checkpoints([sys.argv[2]]).checkpoints, branch="warm"))
Path("/proc/self/clear_refs").write_text("5")
before = peak()
list(store.adopt(find_checkpoints([sys.argv[3]]).checkpoints, remove_originals=True))
print(peak() - before)
"""
ROWS, BOUND_MIB = 40, 128


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux to tell the peak of memory")
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_file_several_times_the_bound_is_imported_within_it(tmp_path: Path, suffix: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for step in (1, 2):
        save(run / f"step_{step}.{suffix}", ROWS, step)
    save(tmp_path / f"small.{suffix}", 1, 0)
    assert (run / f"step_1.{suffix}").stat().st_size > 2.4 * (BOUND_MIB << 20)
    Store.init(tmp_path / "s").close()
    arguments = [str(tmp_path / "s"), str(tmp_path / f"small.{suffix}"), str(run)]
    root = str(Path(deltackpt.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{PROGRAM}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(run.iterdir()) == []
    note(f"import of a {suffix} file of 320 MiB: {done.stdout.strip()} MiB at the peak")
    assert int(done.stdout) < BOUND_MIB


def save(path: Path, rows: int, step: int) -> None:
    """``rows`` times 8 MiB of bfloat16-like noise, one tensor, of which a little moves with each step."""
    noise = torch.randint(
        -(2**15), 2**15, (rows, 4 << 20), generator=torch.Generator().manual_seed(7), dtype=torch.int16
    )
    noise[:, :: 1 << 12] += step
    tensors = {"w": noise.view(torch.bfloat16)}
    if path.suffix == ".pt":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
