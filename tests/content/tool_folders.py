"""Checkpoint folders that training tools write: two of a run with a small model, two steps apart."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from environments import DEEPSPEED, TENSORFLOW, Environment
from safetensors.torch import load_file
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

HERE = Path(__file__).parent
STEPS = (2, 4)
_DATA = [{"input_ids": ids, "labels": ids} for ids in torch.randint(64, (8, 12))]


def accelerate(run: Path) -> None:
    """What ``Accelerator.save_state`` writes."""
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    model = nn.Sequential(nn.Linear(512, 1024), nn.Tanh(), nn.Linear(1024, 512))
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    for step in range(1, STEPS[-1] + 1):
        accelerator.backward(model(torch.randn(4, 512)).square().mean())
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        if step in STEPS:
            accelerator.save_state(str(run / f"checkpoint-{step}"))


def trainer(run: Path) -> None:
    """What Transformers' Trainer writes."""
    torch.manual_seed(0)
    arguments = TrainingArguments(
        str(run),
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        max_steps=STEPS[-1],
        save_steps=STEPS[0],
        per_device_train_batch_size=4,
    )
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=256, n_layer=2, n_head=2))
    Trainer(model, arguments, train_dataset=_DATA).train()


def deepspeed(run: Path, stage: int) -> None:
    """What DeepSpeed's engine writes, of one rank in bfloat16 with float32 masters."""
    DEEPSPEED.run(HERE / "make_deepspeed.py", run, str(stage), *map(str, STEPS))


def tensorflow(run: Path) -> None:
    """What ``tf.train.CheckpointManager`` writes of a Keras model and its optimizer."""
    TENSORFLOW.run(HERE / "make_tensorflow_run.py", run, *map(str, STEPS))


def with_safetensors(checkpoint: Path) -> Any:
    """Model and optimizer as their own libraries read them."""
    (optimizer,) = checkpoint.glob("optimizer.*")
    return {
        "model": load_file(checkpoint / "model.safetensors"),
        "optimizer": torch.load(optimizer, weights_only=True),
    }


def beside(checkpoint: Path) -> Any:
    """What the process that trained had in memory, as it saved it beside the checkpoint."""
    return torch.load(checkpoint.with_suffix(".live"), weights_only=True)


def arrays_beside(checkpoint: Path) -> Any:
    return dict(np.load(checkpoint.with_suffix(".live")))


@dataclass(frozen=True)
class Tool:
    """``write`` trains and writes checkpoints below a folder; ``live`` is what one of them was in memory."""

    write: Callable[[Path], None]
    live: Callable[[Path], Any]
    environment: Environment | None = None

    @property
    def marks(self) -> tuple[pytest.MarkDecorator, ...]:
        """Of a test that lets it write."""
        return () if self.environment is None else (self.environment.wanted,)


TOOLS = {
    "Accelerate, `save_state`": Tool(accelerate, with_safetensors),
    "Transformers, `Trainer`": Tool(trainer, with_safetensors),
    "DeepSpeed, ZeRO stage 1": Tool(partial(deepspeed, stage=1), beside, DEEPSPEED),
    "DeepSpeed, ZeRO stage 3": Tool(partial(deepspeed, stage=3), beside, DEEPSPEED),
    "TensorFlow, `CheckpointManager`": Tool(tensorflow, arrays_beside, TENSORFLOW),
}


def written(tool: Tool, run: Path) -> list[Path]:
    """The checkpoints that the tool writes below ``run``, the oldest first; its warnings are its own."""
    run.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tool.write(run)
    return [run / f"checkpoint-{step}" for step in STEPS]
