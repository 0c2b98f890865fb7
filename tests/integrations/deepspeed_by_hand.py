"""The engine by hand, in one process: prints what a save does whose files are not all there. ``python ... FOLDER``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

os.environ |= {"DS_ACCELERATOR": "cpu"}

import torch
from deepspeed.runtime.checkpoint_engine.checkpoint_engine import CheckpointCommitInfo, CheckpointEngine

from deltackpt import InvalidInputError, StorageError, Store
from deltackpt.integrations.deepspeed import DeltackptEngine, attach, restore_folder


def tell(*what: object) -> None:
    sys.stdout.write(" ".join(map(str, what)) + "\n")


folder = Path(sys.argv[1])
engine = DeltackptEngine(store=folder / "store", folders="newest")
assert isinstance(engine, CheckpointEngine)
assert (engine.is_decoupled(), engine.preserves_storage_sharing(), engine.name) == (False, True, "DeltackptEngine")


def save(tag: str, value: float, *, lose: bool = False) -> None:
    info = CheckpointCommitInfo(tag=tag, save_dir=str(folder), save_latest=True)
    engine.create(info)
    engine.makedirs(str(folder / tag), exist_ok=True)
    path = folder / tag / "mp_rank_00_model_states.pt"
    engine.save({"module": {"w": torch.full((9,), value)}}, str(path))
    if lose:
        path.unlink()
    assert engine.commit(info) is True


def here() -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "store")


for number in range(4):
    save(f"global_step{number}", number)
tell(here())
try:
    save("global_step9", 9.0, lose=True)
except StorageError as error:
    tell(str(error).replace(str(folder), "FOLDER"))
info = CheckpointCommitInfo(tag="nowhere", save_dir=str(folder), save_latest=True)
engine.create(info)
engine.save(state_dict={"w": torch.ones(1)}, path=str(folder / "nowhere" / "mp_rank_00_model_states.pt"))
try:
    engine.commit(info)
except StorageError as error:
    tell(str(error).replace(str(folder), "FOLDER").partition(": ")[2].partition(" could not be written")[0])
save("best", 5.0)
save("best", 6.0)
with Store(folder / "store") as store:
    tell([(commit.step, commit.message) for commit in store.log("main")])
    tell(restore_folder(store, "main~1", folder / "again"), (folder / "again" / "latest").read_text())
    tell(engine.load(str(folder / "again" / "best" / "mp_rank_00_model_states.pt"))["module"]["w"][0].item())
    for ref in ("main~1", store.commit({"step": 1}, branch="other")):
        try:
            restore_folder(store, ref, folder / "again")
        except InvalidInputError as error:
            tell(str(error).partition(";")[0].replace(str(folder), "FOLDER")[-40:])
engine.cleanup()
try:
    attach(SimpleNamespace(checkpoint_engine=None), folder / "store")
except InvalidInputError as error:
    tell(error)
