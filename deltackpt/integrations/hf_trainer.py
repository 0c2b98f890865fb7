"""Hugging Face's Trainer: every checkpoint that it writes goes to a store, too, and any of them can be resumed from.

The Trainer's own folders are read and never changed, so ``save_total_limit`` and ``load_best_model_at_end`` mean what
they always did. What is taken of a checkpoint: :mod:`deltackpt.integrations.hf_checkpoints`.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
from typing import Any

import torch
from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from deltackpt.errors import InvalidInputError
from deltackpt.history.commits import Commit
from deltackpt.integrations.hf_checkpoints import (
    FILES_PART,
    MODEL_FILE,
    OPTIMIZER_FILE,
    Checkpoints,
    Folders,
    Snapshots,
    Target,
    is_folder,
    is_in_memory,
)
from deltackpt.store import Ref, Store
from deltackpt.training.files import write_files
from deltackpt.training.preflight import opened
from deltackpt.training.ranks import Ranks
from deltackpt.training.resume import AUTO, find

log = logging.getLogger("deltackpt")


class DeltackptCallback(TrainerCallback):
    """``Trainer(callbacks=[DeltackptCallback("runs/store")])``. Takes the options of :class:`Checkpointer`, too.

    The branch must be new, or the Trainer must resume from a step that it holds. Checkpoints that the Trainer writes on
    a signal reach no callback; :class:`DeltackptMixin` catches them.
    """

    def __init__(self, store: str | os.PathLike[str], *, branch: str = "main", **options: Any) -> None:
        self._target = Target(os.path.abspath(os.path.expanduser(os.fspath(store))), branch, options)
        self._ranks: Ranks | None = None
        self._checkpoints: Checkpoints | None = None
        self._saved = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **live: Any
    ) -> None:
        self._end()
        _check_place(self._target.store, os.path.abspath(args.output_dir or "."))
        self._ranks = Ranks()
        step = state.global_step
        if is_in_memory(args, live["model"]) and not self._ranks.from_first(lambda: self._target.was_folder(step)):
            self._checkpoints = Snapshots(self._target, args, state, live)
        else:
            self._checkpoints = Folders(self._target, args, step, self._ranks)
        atexit.register(self._end)
        self._saved = state.global_step

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **live: Any) -> None:
        self.save(args, state, args.output_dir or ".")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **live: Any) -> None:
        self._end()

    def save(self, args: TrainingArguments, state: TrainerState, output_dir: str) -> None:
        """Take the checkpoint that was just written below ``output_dir``, once. For all ranks at once."""
        step = state.global_step
        if self._checkpoints is None or self._ranks is None or step <= self._saved:
            return
        folder = os.path.join(output_dir, f"checkpoint-{step}")
        if isinstance(self._checkpoints, Snapshots) and not self._ranks.told(_has_model(folder)):
            # The Trainer split a large model into several files. It will each time, so the first save tells.
            self._checkpoints.close()
            self._checkpoints = Folders(self._target, args, self._saved, self._ranks)
        self._checkpoints.take(folder, state)
        self._saved = step

    def _end(self) -> None:
        """Until everything is durable."""
        atexit.unregister(self._end)
        checkpoints, self._checkpoints = self._checkpoints, None
        ranks, self._ranks = self._ranks, None
        if checkpoints is not None:
            checkpoints.close()
        if ranks is not None:
            ranks.close()


class DeltackptMixin:
    """``class MyTrainer(DeltackptMixin, Trainer)``: its :class:`DeltackptCallback` hears of every checkpoint.

    Also of those that are written on a signal, and of those of a trial.
    """

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        trainer: Any = self
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, DeltackptCallback):
                callback.save(trainer.args, trainer.state, trainer._get_output_dir(trial=trial))


def resume_folder(store: str | os.PathLike[str], folder: str | os.PathLike[str], *, branch: str = "main") -> str | None:
    """The newest commit of ``branch`` that is healthy and full, as a folder for ``train(resume_from_checkpoint=...)``.

    None where there is none yet, so that one line begins a training and takes it up again, however often it is
    preempted. What an earlier call wrote to ``folder`` is replaced. For all ranks at once, with TrainingArguments made.
    """
    ranks = Ranks()
    try:
        return ranks.from_first(lambda: _newest(os.fspath(store), os.fspath(folder), branch))
    finally:
        ranks.close()


def _newest(path: str, folder: str, branch: str) -> str | None:
    with opened(path) as store:
        found = find(store, branch, AUTO, ("model", "optimizer"))
        for note in found.notes:
            log.warning("%s", note)
        return None if found.commit is None else restore_folder(store, found.commit, folder, force=True)


def restore_folder(store: Store, ref: Ref, folder: str | os.PathLike[str], *, force: bool = False) -> str:
    """Write a commit of :class:`DeltackptCallback` as a folder for ``train(resume_from_checkpoint=...)``; returns it.

    ``from_pretrained`` reads it, too. It should not lie in the Trainer's ``output_dir``, which deletes old folders.
    InvalidInputError when one of its files exists, unless ``force``; ThinnedError when the optimizer is gone.
    """
    commit = store.resolve(ref)
    target = os.fspath(folder)
    if is_folder(commit):
        store.checkout(commit, target, force=force)
    else:
        _write_snapshot(store, commit, target, force=force)
    # The Trainer takes a folder for as new as it looks, and deletes the oldest; some shares do not allow to say that.
    with contextlib.suppress(PermissionError):
        os.utime(target, (commit.time.timestamp(), commit.time.timestamp()))
    return target


def _write_snapshot(store: Store, commit: Commit, target: str, *, force: bool) -> None:
    optimizer = store.load(commit, part="optimizer")
    os.makedirs(target, exist_ok=True)
    write_files(store.load(commit, part=FILES_PART), target, force=force)
    store.checkout(commit, os.path.join(target, MODEL_FILE), part="model", force=force)
    torch.save(optimizer, os.path.join(target, OPTIMIZER_FILE))


def _has_model(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, MODEL_FILE))


def _check_place(store: str, output_dir: str) -> None:
    """The Trainer deletes what is called ``checkpoint-*``."""
    first = os.path.relpath(store, output_dir).split(os.sep)[0]
    if first.startswith("checkpoint-"):
        raise InvalidInputError(f"store {store!r} lies where the Trainer deletes old checkpoints; choose another place")
