"""A training that is asked to end saves where it stands, says so by its exit code, and goes on by the same command."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from patience import PATIENCE
from programs import Program

from deltackpt import Store

pytest.importorskip("torch")

from trainee import checkpointer, made

SLOW = "time.sleep(0.02)"


def heads(store: Path) -> tuple[int | None, str]:
    with Store(store) as opened:
        commit = opened.resolve("main")
    return commit.step, commit.message


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138), (signal.SIGINT, -signal.SIGINT)]
)
def test_the_loop_ends_after_a_durable_save_and_the_same_command_goes_on(
    tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    with Program(tmp_path, steps=400, body=SLOW, options="every=1000") as first:
        first.until("step 6")
        first.process.send_signal(sent)
        ended, rest = first.end()
        assert ended == code, first.errors
        assert "after" not in rest
        assert f"{sent.name}: saving step" in first.errors
    step, message = heads(first.store)
    assert step is not None
    assert (step, message) == (int(rest[-1].split()[1]) + 1 if rest else 7, sent.name)
    run = made()
    with checkpointer(run, str(first.store)) as ckpt:
        assert ckpt.resume() == step
        for _ in ckpt.steps(step + 2):
            run.train_step()
    assert heads(first.store) == (step + 2, "")


def test_a_handler_from_before_is_called_too(tmp_path: Path) -> None:
    before = "import signal; signal.signal(signal.SIGTERM, lambda *_: print('mine', flush=True))"
    with Program(tmp_path, steps=400, body=SLOW, options="every=1000", before=before) as program:
        program.until("step 3")
        program.process.terminate()
        code, rest = program.end()
    assert code == 143
    assert "mine" in rest


def test_a_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    interrupts = 'for word in ("first", "second"):\n signal.raise_signal(signal.SIGINT)\n print(word, flush=True)'
    body = f"exec({interrupts!r}) if step == 3 else None"
    with Program(tmp_path, steps=400, body=body, options="every=1000", before="import signal") as program:
        program.until("step 2")
        code, rest = program.end()
        assert (code, rest) == (-signal.SIGINT, ["first"])
        assert "KeyboardInterrupt" in program.errors


def test_a_long_evaluation_asks_for_itself(tmp_path: Path) -> None:
    waiting = 'if step == 3: print("evaluating", flush=True)\nwhile step == 3 and not ckpt.poll(): time.sleep(0.01)'
    body = f"exec({waiting!r})"
    with Program(tmp_path, steps=10, body=body, options="every=1000") as program:
        program.until("evaluating")
        program.process.terminate()
        assert program.end()[0] == 143
    assert heads(program.store) == (4, "SIGTERM")


def test_preempted_while_a_save_is_under_way(tmp_path: Path) -> None:
    """SIGTERM, and SIGKILL before the save is done: the save before it stands."""
    noise = "noise = torch.randn(8_000_000); extra = type('N', (), {'state_dict': lambda s: {'n': noise}, "
    noise += "'load_state_dict': lambda s, d: None})()"
    options = "every=1000, nice=19, extra={'ema': run.ema, 'noise': extra}"
    body = "ckpt.save(wait=True) if step == 2 else noise.add_(1e-3)"
    with Program(tmp_path, steps=400, body=body, options=options, before=noise) as program:
        program.until("step 3")
        program.process.terminate()
        program.process.kill()
        program.end()
    with Store(program.store) as store:
        assert store.verify(data=True).ok
        assert store.resolve("main").step is not None


def test_signals_go_back_to_whoever_had_them(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)]
    with checkpointer(made(), str(tmp_path / "s")):
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)] == before


def test_one_that_comes_after_the_last_step_still_ends_the_program(tmp_path: Path) -> None:
    def script() -> None:
        run = made()
        with checkpointer(run, str(tmp_path / "s"), worker="thread") as ckpt:
            for _ in ckpt.steps(2):
                run.train_step()
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as ended:
        script()
    assert ended.value.code == 143
    assert heads(tmp_path / "s")[0] == 2


def idle(trainer: Connection) -> None:
    trainer.send("here")
    time.sleep(10 * PATIENCE)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGUSR1])
def test_a_process_that_was_forked_ends_when_it_is_told_to(tmp_path: Path, sent: signal.Signals) -> None:
    before = signal.signal(sent, signal.SIG_DFL)
    try:
        with checkpointer(made(), str(tmp_path / "s")):
            ours, theirs = multiprocessing.Pipe()
            helper = multiprocessing.get_context("fork").Process(target=idle, args=(theirs,))
            helper.start()
            assert ours.recv() == "here"
            os.kill(helper.pid, sent)
            helper.join(PATIENCE)
    finally:
        signal.signal(sent, before)
    assert helper.exitcode == -sent


def test_those_of_a_cell_that_ran_again_go_back_as_well(tmp_path: Path) -> None:
    """Whichever of two is closed first, and when one never is."""
    mine: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: mine.append(number))
    try:
        first, second, dropped = (checkpointer(made(), str(tmp_path / "s")) for _ in range(3))
        first.close()
        second.close()
        signal.raise_signal(signal.SIGUSR1)
        assert dropped.poll()
        del dropped
        signal.raise_signal(signal.SIGUSR1)
        assert mine == [signal.SIGUSR1] * 2
    finally:
        signal.signal(signal.SIGUSR1, before)
