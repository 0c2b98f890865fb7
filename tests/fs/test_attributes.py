"""A share where nobody may set modes and times: the kernel itself refuses, to a process that asked for that."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

# A seccomp filter (x86-64): fchmod, chmod, fchmodat, utimensat, futimesat give EPERM, all else is allowed.
REFUSED = """
import ctypes, struct
def step(code, yes, no, value):
    return struct.pack("HBBI", code, yes, no, value)
calls = (91, 90, 268, 280, 261)
program = step(0x20, 0, 0, 0)
for left, call in zip(range(len(calls), 0, -1), calls):
    program += step(0x15, left, 0, call)
program += step(0x06, 0, 0, 0x7FFF0000) + step(0x06, 0, 0, 0x00050001)
held = ctypes.create_string_buffer(program)
fields = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
if libc.prctl(22, 2, ctypes.create_string_buffer(fields), 0, 0):
    print("not permitted")
    raise SystemExit
import os
try:
    os.chmod(".", 0o755)
except PermissionError:
    print("refused")
"""

TRAINED = """
import logging, pathlib, sys
logging.basicConfig(format="%(message)s", stream=sys.stdout, level=logging.WARNING)
import torch, deltackpt
model = torch.nn.Linear(8, 8)
with deltackpt.Checkpointer("s", model=model, files=["tokenizer"], every=1) as ckpt:
    ckpt.resume()
    for step in ckpt.steps(2):
        model.weight.data.mul_(1.1)
    ckpt.restore_files("restored")
with deltackpt.Store("s") as store:
    print([commit.step for commit in store.log("main")])
    folder = store.commit_path("tokenizer", branch="files")
    store.checkout(folder, "out")
    store.checkout(store.commit_path("tokenizer/vocab.txt", branch="file"), "alone.txt")
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the filter names calls by their numbers")
def test_trainings_and_checkouts_work_with_one_warning(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "tokenizer" / "deep").mkdir(parents=True)
    for name in ("vocab.txt", "deep/merges.txt", "deep/other.txt"):
        (tmp_path / "tokenizer" / name).write_text(name)
    (tmp_path / "tokenizer" / "link").symlink_to("vocab.txt")
    ran = subprocess.run(
        [sys.executable, "-c", REFUSED + TRAINED],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path if entry)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.stdout.startswith("not permitted"):
        pytest.skip("filters of system calls are not permitted here")
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.splitlines()
    assert said[0] == "refused"
    assert "[2, 1]" in said
    warned = [line for line in said if "refuses to set modes and times" in line]
    assert len(warned) == 2, "one for the folder, one for the file"
    for name in ("vocab.txt", "deep/merges.txt", "link"):
        assert (tmp_path / "out" / name).read_text() == (tmp_path / "tokenizer" / name).read_text()
    assert (tmp_path / "alone.txt").read_text() == "vocab.txt"
