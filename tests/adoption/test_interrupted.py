"""An import that is killed or interrupted, at any moment: nothing is lost, and the same command finishes it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_program import environment, program
from left_runs import STEPS, flat, put, tensorflow, trainer, weights
from patience import until

from deltackpt import DeltackptError, Store
from deltackpt.adoption.adopt import Adopted
from deltackpt.adoption.found import find_checkpoints
from deltackpt.adoption.leftovers import Outcome
from deltackpt.adoption.removal import Original, asides_in

ROOT = Path(__file__).parents[2]

# For each number on a line forks a process that imports and removes, and kills itself at that change of the disk.
NURSERY = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import deltackpt.commit.commit, deltackpt.adoption.leftovers
from deltackpt import Store
from deltackpt.adoption.found import find_checkpoints

left = 0

def deadly(call):
    def called(*arguments, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **named)
    return called

for name in ("rename", "unlink", "rmdir", "mkdir", "link", "fsync"):
    setattr(os, name, deadly(getattr(os, name)))

def live(calls):
    global left
    left = calls
    store = Store(sys.argv[2])
    store.settle_removals()
    found = find_checkpoints([sys.argv[3]], gone=store.imported())
    list(store.adopt(found.checkpoints, remove_originals=True))
    os._exit(0)

for line in sys.stdin:
    child = os.fork()
    if not child:
        live(int(line))
    print(os.waitpid(child, 0)[1], flush=True)
"""


