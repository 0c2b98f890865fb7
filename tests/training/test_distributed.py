"""Several ranks save as one, and each goes on where it stood."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE

from deltackpt import Store

torch = pytest.importorskip("torch")

from ddp_trainee import Distributed  # noqa: E402 - it needs torch
from forks import FORKS  # noqa: E402
from trainee import told  # noqa: E402


def ranks(
    folder: Path, store: str, steps: int, size: int = 2, signal_at: int | None = None, **options: Any
) -> list[tuple[int | None, str]]:
    """Run a training of ``size`` ranks; exit code and stderr of each."""
    losses = str(folder / f"{Path(store).name}.txt")
    meeting = str(folder / uuid.uuid4().hex)
    training = Distributed(size, meeting, str(folder / store), losses, steps, options, signal_at)
    started = [FORKS.Process(target=training.rank, args=(rank,)) for rank in range(size)]
    for process in started:
        process.start()
    for process in started:
        process.join(PATIENCE)
    return [(process.exitcode, Path(f"{losses}-{rank}.err").read_text()) for rank, process in enumerate(started)]


def test_two_ranks_save_once_and_each_goes_on_where_it_stood(tmp_path: Path) -> None:
    assert [code for code, _ in ranks(tmp_path, "whole", 12)] == [0, 0]
    assert [code for code, _ in ranks(tmp_path, "parts", 7)] == [0, 0]
    (first, said), (second, _) = ranks(tmp_path, "parts", 12)
    assert (first, second) == (0, 0), said
    for rank in (0, 1):
        assert told(tmp_path / f"parts.txt-{rank}") == told(tmp_path / f"whole.txt-{rank}")
    assert told(tmp_path / "whole.txt-0") != told(tmp_path / "whole.txt-1")
    with Store(tmp_path / "parts") as store, Store(tmp_path / "whole") as whole:
        assert [commit.step for commit in store.log("main")] == [12, 9, 7, 6, 3]
        state = store.load("main")
        assert list(state["rng"]) == list(state["dataloader"]) == ["0", "1"]
        assert "emb.weight" in state["model"]
        assert torch.equal(state["model"]["emb.weight"], whole.load("main")["model"]["emb.weight"])
        assert store.resolve("main").meta["training"]["ranks"] == 2


def test_a_signal_to_one_rank_ends_all_after_a_save(tmp_path: Path) -> None:
    outcomes = ranks(tmp_path, "s", 500, signal_at=4)
    assert [code for code, _ in outcomes] == [143, 143], outcomes
    with Store(tmp_path / "s") as store:
        assert (store.resolve("main").step, store.resolve("main").message) == (5, "SIGTERM")


def test_another_number_of_ranks_says_what_is_not_as_it_was(tmp_path: Path) -> None:
    ranks(tmp_path, "s", 4)
    ((code, said),) = ranks(tmp_path, "s", 6, size=1)
    assert code == 0, said
    assert "not as it was before: saved by 2 ranks, resumed by 1" in said
    assert "the position in the data, stored for 2 ranks; the epoch begins anew" in said
    outcomes = ranks(tmp_path, "s", 8)
    assert [code for code, _ in outcomes] == [0, 0]
    assert "random numbers of rank 1, which was not there" in outcomes[1][1]


def test_every_rank_hears_of_a_failure_of_the_first(tmp_path: Path) -> None:
    ranks(tmp_path, "s", 4)
    outcomes = ranks(tmp_path, "s", 8, branch="other", start_from="nowhere")
    assert [code for code, _ in outcomes] == [1, 1]
    assert all("no branch, tag or commit 'nowhere'" in said for _, said in outcomes)
    outcomes = ranks(tmp_path, "/proc/nowhere", 8)
    assert [code for code, _ in outcomes] == [1, 1]


SHARDED = """
import sys
import torch, deltackpt
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
torch.distributed.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=0, world_size=1)
model = torch.nn.Linear(4, 2)
fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
try:
    deltackpt.Checkpointer(sys.argv[1], model=model)
except deltackpt.DeltackptError as error:
    print(str(error).partition(";")[0])
"""


def test_a_model_that_is_sharded_is_refused_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SHARDED, tmp_path / "s", tmp_path / "meeting"]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    ran = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert ran.stdout == "model/weight: a tensor that is sharded over ranks cannot be stored by one of them\n"
