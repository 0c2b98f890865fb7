"""What each command does and prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_program import Cli
from safetensors.numpy import load_file, save_file

from deltackpt import Store


@pytest.fixture(autouse=True)
def _here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands work on the store with history, where a test has one."""
    if "history" in request.fixturenames:
        history: Store = request.getfixturevalue("history")
        request.getfixturevalue("cli")
        monkeypatch.setenv("DELTACKPT_STORE", history.path)


def without_times(lines: list[str]) -> list[str]:
    return [re.sub(r"  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d|  +\+[\d.]+ \w+", "", line) for line in lines]


def test_init_makes_one_store_only(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "ckpts"
    assert cli("init", folder, "--json").document == {"store": str(folder), "index": str(folder / "index")}
    again = cli("init", folder)
    assert (again.code, again.err) == (2, f"deltackpt: '{folder}' holds a store already; open it instead\n")


def test_an_empty_store_says_what_to_do(cli: Cli) -> None:
    cli("init")
    assert cli("log").out == "no commits yet; make one with `deltackpt commit`\n"
    assert cli("log", "--json").document == []
    assert cli("branch").out == ""
    assert cli("gc").out == "nothing to collect\n"
    assert cli("stats").code == 0
    shown = cli("show")
    assert (shown.code, shown.err) == (
        3,
        "deltackpt: the store has no commits yet; make one with `deltackpt commit`\n",
    )


def test_log_draws_branches(cli: Cli, history: Store) -> None:
    ids = {commit.step: commit.id.short for commit in history.log()}
    assert without_times(cli("log").lines) == [
        f"* {ids[25]}  step 25  (dev, tag: try)",
        f"| * {ids[30]}  step 30  (main)  loss 0.03333  at 30",
        "|/",
        f"* {ids[20]}  step 20  loss 0.05  at 20",
        f"* {ids[10]}  step 10  loss 0.1  at 10",
    ]
    assert [line.split()[1] for line in cli("log", "main~1").lines] == [ids[20], ids[10]]
    assert [line.split()[1] for line in cli("log", "-n", "1").lines] == [ids[25]]


def test_log_says_what_each_commit_added(cli: Cli, history: Store) -> None:
    newest = next(history.log("main"))
    assert f"  +{newest.stored_bytes / 1000:.2f} kB  " in cli("log", "main").lines[0]
    first = cli("log", "main", "--json").document[0]
    assert first["id"] == str(newest.id)
    assert first["stored_bytes"] == newest.stored_bytes
    assert (first["branches"], first["tags"], first["parents"]) == (["main"], [], [str(newest.parents[0])])
    assert first["message"] == "at 30\nmore"


def test_log_marks_what_is_not_healthy(cli: Cli, history: Store) -> None:
    state: dict[str, Any] = {"model": {"w": np.full(100, np.nan, np.float32)}}
    history.commit(state, step=40, metrics={"loss": float("nan"), "top": float("inf")})
    history.commit(state, step=50)
    lines = cli("log", "main").lines
    assert "  UNHEALTHY: still non-finite" in lines[0]
    assert "  UNHEALTHY: 1 tensor became non-finite  loss nan  top inf" in lines[1]
    assert "UNHEALTHY" not in lines[2]
    document = cli("show", "step:40", "--json").document
    assert document["metrics"] == {"loss": "NaN", "top": "Infinity"}
    assert (document["healthy"], document["nonfinite"]) == (False, ["model/w"])
    assert "health      UNHEALTHY: 1 tensor became non-finite" in cli("show", "step:40").lines


def test_show_lists_facts_and_tensors(cli: Cli, history: Store) -> None:
    commit = history.resolve("main")
    lines = cli("show", "main").lines
    assert lines[0] == f"commit {commit.id} (main)"
    assert "branch      main" in lines
    assert "step        30" in lines
    assert f"parents     {commit.parents[0].short}" in lines
    assert "metrics     loss 0.03333" in lines
    assert "holds       weights-only" in lines
    assert lines[lines.index("    at 30") + 1] == "    more"
    assert lines[lines.index("config") + 1] == "  seed: 1"
    table = lines[lines.index("") + 1 :]
    assert table[0].split() == ["tensor", "type", "shape", "plain", "stored", "how"]
    rows = {line.split()[0]: line for line in table[1:-1]}
    assert re.fullmatch(r"model/w +float32 +64 x 64 +16\.4 kB +\S+ k?B +delta \(rank \d\)", rows["model/w"])
    assert re.fullmatch(r"model/frozen +float32 +64 x 64 +16\.4 kB +\S+ kB +shared", rows["model/frozen"])
    assert re.fullmatch(r"model/b +float32 +4 +16 B +16 B +inline", rows["model/b"])
    assert table[-1].startswith("3 tensors, 32.8 kB plain, ")


def test_show_as_json_adds_tensors_and_what_is_kept_beside(cli: Cli, history: Store) -> None:
    document = cli("show", "dev", "--json").document
    assert document["config"] == {"seed": 2}
    assert document["environment"]["python"].startswith("3.")
    assert (document["meta"], document["tags"]) == ({}, ["try"])
    tensors = {tensor["name"]: tensor for tensor in document["tensors"]}
    assert tensors["model/frozen"]["kept"] == "shared"
    assert tensors["model/frozen"]["chunks"] == {"shared": 1}
    assert tensors["model/w"]["shape"] == [64, 64]
    assert tensors["model/b"]["stored_bytes"] == 16


def test_show_says_how_much_of_a_file_is_typed(cli: Cli, history: Store, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    save_file({"w": np.arange(1000, dtype=np.float32)}, tmp_path / "folder/model.safetensors")
    (tmp_path / "folder/notes.txt").write_bytes(bytes(range(65, 91)) * 100)
    whole = sum(path.stat().st_size for path in (tmp_path / "folder").iterdir())
    history.commit_path(tmp_path / "folder", branch="files")
    document = cli("show", "files", "--json").document
    assert (document["typed_bytes"], document["file_bytes"]) == (4000, whole)
    assert cli("show", "files").lines[-1] == f"typed as tensors: {400_000 / whole:.1f} % of 6.67 kB in files"
    live = cli("show", "main", "--json").document
    assert (live["typed_bytes"], live["file_bytes"]) == (None, None)


def test_diff_tells_tensors_values_configuration_and_metrics_apart(cli: Cli, history: Store) -> None:
    lines = cli("diff", "main", "dev").lines
    old, new = history.resolve("main"), history.resolve("dev")
    assert lines[:7] == [
        f"from {old.description} to {new.description}",
        "metrics",
        "  loss  0.0333333  ->  absent",
        "config",
        "  seed  1  ->  2",
        "values",
        "  lr  0.0333333  ->  0.04",
    ]
    assert lines[7].split() == ["changed", "type", "shape", "values", "L2", "max"]
    assert re.fullmatch(r"model/w +float32 +64 x 64 +\S+ %  +0\.0032\d*  +5\.0\d*e-05", lines[8])
    assert lines[9:] == ["3 tensors: 1 changed, 0 added, 0 removed, 2 the same"]


def test_diff_lists_the_largest_changes_first(cli: Cli, history: Store) -> None:
    history.commit({"a": np.zeros(100), "b": np.zeros(100), "gone": np.zeros(3), "c": np.zeros(4)}, step=40)
    history.commit({"a": np.ones(100), "b": np.full(100, 2.0), "new": np.zeros(3), "c": np.zeros((2, 2))}, step=50)
    lines = cli("diff", "main~1", "main").lines
    assert lines[1:3] == ["- gone", "+ new"]
    assert [line.split()[0] for line in lines[4:7]] == ["b", "a", "c"]
    assert re.fullmatch(r"b +float64 +100 +100.0 % +20 +2", lines[4])
    assert lines[6].split()[-3:] == ["was", "float64", "[4]"]
    assert lines[7] == "5 tensors: 3 changed, 1 added, 1 removed, 0 the same"
    assert cli("diff", "main~1", "main", "-n", "1").lines[5] == "... and 2 tensors that changed less"
    changed = cli("diff", "main~1", "main", "--json").document["changed"][0]
    assert (changed["name"], changed["fraction"], changed["l2"], changed["max"]) == ("b", 1.0, 20.0, 2.0)


def test_checkout_of_a_part_is_ready_for_load_state_dict(cli: Cli, history: Store, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    document = cli("checkout", "dev", "--part", "model", "-o", file, "--json").document
    assert document == {
        "file": str(file),
        "bytes": file.stat().st_size,
        "commit": str(history.resolve("dev").id),
        "step": 25,
        "part": "model",
    }
    loaded = load_file(file)
    assert sorted(loaded) == ["b", "frozen", "w"]
    np.testing.assert_array_equal(loaded["w"], history.load("dev")["model"]["w"])

    refused = cli("checkout", "dev", "-o", file)
    assert refused.code == 2
    assert refused.err.endswith("exists already; replace it with --force (force=True), or choose another target\n")
    assert cli("checkout", "dev", "-o", file, "--force").code == 0
    assert sorted(load_file(file)) == ["model/b", "model/frozen", "model/w"]
    assert cli("checkout", "dev", "--part", "optimizer", "-o", file, "--force").code == 3


def test_branches_are_listed_begun_moved_and_deleted(cli: Cli, history: Store) -> None:
    ids = {commit.step: commit.id.short for commit in history.log()}
    assert cli("branch").lines == [
        f"dev   {ids[25]}  step 25",
        f"main  {ids[30]}  step 30  loss 0.03333  at 30",
    ]
    assert cli("branch", "side", "main~2").lines == [f"side  {ids[10]}  step 10  loss 0.1  at 10"]
    assert cli("branch", "side", "main").code == 2
    assert cli("branch", "side", "main", "--force").code == 0
    assert history.resolve("side").step == 30
    assert cli("branch", "-d", "side").out == "deleted branch side\n"
    assert [branch["name"] for branch in cli("branch", "--json").document] == ["dev", "main"]
    assert cli("branch", "side", "main").code == 0
    assert cli("branch", "-d", f"{history.path}#side").out == "deleted branch side\n"
    assert "side" not in history.branches()


def test_tags_are_listed_set_moved_and_deleted(cli: Cli, history: Store) -> None:
    assert [tag["name"] for tag in cli("tag", "--json").document] == ["try"]
    assert cli("tag", "best", f"{history.path}#min:loss").code == 0
    assert history.resolve("best").step == 30
    assert cli("tag", "best", "main~1", "--force").code == 0
    assert history.tags()["best"].step == 20
    assert cli("tag", "-d", "best").out == "deleted tag best\n"
    assert list(history.tags()) == ["try"]
    assert cli("tag", "-d", f"{history.path}#try").out == "deleted tag try\n"
    assert history.tags() == {}
    assert cli("tag", "-d", f"{history.path}-none#try").code == 3


def test_stats_add_up(cli: Cli, history: Store) -> None:
    found = cli("stats", "--json").document
    saved = found["dedup_saved"] + found["delta_saved"] + found["planes_saved"]
    assert found["logical_bytes"] - saved == found["data_bytes"]
    assert found["dedup_saved"] == 3 * (64 * 64 * 4)
    assert found["parts"]["model"]["logical_bytes"] == found["logical_bytes"] == 4 * (2 * 64 * 64 * 4 + 16)
    lines = cli("stats").lines
    assert lines[0].split() == ["part", "committed", "dedup", "deltas", "planes", "stored", "ratio"]
    assert lines[1].split()[:3] == ["model", "131", "kB"]
    assert any(re.fullmatch(r"saved by deduplication +-49\.2 kB +-37\.5 %", line) for line in lines)
    assert lines[-1] == "no garbage"


def test_gc_says_first_and_frees_then(cli: Cli, history: Store) -> None:
    cli("tag", "-d", "try")
    cli("branch", "-d", "dev")
    waiting = cli("stats").lines[-1]
    assert waiting.endswith("of garbage waits for `deltackpt gc`") or waiting == "no garbage"
    planned = cli("gc", "--dry-run", "--json").document
    assert (planned["dry_run"], len(planned["dropped_commits"])) == (True, 1)
    assert len(cli("log", "--json").document) == 4
    done = cli("gc", "--json").document
    assert done == {**planned, "dry_run": False}
    assert len(cli("log", "--json").document) == 3
    assert cli("gc").out == "nothing to collect\n"


def test_verify_passes_a_sound_store_and_names_damage(cli: Cli, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELTACKPT_STORE", store.path)
    store.commit({"model": {"w": np.random.default_rng(0).standard_normal(200_000)}}, step=1)
    assert cli("verify").lines[-1].startswith("all good: 1 commit, 1 pack, ")
    assert cli("verify", "--data", "--json").document["ok"] is True
    (pack,) = Path(store.path, "packs").glob("*/*.pack")
    data = bytearray(pack.read_bytes())
    data[1000] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(data)
    assert cli("verify").code == 0
    found = cli("verify", "--data")
    assert found.code == 5
    assert found.lines[0].startswith("PROBLEM chunk ")
    assert found.lines[1].endswith("part 'model': 'model/w'")
    assert found.lines[-1].startswith("1 problem: ")
    assert found.err == ""


def test_commit_takes_everything_that_describes_it(cli: Cli, history: Store, tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    save_file({"w": np.ones(1000, np.float32)}, file)
    described = [
        "--step",
        "15",
        "--metric",
        "loss=0.5",
        "--metric",
        "acc=nan",
        "-m",
        "note",
        "--tag",
        "t1",
        "--tag",
        "t2",
    ]
    done = cli("commit", file, *described, "--branch", "retry", "--parent", "step:10", "--on-conflict", "rebase")
    commit = history.resolve("retry")
    assert done.lines[0].startswith(f"[retry {commit.id.short}] step 15, 4.00 kB, +")
    assert (commit.step, commit.message, commit.metrics["loss"]) == (15, "note", 0.5)
    assert commit.parents == (history.resolve("step:10").id,)
    assert history.resolve("t1").id == history.resolve("t2").id == commit.id
    assert cli("commit", file, "--metric", "loss").err == (
        "deltackpt: --metric 'loss' is not NAME=NUMBER, such as val_loss=2.34\n"
    )
    earlier = cli("commit", file, "--branch", "retry", "--step", "3")
    assert earlier.code == 2
    assert "step 3 is not after step 15" in earlier.err


def test_help_explains_refs_and_commands(cli: Cli) -> None:
    assert "dev@step:1000" in cli("help", "refs").out
    assert cli("help", "log").out.startswith("Usage: deltackpt log")
    assert cli("help").out == cli("--help").out
    assert cli("--version").out.startswith("deltackpt ")


def test_annotate_adds_metrics_and_undo_takes_them_back(cli: Cli, history: Store) -> None:
    said = cli("--store", history.path, "annotate", "step:20", "--metric", "accuracy=0.5", "--metric", "bleu=7")
    assert said.lines == [f"commit {history.resolve('step:20').description}: loss 0.05  accuracy 0.5  bleu 7"]
    assert history.resolve("max:accuracy").step == 20
    assert cli("--store", history.path, "undo").code == 0
    assert "accuracy" not in history.resolve("step:20").metrics
    assert cli("--store", history.path, "annotate", "step:20", "--metric", "accuracy").code == 2


def test_log_sorts_and_filters(cli: Cli, history: Store) -> None:
    def steps(*arguments: str) -> list[int]:
        return [commit["step"] for commit in cli("--store", history.path, "log", *arguments, "--json").document]

    assert steps("--sort", "loss") == [30, 20, 10]
    assert steps("--sort=-step") == [30, 25, 20, 10]
    assert steps("--where", "loss > 0.04 and step < 20") == [10]
    assert steps("--sort=-loss", "--where", "step > 10", "-n", "1") == [20]
    assert "step 10" in cli("--store", history.path, "log", "--sort", "loss").lines[-1]
    assert cli("--store", history.path, "log", "--sort", "other").lines == ["no commit has that metric"]
    assert cli("--store", history.path, "log", "--where", "loss <").code == 2


def test_log_of_no_commits_at_all_and_of_none_asked_for(cli: Cli, history: Store) -> None:
    assert cli("log", "-n", "0").lines == []
    assert len(cli("log", "-n", "2").lines) >= 2


def test_whatever_else_is_kept_beside(cli: Cli, history: Store, tmp_path: Path) -> None:
    save_file({"w": np.ones(3)}, tmp_path / "m.safetensors")
    (tmp_path / "notes.json").write_text('{"node": "a7", "tries": [1, 2]}')
    done = cli("commit", tmp_path / "m.safetensors", "--step", 99, "--meta", tmp_path / "notes.json")
    assert done.code == 0
    assert history.resolve("main").meta == {"node": "a7", "tries": [1, 2]}


def test_checkout_keeps_stored_names_when_told(cli: Cli, history: Store, tmp_path: Path) -> None:
    history.commit({"model": {"module.w": np.ones(3)}}, step=99)
    for names, expected in (("module", ["w"]), ("stored", ["module.w"])):
        target = tmp_path / f"{names}.safetensors"
        assert cli("checkout", "main", "--part", "model", "--names", names, "-o", target).code == 0
        assert list(load_file(target)) == expected


def test_average_makes_a_commit_or_a_file(cli: Cli, history: Store, tmp_path: Path) -> None:
    said = cli("average", "step:10", "step:20", "--weight", "1", "--weight", "3", "-o", "averaged", "-m", "soup")
    assert (said.code, said.lines[0].split()[0], said.lines[0].rpartition(": ")[2]) == (0, "[averaged", "soup")
    assert history.resolve("averaged").step == 20
    target = tmp_path / "mean.safetensors"
    assert (
        cli("average", "main~2..main", "--ema", "0.5", "-o", target, "--json").document["bytes"]
        == target.stat().st_size
    )
    assert cli("average", "main", "-o", target).code == 2
    assert cli("average", "main", "-o", target, "--force", "--step", "3").code == 2
