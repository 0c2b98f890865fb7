"""Hugging Face's Trainer: every checkpoint that it writes goes to a store, too, and any of them can be resumed from.

Model, optimizer, scheduler and random numbers are taken from memory; the small files of ``checkpoint-N`` (settings,
tokenizer, ``trainer_state.json``, random states of every rank) are kept as they are. The Trainer's own folders are read
and never changed, so ``save_total_limit`` and ``load_best_model_at_end`` mean what they always did.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from deltackpt.errors import InvalidInputError
from deltackpt.store import Ref, Store
from deltackpt.training.checkpointer import Checkpointer
from deltackpt.training.files import write_files
from deltackpt.training.rng import restore_rng, rng_state

MODEL_FILE, OPTIMIZER_FILE = "model.safetensors", "optimizer.pt"
# What is taken from memory instead.
_LARGE = (MODEL_FILE, OPTIMIZER_FILE)
MAX_FILE_BYTES = 64 << 20


class DeltackptCallback(TrainerCallback):
    """``Trainer(callbacks=[DeltackptCallback("runs/store")])``. Takes the options of :class:`Checkpointer`, too.

    The branch must be new, or the Trainer must resume from a step that it holds. Checkpoints that the Trainer writes on
    a signal reach no callback; :class:`DeltackptMixin` catches them.
    """

    def __init__(self, store: str | os.PathLike[str], *, branch: str = "main", **options: Any) -> None:
        self._path = os.path.abspath(os.fspath(store))
        self._branch = branch
        self._options = options
        self._files = _SmallFiles()
        self._ckpt: Checkpointer | None = None
        self._saved = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **live: Any
    ) -> None:
        self._end()
        _check_place(self._path, os.path.abspath(args.output_dir or "."))
        self._ckpt = Checkpointer(
            self._path,
            model=live["model"],
            optimizer=_inner(live["optimizer"], "optimizer"),
            scheduler=_inner(live["lr_scheduler"], "scheduler"),
            extra={"folder": self._files},
            branch=self._branch,
            config=args.to_dict(),  # type: ignore[no-untyped-call]
            **{"catch_signals": False, **self._options},
        )
        atexit.register(self._end)
        self._saved = state.global_step
        if state.global_step and self._branch in self._ckpt.store.branches():
            # The Trainer has loaded this very step, and sets random numbers itself where its loop goes on.
            before = rng_state()
            self._ckpt.resume(f"step:{state.global_step}")
            restore_rng(before)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **live: Any) -> None:
        self.save(state, args.output_dir or ".")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **live: Any) -> None:
        self._end()

    def save(self, state: TrainerState, output_dir: str) -> None:
        """Take the checkpoint that was just written below ``output_dir``, once. For all ranks at once."""
        step = state.global_step
        if self._ckpt is None or step <= self._saved:
            return
        self._files.folder = os.path.join(output_dir, f"checkpoint-{step}")
        self._ckpt.epoch = int(state.epoch or 0)
        self._ckpt.step(step - 1, _metrics(state))
        self._ckpt.save()
        self._saved = step

    def _end(self) -> None:
        """Until everything is durable."""
        atexit.unregister(self._end)
        ckpt, self._ckpt = self._ckpt, None
        if ckpt is not None:
            with ckpt:
                """Leaving it waits, applies the policy, and gives everything back."""


class DeltackptMixin:
    """``class MyTrainer(DeltackptMixin, Trainer)``: its :class:`DeltackptCallback` hears of every checkpoint.

    Also of those that are written on a signal, and of those of a trial.
    """

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        trainer: Any = self
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, DeltackptCallback):
                callback.save(trainer.state, trainer._get_output_dir(trial=trial))


def restore_folder(store: Store, ref: Ref, folder: str | os.PathLike[str]) -> str:
    """Write a commit of :class:`DeltackptCallback` as a folder for ``train(resume_from_checkpoint=...)``; returns it.

    ``from_pretrained`` reads it, too. It should not lie in the Trainer's ``output_dir``, which deletes old folders.
    InvalidInputError when one of its files exists; ThinnedError when the optimizer is gone.
    """
    commit = store.resolve(ref)
    target = os.fspath(folder)
    optimizer = store.load(commit, part="optimizer")
    os.makedirs(target, exist_ok=True)
    write_files(store.load(commit, part="folder"), target)
    store.checkout(commit, os.path.join(target, MODEL_FILE), part="model")
    torch.save(optimizer, os.path.join(target, OPTIMIZER_FILE))
    return target


class _SmallFiles:
    """The files of a checkpoint folder that are not taken from memory, as bytes by name."""

    def __init__(self) -> None:
        self.folder: str | None = None

    def state_dict(self) -> dict[str, Any]:
        if self.folder is None:
            return {}
        if not os.path.isfile(os.path.join(self.folder, MODEL_FILE)):
            raise InvalidInputError(
                f"{self.folder!r} holds no {MODEL_FILE}: sharded checkpoints and adapters are not taken from a Trainer;"
                " train with a Checkpointer"
            )
        return dict(_small_files(self.folder))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Files are for :func:`restore_folder`."""


def _small_files(folder: str) -> Iterator[tuple[str, Any]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_file() and entry.name not in _LARGE:
                with open(entry.path, "rb") as file:
                    data = file.read(MAX_FILE_BYTES + 1)
                if len(data) > MAX_FILE_BYTES:
                    raise InvalidInputError(f"{entry.path!r} is larger than {MAX_FILE_BYTES >> 20} MiB; move it away")
                yield entry.name, np.frombuffer(data, np.uint8)


def _metrics(state: TrainerState) -> dict[str, float]:
    """What was logged at this step: the loss, and what an evaluation found."""
    now = [entry for entry in state.log_history if entry.get("step") == state.global_step]
    return {
        name: float(value)
        for entry in now
        for name, value in entry.items()
        if isinstance(value, int | float) and name not in ("step", "epoch")
    }


def _inner(wrapped: Any, name: str) -> Any:
    """What Accelerate has wrapped."""
    return getattr(wrapped, name, wrapped)


def _check_place(store: str, output_dir: str) -> None:
    """The Trainer deletes what is called ``checkpoint-*``."""
    first = os.path.relpath(store, output_dir).split(os.sep)[0]
    if first.startswith("checkpoint-"):
        raise InvalidInputError(f"store {store!r} lies where the Trainer deletes old checkpoints; choose another place")
