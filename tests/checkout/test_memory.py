"""Memory beyond the caller's tensors: some chunks, whatever the size of the state and however it lies in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# 100 MB that compress to nothing; what is measured is the growth of the process at its peak.
STORY = """
import gc, sys, torch
from deltackpt import Options, Store

def peak():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")) // 1024

def grown(call):
    gc.collect()
    open("/proc/self/clear_refs", "w").write("5")
    before = peak()
    call()
    return peak() - before

torch.set_num_threads(1)
store = Store.init(sys.argv[1], options=Options(threads=2, cache_bytes=0))
base = torch.zeros(5000, 5000)
base[::7, ::5] = 1.5
states = {
    "plain": {"w": base},
    "turned": {"w": base.t()},
    "overlapping": {"q": base[:, :3000], "k": base[:, 2000:]},
    "viewed": {"flat": base.view(-1), "t": base.t(), "columns": base[:, 100:4000]},
}
store.commit({"m": {"x": torch.ones(70_000).view(7, -1).t()}}, branch="warm")
store.checkout("warm", sys.argv[1] + "-warm.safetensors")
store.load_into({"x": torch.zeros(70_000).view(7, -1).t()}, "warm", part="m")
for name, state in states.items():
    print("commit", name, grown(lambda: store.commit({"m": state}, branch=name)))
    print("checkout", name, grown(lambda: store.checkout(name, f"{sys.argv[1]}-{name}.safetensors", part="m")))
    print("diff", name, grown(lambda: store.diff("plain", name)))
other = {"w": torch.zeros_like(base)}
print("into", "plain", grown(lambda: store.load_into(other, "plain", part="m")) - 100)
assert torch.equal(other["w"], base)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is measured as Linux tells it")
def test_memory_does_not_grow_with_the_size_of_a_tensor(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", STORY, str(tmp_path / "s")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = {tuple(words[:2]): int(words[2]) for words in map(str.split, done.stdout.splitlines())}
    assert len(found) == 13
    assert {what: grown for what, grown in found.items() if grown > 60} == {}
