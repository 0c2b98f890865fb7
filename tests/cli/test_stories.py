"""The real program, from beginning to end."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cli_program import command_line, environment, program
from patience import until
from safetensors.numpy import save_file

from deltackpt import Store


@pytest.fixture
def checkpoints(tmp_path: Path) -> list[Path]:
    """Two safetensors files of one model, a step apart."""
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((256, 128)).astype(np.float32)
    paths = []
    for step in (100, 200):
        path = tmp_path / f"model-{step}.safetensors"
        moved = weight + np.float32(step * 1e-6)
        save_file({"h.0.w": moved, "h.0.b": weight[0]}, path, metadata={"step": str(step)})
        paths.append(path)
    return paths


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_files_go_in_and_come_out_again_byte_for_byte(tmp_path: Path, checkpoints: list[Path]) -> None:
    made = program("init", cwd=tmp_path)
    assert (made.code, made.err) == (0, "")
    assert made.out == f"made a store in {tmp_path}/.deltackpt\n"

    (tmp_path / "config.json").write_text('{"lr": 0.001}')
    for step, file in zip((100, 200), checkpoints, strict=True):
        given = ("--step", str(step), "--metric", f"val_loss={1 / step}", "-m", f"after {step}")
        done = program("commit", file, *given, "--config", "config.json", "--json", cwd=tmp_path)
        assert (done.code, done.err) == (0, "")
        assert (done.document["step"], done.document["metrics"]) == (step, {"val_loss": 1 / step})

    deeper = tmp_path / "a" / "b"
    deeper.mkdir(parents=True)
    log = program("log", cwd=deeper)
    assert [line.split("  ")[2] for line in log.lines] == ["step 200", "step 100"]
    assert log.lines[0].endswith("(main)  val_loss 0.005  after 200")

    shown = program("show", "step:200", cwd=deeper)
    assert "  lr: 0.001" in shown.lines
    assert any(line.split()[:2] == ["h.0.w", "float32"] and "delta (rank 1)" in line for line in shown.lines)

    for step, file in zip((100, 200), checkpoints, strict=True):
        done = program("checkout", f"step:{step}", "-o", f"back-{step}.safetensors", cwd=deeper)
        assert (done.code, done.err) == (0, "")
        assert sha256(deeper / f"back-{step}.safetensors") == sha256(file)


def test_refs_reach_into_any_store(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with Store.init(tmp_path / "runs" / name) as store:
            store.commit({"w": np.ones(3)}, step=1, message=name)

    nowhere = program("log", cwd=tmp_path)
    assert nowhere.code == 3
    assert nowhere.err == (
        f"deltackpt: no store in '{tmp_path}' or above; below it there are 'runs/a', 'runs/b': name one with --store\n"
    )
    there = program("log", "runs/a#step:1", cwd=tmp_path, DELTACKPT_STORE="runs/b")
    two = program("diff", "main", "runs/a#main", cwd=tmp_path, DELTACKPT_STORE="runs/b")
    assert (two.code, two.lines[-1]) == (0, "1 tensor: 0 changed, 0 added, 0 removed, 1 the same")
    torn = program("--store", "runs/b", "show", "runs/a#main", cwd=tmp_path)
    assert (torn.code, torn.err) == (2, "deltackpt: this command works on one store, not on 'runs/a' and 'runs/b'\n")
    told = program("log", cwd=tmp_path, DELTACKPT_STORE="runs/b")
    assert (there.lines[0].split()[-1], told.lines[0].split()[-1]) == ("a", "b")


def open_files(process: int) -> list[str]:
    """What a process has open, but for what it closes just now."""
    found = []
    for fd in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(fd))
    return found


def test_an_interrupt_is_quiet(tmp_path: Path, history: Store) -> None:
    (tmp_path / "any").touch()
    running = subprocess.Popen(
        # A shell has what it starts in the background ignore the signal.
        [
            "env",
            "--default-signal=INT",
            *command_line("--store", history.path, "commit", "any", "--config", "/dev/stdin"),
        ],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # The program waits for its configuration once it has opened the pipe for itself.
    until(lambda: open_files(running.pid).count(os.readlink(f"/proc/{running.pid}/fd/0")) >= 2)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate()
    assert (running.returncode, err.strip()) == (130, "")


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    with Store.init(tmp_path / ".deltackpt") as store:
        # More names than a pipe holds.
        store.commit({f"{number:0200d}": np.zeros(1) for number in range(1000)})
    running = subprocess.Popen(
        command_line("show"), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.readline().startswith("commit ")
    running.stdout.close()
    assert running.stderr.read() == ""
    assert running.wait() == 141
    running.stderr.close()


def test_light_commands_import_no_numpy_and_no_torch(tmp_path: Path, history: Store) -> None:
    for command in ("log", "branch", "tag"):
        timed = subprocess.run(
            [*command_line("--store", history.path, command)[:1], "-X", "importtime", *command_line()[1:], command],
            cwd=tmp_path,
            env=environment(DELTACKPT_STORE=history.path),
            capture_output=True,
            text=True,
            check=True,
        )
        imported = {line.rpartition("|")[2].strip() for line in timed.stderr.splitlines()}
        assert "deltackpt.store" in imported
        assert imported.isdisjoint(
            {"numpy", "torch", "rich", "platformdirs", "deltackpt.chunkstore.transaction", "deltackpt.codec.decode"}
        )


def test_completion_knows_commands_and_refs(tmp_path: Path, history: Store) -> None:
    script = program("completion", "bash", cwd=tmp_path)
    assert script.code == 0
    assert "_DELTACKPT_COMPLETE=bash_complete" in script.out

    def complete(words: str) -> list[str]:
        asked = {"_DELTACKPT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        done = program(cwd=tmp_path, DELTACKPT_STORE=history.path, **asked)
        return [line.partition(",")[2] for line in done.lines if line]

    assert complete("deltackpt ch") == ["checkout"]
    assert complete("deltackpt show ") == ["latest", "dev", "main", "try"]
    assert complete("deltackpt diff main d") == ["dev"]
    assert complete("deltackpt branch -d ") == ["dev", "main"]
    assert complete("deltackpt tag -d ") == ["try"]
    assert complete("deltackpt commit f --branch m") == ["main"]
    assert complete("deltackpt checkout dev --part m") == ["model"]
    assert complete("deltackpt help st") == ["stats"]
    assert complete("deltackpt help ref") == ["refs"]
    assert complete(f"deltackpt show {history.path}#t") == [f"{history.path}#try"]
    assert complete("deltackpt show nowhere#t") == []
    assert complete(f"deltackpt checkout {history.path}#main --part m") == ["model"]
