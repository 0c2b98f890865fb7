"""Where a run goes on, and what it says about that."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from deltackpt import Checkpointer, CorruptError, InvalidInputError, Keep, NotFoundError, Store
from deltackpt.fs.kind import filesystem_kind
from deltackpt.history.provenance import environment

torch = pytest.importorskip("torch")

from trainee import Run, checkpointer, made  # noqa: E402 - it needs torch


def train(path: Path, steps: int, *, run: Run | None = None, which: str = "auto", **options: Any) -> Run:
    run = run or made()
    with checkpointer(run, str(path), **{"every": 2, "worker": "thread", **options}) as ckpt:
        ckpt.resume(which)
        for _ in ckpt.steps(steps):
            ckpt.log(loss=run.train_step())
    return run


def steps_of(path: Path, ref: str = "main") -> list[int | None]:
    with Store(path) as store:
        return [commit.step for commit in store.log(ref)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with steps 2, 4, 6."""
    train(tmp_path / "s", 6)
    return tmp_path / "s"


def test_a_fresh_store_says_where_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with checkpointer(made(), str(tmp_path / "s")) as ckpt:
        assert ckpt.resume("auto") == 0
    kind = filesystem_kind(str(tmp_path))
    assert (
        f"starting at step 0: no commits on branch 'main' in {tmp_path / 's'} ({kind}), which is empty" in caplog.text
    )


def test_must_fails_where_there_is_nothing(path: Path) -> None:
    with (
        checkpointer(made(), str(path), branch="other") as ckpt,
        pytest.raises(NotFoundError, match=r"branch 'other' has no commits in .*; there are branches main"),
    ):
        ckpt.resume("must")


def test_an_older_commit_rewinds_the_branch_and_the_line_that_is_left_stays(path: Path) -> None:
    before = steps_of(path)
    train(path, 5, which="step:2")
    assert (before, steps_of(path)) == ([6, 4, 2], [5, 4, 2])
    with Store(path) as store:
        (abandoned,) = [name for name in store.branches() if name.startswith("abandoned/main-")]
        assert [commit.step for commit in store.log(abandoned)] == [6, 4, 2]


def test_a_step_is_looked_up_on_the_runs_own_branch(path: Path) -> None:
    train(path, 3, branch="side")
    with checkpointer(made(), str(path), branch="side", worker="thread") as ckpt:
        assert ckpt.resume("step:2") == 2
        with pytest.raises(NotFoundError, match="branch 'side' has no commit at step 4"):
            ckpt.resume("step:4")
        assert ckpt.resume("main@step:4") == 4


