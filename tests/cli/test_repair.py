"""``repair`` from the outside: the plan, the deed, documents and exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from cli_program import Cli
from disks import damage, log_file, packs

from deltackpt import Store


@pytest.fixture
def run(store: Store) -> Store:
    """Three steps, a pack each."""
    noise = np.random.default_rng(3)
    for step in (1, 2, 3):
        store.commit({"w": noise.standard_normal(120_000).astype(np.float32), "n": step}, step=step)
    return store


def test_nothing_to_repair(cli: Cli, run: Store) -> None:
    done = cli("--store", run.path, "repair")
    assert (done.code, done.out) == (0, "nothing to repair\n")


def test_a_plan_the_deed_and_the_cure(cli: Cli, run: Store, tmp_path: Path) -> None:
    cli("--store", run.path, "checkout", "step:2", "-o", str(tmp_path / "two.safetensors"))
    held = [run.reader(f"step:{step}").tensor("w").numpy().tobytes() for step in (1, 2, 3)]
    place = run._repository.chunks.look(lambda view: {at.pack for _, at in view.chunks()})
    assert len(place) == 3
    [damaged] = [path for path in packs(run) if _commit_of(run, path) == 2]
    damage(damaged)
    planned = cli("--store", run.path, "repair")
    assert planned.code == 5
    assert re.match(r"DAMAGE chunk [0-9a-f]{12} in '.*\.pack' at byte \d+: checksum does not match$", planned.lines[0])
    assert planned.lines[2] == f"  to be kept in quarantine: {damaged}"
    assert any("(step 2), part '': 'w'" in line for line in planned.lines)
    assert planned.lines[-2].startswith("  `deltackpt repair --from` a copy brings back what is lost, or a commit")
    assert planned.lines[-1].endswith("is lost: run `deltackpt repair --execute`")
    assert damaged.exists()

    done = cli("--store", run.path, "repair", "--execute", "--json")
    assert done.code == 5
    assert (done.document["ok"], done.document["executed"], done.document["complete"]) == (False, True, True)
    assert done.document["losses"][0]["affects"][0]["tensors"] == ["w"]
    assert not damaged.exists()
    assert damaged.name in cli("--store", run.path, "doctor").out
    refused = cli("--store", run.path, "checkout", "step:2", "-o", str(tmp_path / "again.safetensors"))
    assert refused.code == 5
    assert "tensor 'w'" in refused.err
    assert "deltackpt repair --from" in refused.err

    healed = cli("--store", run.path, "repair", "--execute", "--from", str(tmp_path / "two.safetensors"))
    assert healed.code == 0
    assert healed.lines[-1] == "mended 1 damage; nothing is lost"
    assert [run.reader(f"step:{step}").tensor("w").numpy().tobytes() for step in (1, 2, 3)] == held


def test_a_damaged_log(cli: Cli, run: Store) -> None:
    damage(log_file(run, 2))
    assert "`deltackpt repair`" in cli("--store", run.path, "verify").out
    planned = cli("--store", run.path, "repair")
    assert planned.code == 5
    assert planned.lines[-1].startswith("what else may be damaged can be looked at when that is mended")
    assert cli("--store", run.path, "repair", "--execute").code == 0
    assert cli("--store", run.path, "verify", "--data").code == 0


def test_a_source_that_is_none(cli: Cli, run: Store) -> None:
    done = cli("--store", run.path, "repair", "--from", "nowhere")
    assert done.code == 2
    assert "nothing at 'nowhere'" in done.err


def _commit_of(run: Store, path: Path) -> int | None:
    """The step of the commit that a pack came with."""
    rows = run._repository.chunks.look(lambda view: view.packs())
    number = next(row.added for pack, row in rows.items() if str(pack) == path.stem)
    return next(
        commit.step
        for commit in run.log()
        if run._repository.chunks.look(
            lambda view, commit=commit: view.commit(commit.id)  # type: ignore[misc]
        ).number
        == number
    )
