"""What Transformers, Lightning, Accelerate and torch.distributed.checkpoint leave behind, named by its folder."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn

from deltackpt import Store
from deltackpt.adoption.estimate import estimate
from deltackpt.adoption.found import find_checkpoints

STEPS = (10, 20, 30, 40)


def transformers(run: Path) -> list[int | None]:
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

    rows = [{"input_ids": ids, "labels": ids} for ids in torch.randint(64, (64, 12))]
    arguments = TrainingArguments(
        str(run),
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        max_steps=STEPS[-1],
        save_steps=10,
        logging_steps=5,
        eval_strategy="steps",
        eval_steps=10,
        load_best_model_at_end=True,
        per_device_train_batch_size=4,
    )
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=128, n_layer=2, n_head=2))
    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows[:8])
    trainer.train()
    trainer.save_model()
    trainer.save_state()
    trainer.create_model_card()
    return [*STEPS, None]


def lightning(run: Path) -> list[int | None]:
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger

    class Trainee(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(256, 512)
            self.save_hyperparameters()

        def training_step(self, batch: torch.Tensor, _: int) -> torch.Tensor:
            return self.layer(batch).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters())

    Trainer(
        max_epochs=4,
        logger=CSVLogger(run),
        callbacks=[ModelCheckpoint(save_top_k=-1, save_last=True)],
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    ).fit(Trainee(), torch.utils.data.DataLoader(torch.randn(80, 256), batch_size=8))  # type: ignore[arg-type]
    return [*STEPS, None]


def accelerate(run: Path) -> list[int | None]:
    from accelerate import Accelerator
    from accelerate.utils import ProjectConfiguration

    accelerator = Accelerator(cpu=True, project_config=ProjectConfiguration(str(run), automatic_checkpoint_naming=True))
    model, optimizer = accelerator.prepare(layer := nn.Linear(256, 256), torch.optim.AdamW(layer.parameters()))
    for _ in range(4):
        accelerator.backward(model(torch.randn(4, 256)).square().mean())
        optimizer.step()
        accelerator.save_state()
    return [0, 1, 2, 3]


def distributed(run: Path) -> list[int | None]:
    weight = torch.randn(256, 256)
    for step in STEPS:
        dcp.save({"model": {"w": weight + step * 1e-5}, "step": step}, checkpoint_id=run / f"step-{step}", no_dist=True)
    return list(STEPS)


@pytest.mark.parametrize("train", [transformers, lightning, accelerate, distributed])
def test_a_real_run_is_imported_removed_and_comes_back(
    store: Store, tmp_path: Path, train: Callable[[Path], list[int | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    run = tmp_path / "run"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steps = train(run)
    kept = Path(shutil.copytree(run, tmp_path / "kept"))
    found = find_checkpoints([str(run)])
    assert [one.step for one in found.checkpoints] == steps
    told = estimate(found.checkpoints)
    made = list(store.adopt(found.checkpoints, remove_originals=True))
    stored = sum(one.commit.stored_bytes for one in made)
    assert told.plain_bytes == sum(one.commit.logical_bytes for one in made)
    assert 0.8 * stored < told.stored_bytes < 1.2 * stored
    (tmp_path / "back").mkdir()
    for target, commit in store.file_names(f"{tmp_path}/back/{{name}}", store.log("main")):
        store.checkout(commit, target)
    came_back = {os.path.relpath(path, tmp_path / "back"): path for path in files(tmp_path / "back")}
    left = {os.path.relpath(path, run) for path in files(run)}
    for path in files(kept):
        name = os.path.relpath(path, kept)
        if name not in left:
            # Under its checkpoint's own name: the folders of a run around it are not part of it.
            back = next(
                came_back[at]
                for at in (name, f"run/{name}", "/".join(name.split("/")[-2:]), path.name)
                if at in came_back
            )
            assert back.read_bytes() == path.read_bytes()
            assert back.stat().st_mode == path.stat().st_mode
            assert back.stat().st_mtime_ns == path.stat().st_mtime_ns
    assert not any(path.endswith((".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".distcp", ".pkl")) for path in left)


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]
