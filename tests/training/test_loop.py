"""The loop: when it saves, what it says, and what a save holds."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from programs import stopped_writer

from deltackpt import Checkpointer, InvalidInputError, Keep, Store

torch = pytest.importorskip("torch")

from trainee import Run, checkpointer, made  # noqa: E402 - it needs torch


@pytest.fixture
def run() -> Run:
    return made()


def trained(run: Run, folder: Path, steps: int, body: Any = None, **options: Any) -> Checkpointer:
    """Train to ``steps`` with ``body(ckpt, step)`` at the end of each step."""
    with checkpointer(run, str(folder / "s"), **{"worker": "thread", **options}) as ckpt:
        ckpt.resume()
        for step in ckpt.steps(steps):
            ckpt.log(loss=run.train_step())
            if body is not None:
                body(ckpt, step)
    return ckpt


def saved(folder: Path) -> dict[int, str]:
    """The steps that were saved, in order, with the message of each."""
    with Store(folder / "s") as store:
        return {commit.step: commit.message for commit in reversed(list(store.log("main")))}


def test_every_so_many_steps_and_at_the_end(run: Run, tmp_path: Path) -> None:
    trained(run, tmp_path, 7, every=3)
    assert saved(tmp_path) == {3: "", 6: "", 7: ""}


def test_every_so_much_time(run: Run, tmp_path: Path) -> None:
    """Of six steps the second and the fifth take an hour."""

    def body(ckpt: Checkpointer, step: int) -> None:
        ckpt._schedule._saved -= 3600.0 * (step in (1, 4))

    trained(run, tmp_path, 6, body, every=["60min", 1000])
    assert saved(tmp_path) == {2: "", 5: "", 6: ""}


@pytest.mark.parametrize("every", [0, -1, True, "soon", "10 parsecs", [100, "often"]])
def test_an_interval_that_makes_no_sense(run: Run, tmp_path: Path, every: Any) -> None:
    with pytest.raises(InvalidInputError, match="every is a number of steps"):
        checkpointer(run, str(tmp_path / "s"), every=every)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("name", ["on_busy", "on_error", "frozen", "worker", "memory"])
def test_a_word_that_none_of_the_choices_is(run: Run, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"^{name} is '\w+' or '\w+', not 'never'$"):
        checkpointer(run, str(tmp_path / "s"), **{name: "never"})


def test_a_better_metric_and_a_milestone_save_by_themselves(run: Run, tmp_path: Path) -> None:
    values = {2: 5.0, 4: 6.0, 5: 4.0, 6: float("nan"), 7: 4.0}

    def body(ckpt: Checkpointer, step: int) -> None:
        if step in values:
            ckpt.log(val_loss=torch.tensor(values[step], requires_grad=True))

    trained(run, tmp_path, 9, body, keep=Keep(best="min:val_loss", milestones=(8,), last=99))
    assert saved(tmp_path) == {3: "best val_loss", 6: "best val_loss", 8: "milestone", 9: ""}
    assert [c.metrics["val_loss"] for c in Store(tmp_path / "s").log() if "val_loss" in c.metrics] == [4.0, 4.0, 5.0]


def test_what_is_best_is_still_known_after_a_resume(run: Run, tmp_path: Path) -> None:
    keep = Keep(best="min:val", last=99)
    trained(run, tmp_path, 2, lambda ckpt, step: ckpt.log(val=1.0) if step == 1 else None, keep=keep)
    values = {2: 2.0, 3: 0.5, 5: 0.7}
    for steps in (3, 6):
        trained(run, tmp_path, steps, lambda ckpt, step: ckpt.log(val=values.get(step, 9.0)), keep=keep)
    assert saved(tmp_path) == {2: "best val", 3: "", 4: "best val", 6: ""}
    trained(run, tmp_path, 8, lambda ckpt, step: ckpt.log(val=0.6), keep=keep, every=1)
    assert saved(tmp_path)[7] == "", "better than the last commit, not than the best of the line"


def test_a_best_state_that_was_skipped_is_not_the_one_to_beat(tmp_path: Path) -> None:
    options = {"extra": {"noise": Noise(1 << 16)}, "keep": Keep(best="min:val", last=99)}
    with Checkpointer(tmp_path / "s", on_busy="skip", **options) as ckpt:
        ckpt.resume()
        ckpt.step(0, metrics={"val": 4.0})
        ckpt.wait()
        with stopped_writer():
            for step, value in enumerate([3.0, 1.0], 1):
                ckpt.step(step, metrics={"val": value})
        assert ckpt.skipped == 1
        ckpt.wait()
        ckpt.step(3, metrics={"val": 2.0})
    assert saved(tmp_path) == {1: "best val", 2: "best val", 4: "best val"}


def test_a_best_state_that_was_lost_is_not_the_one_to_beat(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep = Keep(best="min:val", last=99)
    with checkpointer(run, str(tmp_path / "s"), worker="thread", keep=keep, on_error="warn") as ckpt:
        ckpt.resume()
        ckpt.step(0, metrics={"val": 3.0})
        ckpt.wait()
        (tmp_path / "s").rename(tmp_path / "away")
        ckpt.step(1, metrics={"val": 1.0})
        ckpt.wait()
        (tmp_path / "away").rename(tmp_path / "s")
        assert "step 2 could not be saved" in caplog.text
        ckpt.step(2, metrics={"val": 4.0})
        ckpt.step(3, metrics={"val": 2.0})
    assert saved(tmp_path) == {1: "best val", 4: "best val"}


def test_a_late_metric_belongs_to_its_step(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def body(ckpt: Checkpointer, step: int) -> None:
        if step == 4:
            ckpt.log(step=1, bleu=7.0)
            ckpt.log(step=2, bleu=9.0)

    trained(run, tmp_path, 6, body, every=2)
    with Store(tmp_path / "s") as store:
        assert {c.step: c.metrics.get("bleu") for c in store.log("main")} == {2: 7.0, 4: None, 6: None}
        assert "loss" in store.resolve("step:2").metrics
    assert "step 3 was not saved, so its metrics bleu are not kept" in caplog.text


def test_metrics_belong_to_the_step_that_logged_them(run: Run, tmp_path: Path) -> None:
    trained(run, tmp_path, 4, lambda ckpt, step: ckpt.log(val=1.0) if step == 2 else None, every=2)
    with Store(tmp_path / "s") as store:
        assert [set(commit.metrics) for commit in store.log("main")] == [{"loss"}, {"loss"}]
    trained(made(), tmp_path / "odd", 3, lambda ckpt, step: ckpt.log(at=step), every=2)
    with Store(tmp_path / "odd" / "s") as store:
        assert store.resolve("main").metrics["at"] == 2, "also of a save after the last step"


def test_without_the_generator(run: Run, tmp_path: Path) -> None:
    with checkpointer(run, str(tmp_path / "s"), every=2, worker="thread") as ckpt:
        start = ckpt.resume()
        for step in range(start, 3):
            loss = run.train_step()
            assert ckpt.step(step, metrics={"loss": loss}) is False
        with pytest.raises(InvalidInputError, match="step 2 was completed already, the next is 3"):
            ckpt.step(2)
        ckpt.save(wait=True)
        ckpt.save()
        assert (ckpt.last.request.step, start) == (3, 0)
    assert set(saved(tmp_path)) == {2, 3}
    again = made()
    with checkpointer(again, str(tmp_path / "s"), worker="thread") as ckpt:
        assert ckpt.resume("must") == 3
        assert torch.equal(again.model.emb.weight, run.model.emb.weight)
    for late in (ckpt.save, lambda: ckpt.step(3)):
        with pytest.raises(InvalidInputError, match="closed; save before its with block ends"):
            late()


def test_a_loop_that_is_left_says_what_is_saved(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with checkpointer(run, str(tmp_path / "s"), every=2, worker="thread") as ckpt:
        for step in ckpt.steps(9):
            if step == 3:
                break
    assert "left within step 3; saved are 2 completed steps, save() after the loop adds it" in caplog.text
    assert set(saved(tmp_path)) == {2}


@pytest.mark.parametrize("within", [True, False])
def test_what_a_loop_has_done_when_it_is_left_is_saved_if_that_is_asked_for(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, within: bool
) -> None:
    """As in early stopping; a commit of the steps before is there already, and is another one."""
    with checkpointer(run, str(tmp_path / "s"), every=1, worker="thread") as ckpt:
        for step in ckpt.steps(9):
            ckpt.log(loss=run.train_step(), at=step)
            if step == 3:
                if within:
                    ckpt.save()
                break
        if not within:
            ckpt.save()
    with Store(tmp_path / "s") as store:
        commit = store.resolve("main")
        assert (commit.step, commit.metrics["at"]) == (4, 3)
        assert torch.equal(store.load("main", part="model")["emb.weight"], run.model.emb.weight)
    assert ("left within step 3" in caplog.text) is not within
    caplog.clear()
    again = made()
    with checkpointer(again, str(tmp_path / "s"), worker="thread") as ckpt:
        assert ckpt.resume("must") == 4
        assert list(ckpt.steps(5)) == [4]


def test_a_loop_that_was_left_can_be_taken_up_again(run: Run, tmp_path: Path) -> None:
    with checkpointer(run, str(tmp_path / "s"), worker="thread") as ckpt:
        for step in ckpt.steps(4):
            if step == 2:
                break
        assert list(ckpt.steps(4)) == [2, 3]
    assert set(saved(tmp_path)) == {4}


def test_save_within_a_step_holds_the_whole_step(run: Run, tmp_path: Path) -> None:
    kept = {}

    def body(ckpt: Checkpointer, step: int) -> None:
        kept[step + 1] = run.model.emb.weight.clone()
        if step in (0, 2):
            ckpt.save(wait=step == 2)

    trained(run, tmp_path, 5, body, every=2)
    assert set(saved(tmp_path)) == {1, 2, 3, 4, 5}
    with Store(tmp_path / "s") as store:
        for step, weights in kept.items():
            assert torch.equal(store.load(f"step:{step}", part="model")["emb.weight"], weights)


def test_a_branch_with_commits_is_not_written_over_from_step_0(run: Run, tmp_path: Path) -> None:
    trained(run, tmp_path, 2)
    with (
        checkpointer(run, str(tmp_path / "s"), worker="thread") as ckpt,
        pytest.raises(InvalidInputError, match=r"branch 'main' has commits already; call resume\(\) first"),
    ):
        ckpt.step(0)


def test_a_save_holds_everything_of_its_step(run: Run, tmp_path: Path) -> None:
    trained(run, tmp_path, 3, lambda ckpt, step: setattr(ckpt, "epoch", step), config={"lr": 1e-2})
    with Store(tmp_path / "s") as store:
        state, commit = store.load("main"), store.resolve("main")
    assert list(state) == ["model", "optimizer", "scheduler", "ema", "rng", "dataloader", "facts", "step", "epoch"]
    assert (state["step"], state["epoch"], commit.config, commit.holds) == (3, 2, {"lr": 1e-2}, "full")
    assert state["facts"]["optimizer"]["parameters"][0][:2] == ["emb.weight", "block.0.weight"]
    assert state["rng"]["0"]["torch"].equal(torch.get_rng_state())
    assert commit.meta["training"]["ranks"] == 1


def test_nothing_is_written_while_writes_are_paused(run: Run, tmp_path: Path) -> None:
    with checkpointer(run, str(tmp_path / "s"), every=2, worker="thread") as ckpt:
        ckpt.resume()
        with ckpt.paused_writes():
            for step in range(5):
                run.train_step()
                ckpt.step(step)
            assert ckpt.store.branches() == {}
        run.train_step()
        ckpt.step(5)
        run.train_step()
        ckpt.step(6)
    assert set(saved(tmp_path)) == {6}


@pytest.mark.parametrize("worker", ["process", "thread"])
def test_a_pause_begins_when_the_policy_has_deleted(tmp_path: Path, worker: str) -> None:
    keep = Keep(last=1)
    with Checkpointer(tmp_path / "s", extra={"noise": Noise(1 << 16)}, every=1, keep=keep, worker=worker) as ckpt:
        ckpt.resume()
        for step in range(3):
            ckpt.step(step)
        with ckpt.paused_writes():
            before = sorted(path.name for path in (tmp_path / "s").rglob("*"))
            assert set(saved(tmp_path)) == {3}
            ckpt.step(3)
            assert sorted(path.name for path in (tmp_path / "s").rglob("*")) == before


def test_what_fell_due_in_a_pause_is_saved_after_it(run: Run, tmp_path: Path) -> None:
    with checkpointer(run, str(tmp_path / "s"), every=3, worker="thread") as ckpt:
        ckpt.resume()
        with ckpt.paused_writes():
            for step in range(4):
                ckpt.step(step)
        ckpt.step(4)
    assert set(saved(tmp_path)) == {5}


def test_a_commit_after_a_pause_is_not_called_what_one_within_would_have_been(run: Run, tmp_path: Path) -> None:
    keep = Keep(best="min:val", last=99, milestones=(3,))
    with checkpointer(run, str(tmp_path / "s"), keep=keep, worker="thread") as ckpt:
        ckpt.resume()
        with ckpt.paused_writes():
            ckpt.step(0, metrics={"val": 1.0})
            ckpt.step(1)
        ckpt.step(2)
        with ckpt.paused_writes():
            ckpt.step(3, metrics={"val": 0.5})
        ckpt.step(4)
        ckpt.step(5, metrics={"val": 0.8})
    assert saved(tmp_path) == {3: "milestone", 5: "", 6: "best val"}


def test_a_busy_writer_is_waited_for_or_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    extra = {"noise": Noise(1 << 20)}
    with Checkpointer(tmp_path / "wait" / "s", extra=extra, every=1) as ckpt:
        ckpt.resume()
        for step in range(5):
            ckpt.step(step)
    assert (set(saved(tmp_path / "wait")), ckpt.skipped) == ({1, 2, 3, 4, 5}, 0)
    with Checkpointer(tmp_path / "skip" / "s", extra=extra, every=1, on_busy="skip") as ckpt:
        ckpt.resume()
        ckpt.step(0)
        ckpt.wait()
        with stopped_writer():
            for step in range(1, 5):
                ckpt.step(step)
    assert (set(saved(tmp_path / "skip")), ckpt.skipped) == ({1, 2}, 3)
    assert "is not saved: the save before it is still being written (1 so far)" in caplog.text


class Noise:
    """A state of so many bytes that changes whenever it is saved."""

    def __init__(self, nbytes: int) -> None:
        self.values = torch.randn(nbytes // 4)

    def state_dict(self) -> dict[str, Any]:
        self.values = self.values + 1e-3
        return {"values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values = state["values"]


def test_each_commit_is_a_line_of_the_log_and_numbers_for_whoever_draws_them(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "deltackpt")
    drawn: list[tuple[int, dict[str, float]]] = []
    trained(run, tmp_path, 4, every=2, scalars=lambda step, numbers: drawn.append((step, dict(numbers))))
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("step ")]
    assert [line.partition(":")[0] for line in lines] == ["step 2", "step 4"]
    assert all("MB plain" in line and "stalled" in line and "s in the background" in line for line in lines)
    assert [step for step, _ in drawn] == [2, 4]
    assert set(drawn[0][1]) == {"plain_bytes", "stored_bytes", "ratio", "stall_ms", "background_s"}


def test_numbers_go_to_a_summary_writer(run: Run, tmp_path: Path) -> None:
    class Writer:
        def __init__(self) -> None:
            self.seen: set[str] = set()

        def add_scalar(self, name: str, value: float, step: int) -> None:
            self.seen.add(name)

    writer = Writer()
    trained(run, tmp_path, 2, scalars=writer)
    assert "checkpoint/stall_ms" in writer.seen


def test_the_policy_is_applied_beside_the_training(run: Run, tmp_path: Path) -> None:
    for worker in ("thread", "process"):
        folder = tmp_path / worker
        folder.mkdir()
        trained(made(), folder, 12, every=1, keep=Keep(last=2, every=5, optimizer=1), worker=worker)
        assert set(saved(folder)) == {5, 10, 11, 12}
        with Store(folder / "s") as store:
            assert [commit.holds for commit in store.log("main")] == ["full", *["weights-only"] * 3]
            left = store.gc(dry_run=True)
            assert left.freed_bytes < 0.2 * max(1, left.removed_bytes) or left.empty, "and what it left was freed"
            assert store.verify(data=True).ok
