"""``deltackpt import`` on a folder full of checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from cli_program import Cli
from safetensors.numpy import save_file


def test_a_run_is_planned_then_imported_then_known(cli: Cli, tmp_path: Path) -> None:
    for step in (900, 1000):
        save_file({"w": np.full(1000, step, np.float32)}, tmp_path / f"step-{step}_loss_0.5.safetensors")
    cli("init", tmp_path / "s")
    arguments = ("--store", tmp_path / "s", "import", tmp_path / "step-*")
    planned = cli(*arguments, "--dry-run")
    assert [line.split()[:2] for line in planned.lines[:-1]] == [["step", "900"], ["step", "1000"]]
    assert planned.lines[-1].startswith("2 checkpoints, 8.00 kB, in about ")
    assert cli("--store", tmp_path / "s", "log", "--json").document == []
    done = cli(*arguments, "--json").document["checkpoints"]
    assert [(one["step"], one["metrics"], one["known"]) for one in done] == [
        (900, {"loss": 0.5}, False),
        (1000, {"loss": 0.5}, False),
    ]
    again = cli(*arguments, "--remove-originals")
    assert (again.code, again.lines[0].endswith("known, equal, removed")) == (0, True)
    assert again.lines[-1].startswith("2 checkpoints, 8.00 kB, in ")
    assert list(tmp_path.glob("step-*")) == []
