"""How a checkpoint of the Trainer gets into a store: a snapshot of what is in memory, or the folder as it was written.

A snapshot is written beside the training. A folder is committed before the training goes on, because the Trainer may
delete it at its next save; what only the folder holds, sharded states and adapters, has no other way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from transformers.trainer_callback import TrainerState
from transformers.training_args import TrainingArguments

from deltackpt.errors import InvalidInputError, NotFoundError
from deltackpt.history.commits import Commit
from deltackpt.integrations.folder_line import FolderLine
from deltackpt.store import Store
from deltackpt.training.checkpointer import Checkpointer
from deltackpt.training.ranks import Ranks
from deltackpt.training.rng import restore_rng, rng_state

MODEL_FILE, OPTIMIZER_FILE = "model.safetensors", "optimizer.pt"
FILES_PART = "folder"
"""The part of a snapshot that holds the small files of the folder."""

# What is taken from memory instead.
_LARGE = (MODEL_FILE, OPTIMIZER_FILE)
MAX_FILE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """Where checkpoints go. ``options`` are those of :class:`Checkpointer`."""

    store: str
    branch: str
    options: Mapping[str, Any]

    def was_folder(self, step: int) -> bool:
        """Whether the branch holds a folder for this step."""
        try:
            with Store(self.store) as store:
                return is_folder(store.resolve(f"{self.branch}@step:{step}"))
        except NotFoundError:
            return False


def is_folder(commit: Commit) -> bool:
    """Whether a commit of a callback is a folder, and no snapshot."""
    return all(part.name != FILES_PART for part in commit.parts)


class Checkpoints(Protocol):
    """A way to take checkpoints. All methods are for all ranks at once."""

    def take(self, folder: str, state: TrainerState) -> None:
        """Commit the checkpoint that was just written to ``folder``."""
        ...

    def close(self) -> None:
        """Until everything is durable."""
        ...


def is_in_memory(args: TrainingArguments, model: Any) -> bool:
    """Whether this process holds the whole of what the Trainer writes: neither a shard of it, nor more than it."""
    adapter = hasattr(model, "peft_config") or getattr(model, "_hf_peft_config_loaded", False)
    sharded = args.fsdp or args.deepspeed or getattr(args, "parallelism_config", None)
    return not adapter and not sharded


class Snapshots:
    """Model, optimizer, scheduler and random numbers from memory, with the small files of the folder beside them."""

    def __init__(self, target: Target, args: TrainingArguments, state: TrainerState, live: Mapping[str, Any]) -> None:
        self._files = _SmallFiles()
        self._ckpt = Checkpointer(
            target.store,
            model=live["model"],
            optimizer=_inner(live["optimizer"], "optimizer"),
            scheduler=_inner(live["lr_scheduler"], "scheduler"),
            extra={FILES_PART: self._files},
            branch=target.branch,
            config=args.to_dict(),  # type: ignore[no-untyped-call]
            **{"catch_signals": False, **target.options},
        )
        begun = target.branch in self._ckpt.store.branches()
        if begun and not state.global_step:
            self._ckpt.close()
            raise InvalidInputError(
                f"branch {target.branch!r} has commits already, in {target.store!r}; go on from the newest with"
                " train(resume_from_checkpoint=resume_folder(...)), or choose another branch"
            )
        if begun:
            # The Trainer has loaded this very step, and sets random numbers itself where its loop goes on.
            before = rng_state()
            self._ckpt.resume(f"step:{state.global_step}")
            restore_rng(before)

    def take(self, folder: str, state: TrainerState) -> None:
        self._files.folder = folder
        self._ckpt.epoch = int(state.epoch or 0)
        self._ckpt.step(state.global_step - 1, _metrics(state))
        self._ckpt.save()

    def close(self) -> None:
        with self._ckpt:
            """Leaving it waits, applies the policy, and gives everything back."""


class Folders:
    """Each folder as a commit of its files, made by the first rank when all have written theirs."""

    def __init__(self, target: Target, args: TrainingArguments, begun: int, ranks: Ranks) -> None:
        """``begun`` is the step that the Trainer goes on from."""
        self._target = target
        self._config: Any = args.to_dict()  # type: ignore[no-untyped-call]
        self._ranks = ranks
        self._line: FolderLine | None = None
        ranks.from_first(lambda: self._begin(begun))

    def take(self, folder: str, state: TrainerState) -> None:
        self._ranks.most(0)  # Every rank is here, so every rank has written its files.
        self._ranks.from_first(lambda: self._commit(folder, state))

    def close(self) -> None:
        if self._line is not None:
            self._line.close()

    def _begin(self, step: int) -> None:
        target = self._target
        self._line = FolderLine(target.store, target.branch, keep=target.options.get("keep"), config=self._config)
        self._line.begin((lambda store: store.resolve(f"{target.branch}@step:{step}")) if step else None)

    def _commit(self, folder: str, state: TrainerState) -> None:
        assert self._line is not None
        self._line.commit(folder, step=state.global_step, metrics=_metrics(state))


class _SmallFiles:
    """The files of a checkpoint folder that are not taken from memory, as bytes by name."""

    def __init__(self) -> None:
        self.folder: str | None = None

    def state_dict(self) -> dict[str, Any]:
        return {} if self.folder is None else dict(_small_files(self.folder))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Files are for ``restore_folder``."""


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
