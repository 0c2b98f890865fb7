"""The process that writes: it comes and goes as it must, and whatever happens to it the training knows."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import until
from programs import Program, await_end, children, stopped_writer, writer

from deltackpt import Checkpointer, ConflictError, DeltackptError, Keep, StorageError, Store

torch = pytest.importorskip("torch")

from trainee import checkpointer, made  # noqa: E402 - it needs torch


class Weights:
    """Noise that moves a little at each step."""

    def __init__(self, count: int = 500_000) -> None:
        self.values = torch.randn(count, generator=torch.Generator().manual_seed(1))

    def state_dict(self) -> dict[str, Any]:
        return {"values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values.copy_(state["values"])


@pytest.fixture
def weights() -> Weights:
    return Weights()


def saving(path: Path, weights: Weights, **options: Any) -> Checkpointer:
    return Checkpointer(path, extra={"weights": weights}, **{"every": 1, "nice": 0, **options})


def test_what_is_saved_is_what_stood_there_when_step_returned(weights: Weights, tmp_path: Path) -> None:
    kept = []
    for worker in ("process", "thread"):
        with saving(tmp_path / worker, weights, worker=worker) as ckpt:
            ckpt.resume()
            for step in range(5):
                weights.values.mul_(1.001)
                ckpt.step(step)
                kept.append(weights.values.clone())
                weights.values.add_(100)  # in place, while the writer reads its copy
                weights.values.sub_(100)
        with Store(tmp_path / worker) as store:
            for step, values in enumerate(kept, 1):
                assert torch.equal(store.load(f"step:{step}")["weights"]["values"], values)
        kept.clear()


class EveryPattern:
    """Tensors of several types and strides, with all bits that such a type can have; others at each save."""

    def __init__(self) -> None:
        self.shift = 0

    def state_dict(self) -> dict[str, Any]:
        self.shift += 1
        bits = torch.randint(-(1 << 63), (1 << 63) - 1, (4096,), generator=torch.Generator().manual_seed(self.shift))
        all_16 = torch.arange(self.shift, self.shift + (1 << 16)).to(torch.int16)
        signalling = torch.arange(0x7F800000, 0x7F810000, dtype=torch.int32)
        kinds = (torch.float32, torch.float64, torch.int64, torch.complex64, torch.float8_e5m2, torch.bool, torch.uint8)
        flat = {str(kind): bits.view(kind) for kind in kinds}
        halves = {str(kind): all_16.view(kind) for kind in (torch.float16, torch.bfloat16)}
        made = {**flat, **halves, "signalling": signalling.view(torch.float32)}
        return {**made, **{f"{name} columns": value.view(64, -1).clone().t() for name, value in made.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise AssertionError


def test_every_bit_of_every_type_is_saved_the_first_time_and_later(tmp_path: Path) -> None:
    with Checkpointer(tmp_path / "s", extra={"bits": EveryPattern()}, every=1) as ckpt:
        for step in range(3):
            ckpt.step(step)
    again = EveryPattern()
    again.state_dict()  # The dry run of the capture was one.
    with Store(tmp_path / "s") as store:
        for step in (1, 2, 3):
            stored, expected = store.load(f"step:{step}", part="bits"), again.state_dict()
            for name, value in expected.items():
                assert stored[name].stride() == value.stride()
                assert stored[name].contiguous().view(torch.uint8).equal(value.contiguous().view(torch.uint8)), name


def test_a_writer_that_died_is_replaced_and_nothing_is_lost(
    weights: Weights, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with saving(tmp_path / "s", weights) as ckpt:
        ckpt.resume()
        for step in range(6):
            weights.values.mul_(1.001)
            ckpt.step(step)
            if step in (1, 3):
                os.kill(writer(), signal.SIGKILL)
    assert "the writer process ended with signal 9; another one takes the snapshot" in caplog.text
    with Store(tmp_path / "s") as store:
        assert [commit.step for commit in store.log("main")] == [6, 5, 4, 3, 2, 1]
        assert torch.equal(store.load("main")["weights"]["values"], weights.values)
        assert store.verify(data=True).ok


def test_a_writer_that_dies_every_time_is_an_error(weights: Weights, tmp_path: Path) -> None:
    fate = "the writer process ended 3 times over one snapshot, last with signal 9"
    with saving(tmp_path / "s", weights) as ckpt:
        ckpt.resume()
        ckpt.step(0)
        while not ckpt._saving.failed:
            for pid in children(os.getpid()):
                os.kill(pid, signal.SIGKILL)
            ckpt._saving.collect(0.01)
        with pytest.raises(DeltackptError, match=fate):
            ckpt.wait()


def test_a_writer_that_is_still_cleaning_up_is_not_waited_for(tmp_path: Path) -> None:
    """Nor when it cannot take in at once what a state of many tensors is described by."""

    class Many(Weights):
        def state_dict(self) -> dict[str, Any]:
            return {f"layer.{at}.values": self.values[at] for at in range(8000)}

    weights = Many(8000)
    with saving(tmp_path / "s", weights) as ckpt:
        ckpt.step(0)
        ckpt.wait()
        with stopped_writer():
            weights.values.mul_(2)
            ckpt.step(1)
    with Store(tmp_path / "s") as store:
        assert [commit.step for commit in store.log("main")] == [2, 1]


def test_an_unguarded_script_runs_once(tmp_path: Path) -> None:
    with Program(tmp_path, steps=10, flags="-X dev -W error") as program:
        code, rest = program.end()
        assert (code, rest[-1]) == (0, "after"), program.errors
        assert "Warning" not in program.errors
    assert program.trace.read_text() == "run\n"


def test_a_container_with_a_small_shared_memory_folder_has_room(tmp_path: Path) -> None:
    """The buffers have no name there, nor anywhere else."""
    with Program(tmp_path, steps=10_000) as program:
        program.until("step 12")
        (beside,) = children(program.process.pid)
        for pid in (program.process.pid, beside):
            mapped = Path(f"/proc/{pid}/maps").read_text()
            assert "/dev/shm" not in mapped
            assert "/memfd:" in mapped


def test_the_writer_ends_with_a_trainer_that_is_killed(tmp_path: Path) -> None:
    with Program(tmp_path, steps=10_000) as program:
        program.until("step 12")
        (beside,) = children(program.process.pid)
        program.process.kill()
        program.process.wait()
        await_end(beside)


def test_a_signal_to_everyone_is_the_trainers_to_decide_about(tmp_path: Path) -> None:
    with Program(tmp_path, steps=10_000) as program:
        program.until("step 12")
        (beside,) = children(program.process.pid)
        os.kill(beside, signal.SIGTERM)
        os.kill(beside, signal.SIGINT)
        program.process.terminate()
        assert program.end()[0] == 143
        assert "the writer process ended" not in program.errors
        await_end(beside)


def test_loader_processes_that_are_forked_later_do_not_disturb(weights: Weights, tmp_path: Path) -> None:
    data = torch.utils.data.DataLoader(list(range(20)), batch_size=5, num_workers=2)
    with saving(tmp_path / "s", weights) as ckpt:
        ckpt.resume()
        for step, _ in enumerate(data):
            weights.values.mul_(1.001)
            ckpt.step(step)
    with Store(tmp_path / "s") as store:
        assert store.resolve("main").step == 4


def test_two_jobs_on_one_branch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Weights(), Weights()
    with saving(tmp_path / "s", first) as one:
        one.resume()
        first.values.mul_(1.001)
        one.step(0)
        one.wait()
        with saving(tmp_path / "s", second) as two:
            assert "another job" in caplog.text
            assert "seems to write branch 'main'" in caplog.text
            two.resume()
            first.values.mul_(1.001)
            one.step(1)
            one.wait()
            two.step(1)
            with pytest.raises(ConflictError, match=r"or go on with Checkpointer\(..., branch='main-2'\)"):
                two.wait()
    with Store(tmp_path / "s") as store:
        assert [commit.step for commit in store.log("main")] == [2, 1]


def test_two_jobs_on_two_branches(tmp_path: Path) -> None:
    weights = Weights()
    with saving(tmp_path / "s", weights) as one, saving(tmp_path / "s", weights, branch="b") as two:
        one.resume()
        two.resume()
        for step in range(4):
            weights.values.mul_(1.001)
            one.step(step)
            two.step(step)
    with Store(tmp_path / "s") as store:
        assert [[c.step for c in store.log(branch)] for branch in ("main", "b")] == [[4, 3, 2, 1]] * 2


def test_a_job_that_ended_is_no_other_job(weights: Weights, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with saving(tmp_path / "s", weights) as ckpt:
        ckpt.resume()
        ckpt.step(0)
    with saving(tmp_path / "s", weights):
        assert "another job" not in caplog.text


# A disk that is full, and one that goes away


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, leave: int) -> Path:
    ballast = folder / "ballast"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - leave)
    return ballast


def test_a_full_disk_is_an_error_at_the_next_call_and_the_training_may_go_on(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = Weights(3_000_000)
    with saving(small_disk / "s", weights) as ckpt:
        ckpt.resume()
        ckpt.step(0)
        ckpt.wait()
        ballast = fill(small_disk, 1 << 20)
        weights.values.normal_()
        ckpt.step(1)
        with pytest.raises(StorageError, match=r"step 2 could not be saved: .*free some room"):
            ckpt.wait()
        ballast.unlink()
        ckpt.step(2)
    with Store(small_disk / "s") as store:
        assert [commit.step for commit in store.log("main")] == [3, 1]
        assert torch.equal(store.load("main")["weights"]["values"], weights.values)
    fill(small_disk, 17 << 20)
    with saving(small_disk / "s", weights, on_error="warn", branch="b") as ckpt:
        ckpt.resume()
        fill(small_disk / "s", 1 << 20)
        weights.values.normal_()
        ckpt.step(0)
        ckpt.wait()
    assert "the training goes on" in caplog.text


def test_a_full_disk_is_made_room_on_by_the_policy(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "deltackpt")
    weights = Weights(2_500_000)
    with saving(small_disk / "s", weights, keep=Keep(last=1)) as ckpt:
        ckpt.resume()
        for step in range(8):
            weights.values.normal_()
            ckpt.step(step)
    with Store(small_disk / "s") as store:
        assert store.resolve("main").step == 8
        assert store.verify(data=True).ok


def test_a_disk_too_full_to_begin_with_is_refused_at_once(small_disk: Path) -> None:
    weights = Weights(3_000_000)
    Store.init(small_disk / "s").close()
    fill(small_disk, 2 << 20)
    with pytest.raises(StorageError, match=r"has 2 MB left, and a state is 12 MB; free some room first"):
        saving(small_disk / "s", weights)


def test_a_store_that_is_gone_is_an_error(weights: Weights, tmp_path: Path) -> None:
    with saving(tmp_path / "s", weights) as ckpt:
        ckpt.resume()
        ckpt.step(0)
        ckpt.wait()
        (tmp_path / "s").rename(tmp_path / "elsewhere")
        weights.values.mul_(2)
        ckpt.step(1)
        with pytest.raises(DeltackptError, match="step 2 could not be saved"):
            ckpt.wait()
    with Store(tmp_path / "elsewhere") as store:
        assert store.resolve("main").step == 1


@pytest.mark.parametrize("worker", ["process", "thread"])
def test_a_store_that_is_gone_before_the_first_save_is_an_error_as_well(
    weights: Weights, tmp_path: Path, caplog: pytest.LogCaptureFixture, worker: str
) -> None:
    with saving(tmp_path / "s", weights, worker=worker) as ckpt:
        (tmp_path / "s").rename(tmp_path / "elsewhere")
        ckpt.step(0)
        with pytest.raises(DeltackptError, match=r"step 1 could not be saved: .*does not exist"):
            ckpt.wait()
        assert "step 1 could not be saved" in caplog.text
        (tmp_path / "elsewhere").rename(tmp_path / "s")
        ckpt.save(wait=True)
        assert ckpt.last.commit is not None


def test_a_failure_is_in_the_log_when_another_error_ends_the_training(
    weights: Weights, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def script() -> None:
        with saving(tmp_path / "s", weights, worker="thread") as ckpt:
            (tmp_path / "s").rename(tmp_path / "elsewhere")
            ckpt.step(0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        script()
    assert "step 1 could not be saved" in caplog.text


def test_a_store_that_cannot_be_written_is_refused_at_once(weights: Weights, tmp_path: Path) -> None:
    Store.init(tmp_path / "s").close()
    frozen = tmp_path / "frozen"
    frozen.mkdir()
    if subprocess.run(["mount", "--bind", tmp_path / "s", frozen], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", frozen], check=True)
        with pytest.raises(StorageError, match="reading the store still works"):
            saving(frozen, weights)
    finally:
        subprocess.run(["umount", "-l", frozen], check=True)


def test_a_cell_that_is_run_again_goes_on(weights: Weights, tmp_path: Path) -> None:
    def cell() -> None:
        with saving(tmp_path / "s", weights) as ckpt:
            start = ckpt.resume()
            for step in ckpt.steps(start + 5):
                weights.values.mul_(1.001)
                if step == start + 3:
                    ckpt.wait()
                    raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            cell()
    with Store(tmp_path / "s") as store:
        assert [commit.step for commit in store.log("main")] == [6, 5, 4, 3, 2, 1]
    until(lambda: children(os.getpid()) == [])


def test_a_script_that_fails_still_has_what_it_saved(weights: Weights, tmp_path: Path) -> None:
    def script() -> None:
        with saving(tmp_path / "s", weights) as ckpt:
            ckpt.resume()
            ckpt.step(0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        script()
    with Store(tmp_path / "s") as store:
        assert store.resolve("main").step == 1


def test_everything_together_in_one_training(tmp_path: Path) -> None:
    run = made()
    with checkpointer(run, str(tmp_path / "s"), every=2, keep=Keep(last=2)) as ckpt:
        ckpt.resume()
        for _ in ckpt.steps(6):
            run.train_step()
    with Store(tmp_path / "s") as store:
        assert [commit.step for commit in store.log("main")] == [6, 4]


def test_a_state_beyond_a_small_dev_shm_is_saved(tmp_path: Path) -> None:
    """Containers come with 64 MB there; this one has four, and a state of sixteen."""
    script = tmp_path / "script.py"
    script.write_text(
        "import torch, deltackpt\n"
        "model = torch.nn.Linear(2000, 2000, bias=False)\n"
        f"with deltackpt.Checkpointer({str(tmp_path / 's')!r}, model=model, every=1) as ckpt:\n"
        "    ckpt.resume()\n"
        "    for step in ckpt.steps(3):\n"
        "        model.weight.data.mul_(1.001)\n"
    )
    inside = f"mount -t tmpfs -o size=4m tmpfs /dev/shm && exec {sys.executable} {script}"
    probe = subprocess.run(
        ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=4m tmpfs /dev/shm"], capture_output=True, check=False
    )
    if probe.returncode:
        pytest.skip("mounting is not permitted here")
    path = os.pathsep.join(entry for entry in sys.path if entry)
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", inside],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    with Store(tmp_path / "s") as store:
        assert [commit.step for commit in store.log("main")] == [3, 2, 1]


def test_the_writer_takes_no_more_of_an_interpreter_than_it_needs() -> None:
    """It would take hundreds of megabytes beside the training's own."""
    program = "import sys, deltackpt.training.worker; print([n for n in ('torch', 'ml_dtypes') if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
