"""Folders as runs of several tools leave them, small, with real files of PyTorch and safetensors in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

STEPS = (500, 1000, 10_000)


def weights(step: int, rows: int = 64) -> torch.Tensor:
    """A tensor that moves a little with every step."""
    start = torch.randn(rows, 64, generator=torch.Generator().manual_seed(0))
    return start + step * 1e-6 * torch.randn(rows, 64, generator=torch.Generator().manual_seed(step))


def put(path: Path, *tensors: torch.Tensor) -> Path:
    """A file of tensors in the format that its suffix names; other suffixes hold a line of text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {f"w{number}": tensor for number, tensor in enumerate(tensors)}
    if not tensors:
        path.write_text(f"{path.name}\n")
    elif path.suffix == ".safetensors":
        save_file(named, path)
    else:
        torch.save(named, path)
    return path


def trainer(run: Path, steps: Sequence[int] = STEPS, rows: int = 64) -> Path:
    """Transformers' Trainer, after ``save_model`` and ``save_state``."""
    for step in steps:
        folder = run / f"checkpoint-{step}"
        put(folder / "model.safetensors", weights(step, rows))
        put(folder / "optimizer.pt", weights(step + 1, rows), weights(step + 2, rows))
        put(folder / "rng_state.pth", torch.arange(8))
        _trainer_state(folder / "trainer_state.json", step)
    put(run / "model.safetensors", weights(steps[-1], rows))
    put(run / "training_args.bin", torch.arange(2))
    _trainer_state(run / "trainer_state.json", steps[-1])
    for name in ("config.json", "tokenizer.json", "README.md", "all_results.json", "runs/x/events.out.tfevents.1.host"):
        put(run / name)
    return run


def _trainer_state(path: Path, step: int) -> None:
    log = [
        {"step": step - 1, "loss": 9.0},
        {"step": step, "loss": 1 / step, "learning_rate": 1e-4},
        {"step": step, "eval_loss": 2 / step, "eval_runtime": 0.5},
    ]
    said = {"global_step": step, "epoch": step / 1000, "best_metric": 0.25, "log_history": log, "max_steps": 99_999}
    path.write_text(json.dumps(said))


def deepspeed(run: Path) -> Path:
    for step in STEPS:
        put(run / f"global_step{step}" / "mp_rank_00_model_states.pt", weights(step))
        put(run / f"global_step{step}" / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", weights(step + 1))
    put(run / "latest").write_text(f"global_step{STEPS[-1]}")
    put(run / "zero_to_fp32.py")
    return run


def lightning(run: Path) -> Path:
    version = run / "version_0"
    for epoch, step in enumerate(STEPS):
        put(version / "checkpoints" / f"epoch={epoch}-step={step}.ckpt", weights(step))
    put(version / "checkpoints" / "last.ckpt", weights(STEPS[-1]))
    put(version / "hparams.yaml")
    put(version / "metrics.csv")
    put(version / "events.out.tfevents.1.host")
    return run


def megatron(run: Path) -> Path:
    for step in STEPS:
        for rank in range(2):
            put(run / f"iter_{step:07d}" / f"mp_rank_{rank:02d}" / "model_optim_rng.pt", weights(step + rank))
    put(run / "latest_checkpointed_iteration.txt").write_text(str(STEPS[-1]))
    return run


def flat(run: Path) -> Path:
    for step in STEPS:
        put(run / f"checkpoint_step_{step}_loss_{2 + 1 / step:.4f}.pt", weights(step))
    put(run / "best.pt", weights(STEPS[0]))
    put(run / "train.log")
    put(run / "config.yaml")
    return run


def tensorflow(run: Path) -> Path:
    """Files under TensorFlow's names; what is in them does not matter for how they are put together."""
    for number in (1, 2, 10):
        put(run / f"ckpt-{number}.index")
        put(run / f"ckpt-{number}.data-00000-of-00002")
        put(run / f"ckpt-{number}.data-00001-of-00002")
    put(run / "checkpoint").write_text('model_checkpoint_path: "ckpt-10"\n')
    return run


def sharded(run: Path) -> Path:
    """Sharded safetensors of several steps in one folder."""
    for step in (7, 100):
        for shard in (1, 2):
            put(run / f"step-{step}-0000{shard}-of-00002.safetensors", weights(step + shard))
        put(run / f"step-{step}.safetensors.index.json")
    return run


def accelerate(run: Path) -> Path:
    for number in range(3):
        folder = run / "checkpoints" / f"checkpoint_{number}"
        put(folder / "model.safetensors", weights(number))
        put(folder / "optimizer.bin", weights(number + 1))
        put(folder / "random_states_0.pkl", torch.arange(4))
        put(folder / "custom_checkpoint_0.pkl", torch.arange(5))
        put(folder / "custom_checkpoint_1.pkl", torch.arange(6))
    return run


def orbax(run: Path) -> Path:
    for step in (9, 100):
        put(run / str(step) / "_CHECKPOINT_METADATA")
        put(run / str(step) / "default" / "manifest.ocdbt")
        put(run / str(step) / "default" / "d" / "0123")
    put(run / "101.orbax-checkpoint-tmp-7" / "default" / "manifest.ocdbt")
    return run
