"""Importing more than once: into a branch that has some of it, or something else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from left_runs import STEPS, flat, put, trainer, weights

from deltackpt import CorruptError, InvalidInputError, Store
from deltackpt.adoption.adopt import Adopted
from deltackpt.adoption.found import find_checkpoints


def imported(store: Store, run: Path, **options: object) -> list[Adopted]:
    return list(store.adopt(find_checkpoints([str(run)]).checkpoints, **options))  # type: ignore[arg-type]


def steps(store: Store, branch: str = "main") -> list[int | None]:
    return [commit.step for commit in store.log(branch)][::-1]


def test_twice_is_once(store: Store, tmp_path: Path) -> None:
    run = trainer(tmp_path / "run")
    first, second = imported(store, run), imported(store, run)
    assert [one.known for one in first + second] == [False] * 4 + [True] * 4
    assert [one.commit.id for one in first] == [one.commit.id for one in second]
    assert steps(store) == [*STEPS, None]


@pytest.mark.parametrize("make", [flat, trainer])
def test_what_is_known_and_untouched_is_not_read_again_but_for_the_newest(
    store: Store, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    run = make(tmp_path / "run")
    assert all(one.compared for one in imported(store, run))
    read: list[int] = []
    again = list(store.adopt(find_checkpoints([str(run)]).checkpoints, progress=read.append))
    assert [one.compared for one in again] == [False] * 3 + [True]
    assert sum(read) == pytest.approx(again[-1].found.place.nbytes / 2, abs=len(read))
    assert all(one.compared for one in imported(store, run, remove_originals=True))
    assert find_checkpoints([str(tmp_path)], gone=store.imported()).checkpoints == ()


def test_what_was_written_to_since_is_compared_and_refused(store: Store, tmp_path: Path) -> None:
    run = trainer(tmp_path / "run")
    imported(store, run)
    subject = run / "checkpoint-500" / "model.safetensors"
    raw = bytearray(subject.read_bytes())
    subject.touch()
    assert [one.compared for one in imported(store, run)] == [True, False, False, True]
    raw[-1] ^= 1
    subject.write_bytes(raw)
    with pytest.raises(CorruptError, match=r"checkpoint-500/model.safetensors is not what commit .* holds: it was"):
        imported(store, run)


def test_progress_counts_every_byte_once(store: Store, tmp_path: Path) -> None:
    run, read = trainer(tmp_path / "run"), list[int]()
    found = find_checkpoints([str(run)]).checkpoints
    whole = sum(one.place.nbytes for one in found)
    left = ("README.md", "all_results.json", "runs/x/events.out.tfevents.1.host")
    total = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    assert whole == total - sum((run / name).stat().st_size for name in left)
    list(store.adopt(found, progress=read.append))
    # Short texts around tensors are read with the file's structure.
    assert 0.95 * whole < sum(read) <= whole


def test_what_came_since_is_added(store: Store, tmp_path: Path) -> None:
    run = flat(tmp_path / "run")
    imported(store, run)
    put(run / "checkpoint_step_20000_loss_1.5000.pt", weights(20_000))
    put(run / "best.pt", weights(20_000))
    assert [(one.commit.step, one.known) for one in imported(store, run)] == [
        *((step, True) for step in STEPS),
        (20_000, False),
        (None, False),
    ]
    assert steps(store) == [*STEPS, None, 20_000, None]


def test_a_run_that_was_moved_and_touched_is_known_by_its_bytes(store: Store, tmp_path: Path) -> None:
    imported(store, flat(tmp_path / "run"))
    moved = Path(shutil.copytree(tmp_path / "run", tmp_path / "elsewhere"))
    for path in moved.iterdir():
        os.utime(path, (1, 1))
    assert [one.known for one in imported(store, moved)] == [True] * 3 + [False]


def test_what_training_has_written_is_gone_on_from(store: Store, tmp_path: Path) -> None:
    store.commit({"w0": weights(400)}, step=400)
    imported(store, flat(tmp_path / "run"))
    assert steps(store) == [400, *STEPS, None]


@pytest.mark.parametrize(("step", "said"), [(1000, "has another commit of that step"), (2000, "has reached step 2000")])
def test_a_branch_that_is_further_is_refused_before_anything_is_written(
    store: Store, tmp_path: Path, step: int, said: str
) -> None:
    store.commit({"w0": weights(1)}, step=step)
    run = flat(tmp_path / "run")
    for path in run.glob("*_500_*"):
        path.unlink()
    with pytest.raises(InvalidInputError, match=rf"_1000_.* is of step 1000, and branch 'main' {said}.* --branch"):
        imported(store, run, remove_originals=True)
    assert (steps(store), len(find_checkpoints([str(run)]).checkpoints)) == ([step], 3)
    assert [one.known for one in imported(store, run, branch="imported")] == [False] * 3


def test_a_copy_of_the_best_gives_way_with_its_step(store: Store, tmp_path: Path) -> None:
    run = trainer(tmp_path / "run")
    shutil.copytree(run / "checkpoint-1000", run / "best")
    made = {os.path.relpath(one.found.path, run): one.commit for one in imported(store, run)}
    assert (made["checkpoint-1000"].step, made["best"].step) == (1000, None)
    assert made["best"].metrics == made["checkpoint-1000"].metrics
    # Its bytes are there already.
    assert made["best"].stored_bytes < 5000


def test_a_file_keeps_its_mode_and_its_time(store: Store, tmp_path: Path) -> None:
    path = put(tmp_path / "step-5.pt", weights(5))
    path.chmod(0o640)
    os.utime(path, ns=(1, 1_600_000_000_123_456_789))
    (one,) = imported(store, path)
    store.checkout(one.commit, tmp_path / "back.pt")
    back = (tmp_path / "back.pt").stat()
    assert (back.st_mode & 0o777, back.st_mtime_ns) == (0o640, 1_600_000_000_123_456_789)
    assert (tmp_path / "back.pt").read_bytes() == path.read_bytes()