def test_commits_that_are_not_finite_are_passed_over(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = made()
    with checkpointer(run, str(path), every=1, worker="thread") as ckpt:
        ckpt.resume()
        for _ in ckpt.steps(8):
            with torch.no_grad():
                run.model.emb.weight[3] = float("nan")
    assert "step 7 holds tensors that are not finite" in caplog.text
    with checkpointer(made(), str(path), worker="thread") as ckpt:
        assert ckpt.resume() == 6
    assert "(step 6), the last healthy commit: " in caplog.text
    assert "(step 8)" in caplog.text
    train(path, 8)
    assert steps_of(path) == [8, 6, 4, 2]


def test_a_damaged_commit_names_the_one_before_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = torch.nn.Linear(300, 300)
    with Checkpointer(tmp_path / "s", model=model, every=1, worker="thread") as ckpt:
        for step in ckpt.steps(3):
            with torch.no_grad():
                model.weight.normal_()
            if step == 2:
                ckpt.wait()
                before = set((tmp_path / "s" / "packs").rglob("*.pack"))
    (newest,) = set((tmp_path / "s" / "packs").rglob("*.pack")) - before
    newest.chmod(0o644)
    with newest.open("r+b") as file:
        file.seek(newest.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    with Checkpointer(tmp_path / "s", model=model, worker="thread") as ckpt:
        with pytest.raises(CorruptError, match="run `deltackpt verify`"):
            ckpt.resume()
        assert "is damaged; the one before it is" in caplog.text
        assert ckpt.resume(caplog.text.split("resume('")[1].split("'")[0]) == 2


def test_a_thinned_commit_names_the_nearest_full_one(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Store(path) as store:
        store.prune(Keep(optimizer=1))
        full = store.resolve("main").description
    with checkpointer(made(), str(path), worker="thread") as ckpt:
        with pytest.raises(
            NotFoundError, match="was thinned and lacks optimizer; the nearest full commit is"
        ) as caught:
            ckpt.resume("step:4")
        assert full in str(caught.value)
        assert ckpt.resume("step:4", optimizer="reset") == 4


def test_auto_takes_a_full_commit_where_the_newest_was_thinned(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from deltackpt.history.deletion import delete

    with Store(path) as store:
        delete(store._repository, [], [(store.resolve("main"), "optimizer")])
    with checkpointer(made(), str(path), worker="thread") as ckpt:
        assert ckpt.resume() == 4
    assert "(step 4), the last full commit: " in caplog.text


def test_what_is_different_is_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = made()
    train(tmp_path / "s", 2, run=run, config={"lr": 1e-2, "data": {"path": "a", "seed": 1}})
    train(tmp_path / "s", 3, config={"lr": 1e-2, "data": {"path": "b", "seed": 1}, "new": True})
    assert "config is different: data.path 'a' -> 'b', new None -> True" in caplog.text
    assert "environment is different" not in caplog.text


def test_a_commit_says_where_its_training_ran(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        with checkpointer(made(), str(tmp_path / "s"), worker="process") as ckpt:
            ckpt.resume()
            ckpt.save()
    assert "environment is different" not in caplog.text
    with Store(tmp_path / "s") as store:
        assert store.resolve("main").environment == environment()


def test_another_model_is_refused_by_name_and_nothing_changes(path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3))
    before = model[0].weight.clone()
    misfit = r"not stored: model/0\.weight, model/0\.bias; stored, but not here:"
    with Checkpointer(path, model=model, worker="thread") as ckpt, pytest.raises(InvalidInputError, match=misfit):
        ckpt.resume()
    assert torch.equal(model[0].weight, before)


def test_shapes_that_differ_are_named(path: Path) -> None:
    run = made()
    run.model.out = torch.nn.Linear(4 * 48, 50)
    with (
        Checkpointer(path, model=run.model, worker="thread") as ckpt,
        pytest.raises(InvalidInputError, match=r"model/out.weight \(stored \[48, 192\], here \[50, 192\]\)"),
    ):
        ckpt.resume()


def test_files_are_kept_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tok" / "deep").mkdir(parents=True)
    (tmp_path / "config.json").write_text('{"lr": 1}')
    (tmp_path / "tok" / "deep" / "vocab.txt").write_bytes(b"a\nb\n")
    files = ["config.json", "tok/"]
    train(tmp_path / "s", 2, files=files)
    (tmp_path / "config.json").write_text('{"lr": 2}')
    with checkpointer(made(), str(tmp_path / "s"), files=files, worker="thread") as ckpt:
        ckpt.resume()
        assert "files are not as they were: different: config.json" in caplog.text
        written = ckpt.restore_files(tmp_path / "back")
    assert sorted(Path(name).read_bytes() for name in written) == [b"a\nb\n", b'{"lr": 1}']
    assert (tmp_path / "back" / "tok" / "deep" / "vocab.txt").exists()


def test_files_that_cannot_be_kept_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"files=: .* cannot be read"):
        checkpointer(made(), str(tmp_path / "s"), files=[str(tmp_path / "nothing.json")])


def test_a_stored_file_never_leaves_its_folder(tmp_path: Path) -> None:
    from deltackpt.training.files import write_files

    for name in ("../evil", "/evil", "a/../../evil", ""):
        with pytest.raises(Exception, match="leads out of its folder"):
            write_files({name: b"x"}, str(tmp_path / "back"))


def test_a_new_branch_begins_with_the_weights_of_another(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "deltackpt")
    with Store(path) as store:
        base = store.resolve("min:loss")
        weights = store.load(base, part="model")
    run = made(seed=5)
    options = {"branch": "sft", "start_from": "main@min:loss", "load": ("model",), "worker": "thread", "every": 2}
    with checkpointer(run, str(path), **options) as ckpt:
        assert ckpt.resume() == 0
        assert torch.equal(run.model.emb.weight, weights["emb.weight"])
        assert run.optimizer.state == {}
        for _ in ckpt.steps(2):
            run.train_step()
    assert f"branch 'sft' begins from {base.description}" in caplog.text
    with Store(path) as store:
        line = list(store.log("sft"))
        assert (line[0].step, line[1].id) == (2, base.id)
        assert store.resolve("sft@step:2") == line[0]
    with checkpointer(made(), str(path), **options) as ckpt:
        assert ckpt.resume() == 2, "the same command goes on with its own branch"


def test_what_does_not_fit_a_new_branch_is_listed_refused_renamed_or_left_out(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Other(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(40, 48)
            self.out = torch.nn.Linear(7, 7)
            self.extra = torch.nn.Linear(2, 2)

    def started(**options: Any) -> torch.nn.Module:
        model = Other()
        start = {"branch": "sft", "start_from": "main", "load": ("model",), "worker": "thread"}
        with Checkpointer(path, model=model, **start, **options) as ckpt:
            ckpt.resume()
        return model

    with pytest.raises(InvalidInputError, match=r"not stored: model/embedding.weight.*strict=False takes what fits"):
        started()
    model = started(strict=False, rename={"emb": "embedding", "head": "gone"})
    with Store(path) as store:
        assert torch.equal(model.embedding.weight, store.load("main")["model"]["emb.weight"])
    assert "model/out.weight (stored [48, 192], here [7, 7])" in caplog.text
    with pytest.raises(InvalidInputError, match="load= names 'modle', and handed over were model"):
        Checkpointer(path, model=Other(), branch="sft", start_from="main", load=("modle",))
    with pytest.raises(InvalidInputError, match="two stored tensors one name"):
        started(strict=False, rename={"emb": "out", "block.0": "out"})