@contextmanager
def nursery(store: Path, run: Path) -> Iterator[Callable[[int], int]]:
    command = [sys.executable, "-c", NURSERY, str(ROOT), str(store), str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def killed_at(calls: int) -> int:
            print(calls, file=process.stdin, flush=True)
            assert process.stdout is not None
            return int(process.stdout.readline())

        yield killed_at
        process.stdin.close()


def bytes_by_step(run: Path) -> dict[int | None, dict[str, bytes]]:
    """The files of each checkpoint of a run, by their names in it."""
    found = find_checkpoints([str(run)]).checkpoints
    return {one.step: dict(files_of(Path(one.place.folder), one.place.members)) for one in found}


def files_of(folder: Path, members: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for name in members:
        path = folder / name
        for file in [path, *path.rglob("*")]:
            if file.is_file():
                yield str(file.relative_to(path if path.is_dir() else folder)), file.read_bytes()


def stored(store: Path, target: Path) -> dict[int | None, dict[str, bytes]]:
    """The same, checked out."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    found: dict[int | None, dict[str, bytes]] = {}
    with Store(store) as opened:
        if "main" not in opened.branches():
            return {}
        for path, commit in opened.file_names(f"{target}/{{commit}}-{{name}}", opened.log("main")):
            opened.checkout(commit, path)
            files = dict(files_of(Path(path), ("",)) if os.path.isdir(path) else [(path.split("-", 1)[1], b"")])
            found[commit.step] = files or {}
            if os.path.isfile(path):
                found[commit.step] = {Path(path).name.partition("-")[2]: Path(path).read_bytes()}
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", [trainer, tensorflow, flat])
def test_whatever_the_moment_of_death_nothing_is_lost(tmp_path: Path, make: Callable[[Path], Path], seed: int) -> None:
    moments = random.Random(seed)
    store, run = tmp_path / "store", make(tmp_path / "run")
    whole, beside = bytes_by_step(run), sorted(find_checkpoints([str(run)]).left)
    Store.init(store).close()
    deaths = 0
    with nursery(store, run) as killed_at:
        while killed_at(moments.randrange(1, 25)) != 0:
            deaths += 1
            assert deaths < 200
            held, there = stored(store, tmp_path / "out"), everything_in(run)
            for step, files in whole.items():
                # In the store, whole; else each file is on disk, in its place or set aside.
                assert held.get(step) == files or set(files.values()) <= there
    assert deaths
    assert stored(store, tmp_path / "out") == whole
    assert [path for path in run.rglob("*") if path.name.startswith(".")] == []
    assert sorted(str(path) for path in run.iterdir()) == beside
    with Store(store) as opened:
        assert len(list(opened.log("main"))) == len(whole)


def everything_in(run: Path) -> set[bytes]:
    return {path.read_bytes() for path in run.rglob("*") if path.is_file()}


# The command line, but for the folder of a number, which it does not remove: it tells that it is there, and waits.
HELD = """
import os, sys, time
from deltackpt.cli.main import main

left, remove = int(sys.argv[1]), os.rmdir

def remove_or_wait(*arguments, **named):
    global left
    left -= 1
    if left == 0:
        open("held", "w").close()
        time.sleep(10_000)
    remove(*arguments, **named)

os.rmdir = remove_or_wait
main(sys.argv[2:])
"""


@contextmanager
def held_at(folder: int, *arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """The program with ``arguments``, in the midst of its work: where it would remove its folder of that number."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", HELD, str(folder), *arguments],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background would have it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            until((cwd / "held").exists)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("folder", [1, 6, 11])
def test_a_killed_program_is_finished_by_the_same_command(tmp_path: Path, folder: int) -> None:
    run = trainer(tmp_path / "run", steps=range(10, 90, 10), rows=2000)
    whole = bytes_by_step(run)
    assert program("--store", "s", "init", cwd=tmp_path).code == 0
    arguments = ("--store", "s", "import", "run", "--remove-originals")
    with held_at(folder, *arguments, cwd=tmp_path) as process:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(list(run.glob("checkpoint-*"))) in range(1, 8)
    done = program(*arguments, cwd=tmp_path)
    assert done.code == 0, done.err
    assert stored(tmp_path / "s", tmp_path / "out") == whole
    assert sorted(os.listdir(run)) == ["README.md", "all_results.json", "runs"]
    again = program(*arguments, cwd=tmp_path)
    assert (again.code, again.lines[-1]) == (0, "nothing is left to import")


def test_an_interrupted_program_says_what_is_done_and_goes_on(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run", steps=range(10, 90, 10), rows=2000)
    whole = bytes_by_step(run)
    assert program("--store", "s", "init", cwd=tmp_path).code == 0
    arguments = ("--store", "s", "import", "run", "--remove-originals")
    with held_at(6, *arguments, cwd=tmp_path) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, err.strip()) == (130, "")
    told = out.splitlines()
    assert "step 10, run/checkpoint-10, " in told[0]
    assert told[-1].endswith(" of 9 checkpoints; the same command goes on from here")
    done = program(*arguments, cwd=tmp_path)
    assert done.code == 0, done.err
    assert stored(tmp_path / "s", tmp_path / "out") == whole


# What an interrupted removal leaves, put there by hand.


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return trainer(tmp_path / "run")


def adopted(store: Store, run: Path) -> list[Adopted]:
    return list(store.adopt(find_checkpoints([str(run)]).checkpoints))


def set_aside(one: Adopted, stage: str) -> Path:
    original = Original.noted_at(one.found.place)
    aside = Path(one.found.place.folder) / original._name(one.commit.id).replace("importing", stage)
    aside.mkdir()
    for name in one.found.place.members:
        os.rename(Path(one.found.place.folder, name), aside / name)
    return aside


def test_what_was_checked_goes_even_when_half_of_it_is_gone(store: Store, run: Path) -> None:
    one, *_, final = adopted(store, run)
    asides = [set_aside(one, "imported"), set_aside(final, "imported")]
    (asides[0] / "checkpoint-500" / "optimizer.pt").unlink()
    (asides[0] / "checkpoint-500").chmod(0o700)
    (asides[1] / "config.json").unlink()
    settled = store.settle_removals()
    assert [(one.path, one.outcome) for one in settled] == [(str(a), Outcome.REMOVED) for a in sorted(asides)]
    assert asides_in(str(run)) == []
    assert not (run / "checkpoint-500").exists()
    assert not (run / "model.safetensors").exists()


def test_what_was_not_checked_yet_goes_back(store: Store, run: Path) -> None:
    one, *_, final = adopted(store, run)
    before = everything_in(run)
    set_aside(one, "importing")
    set_aside(final, "importing")
    assert {one.outcome for one in store.settle_removals()} == {Outcome.PUT_BACK}
    assert (everything_in(run), asides_in(str(run))) == (before, [])
    assert [one.known for one in adopted(store, run)] == [True] * 4


@pytest.mark.parametrize("change", ["write", "add"])
def test_what_the_commit_does_not_hold_goes_back(store: Store, run: Path, change: str) -> None:
    one, *_ = adopted(store, run)
    aside = set_aside(one, "imported")
    put(aside / "checkpoint-500" / ("optimizer.pt" if change == "write" else "new.pt"), weights(99))
    assert [one.outcome for one in store.settle_removals()] == [Outcome.PUT_BACK]
    assert (run / "checkpoint-500" / "model.safetensors").exists()
    # What was changed in place, and what the folder's own time tells.
    with pytest.raises(DeltackptError, match=r"changed after its import|another commit of that step"):
        adopted(store, run)


def test_a_leftover_of_a_commit_that_is_gone_goes_back(store: Store, run: Path) -> None:
    one, *_ = adopted(store, run)
    aside = set_aside(one, "imported")
    other = run / aside.name.replace(str(one.commit.id), "0" * 64)
    aside.rename(other)
    assert [one.outcome for one in store.settle_removals()] == [Outcome.PUT_BACK]
    assert (run / "checkpoint-500" / "model.safetensors").exists()


def test_what_stands_in_its_place_is_not_written_over(store: Store, run: Path) -> None:
    one, *_ = adopted(store, run)
    aside = set_aside(one, "importing")
    put(run / "checkpoint-500" / "new.pt", weights(99))
    assert [one.outcome for one in store.settle_removals()] == [Outcome.IN_THE_WAY]
    assert os.listdir(run / "checkpoint-500") == ["new.pt"]
    assert (aside / "checkpoint-500" / "model.safetensors").exists()


def test_other_hidden_files_are_nobody_s_leftovers(store: Store, run: Path) -> None:
    adopted(store, run)
    put(run / ".checkpoint-500.abc.imported")
    assert store.settle_removals() == []
    assert len(STEPS) + 1 == len(adopted(store, run))
