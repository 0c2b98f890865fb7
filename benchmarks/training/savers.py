"""Ways to save a live training, each as a loop uses it: ``save``, and go on."""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import distributed
from torch.distributed import checkpoint as dcp

from benchmarks.training.live import Live
from deltackpt import Checkpointer


class Saver(Protocol):
    """Saves one live training into a folder of its own."""

    def save(self) -> None:
        """Returns when the training may change its state again."""
        ...

    def idle(self) -> bool:
        """Whether nothing goes on behind the loop."""
        ...

    def finish(self) -> None:
        """Until nothing goes on behind the loop."""
        ...

    def tidy(self) -> None:
        """Remove all files but the newest two, as a training would."""
        ...

    def close(self) -> None: ...


class MemoryCopy:
    """One copy of every tensor into memory that is there already: the least that any safe saving can cost."""

    def __init__(self, live: Live, folder: Path) -> None:
        self._sources = live.tensors()
        self._targets = [tensor.clone() for tensor in self._sources]

    def save(self) -> None:
        with torch.no_grad():
            torch._foreach_copy_(self._targets, [tensor.detach() for tensor in self._sources])

    def idle(self) -> bool:
        return True

    def finish(self) -> None:
        """Nothing is left to do."""

    def tidy(self) -> None:
        """There are no files."""

    def close(self) -> None:
        """Nothing is held but memory."""


class TorchSave:
    """``torch.save``, which returns when the page cache has it."""

    def __init__(self, live: Live, folder: Path) -> None:
        self._live, self._folder, self._count = live, folder, 0

    def save(self) -> None:
        self._count += 1
        torch.save(self._live.state(), self._folder / f"{self._count}.pt")

    def idle(self) -> bool:
        return True

    def finish(self) -> None:
        """Nothing is left to do."""

    def tidy(self) -> None:
        (self._folder / f"{self._count - 2}.pt").unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is held."""


class AsyncSave:
    """``torch.distributed.checkpoint.async_save`` as it comes: a copy to fresh memory, then a thread."""

    def __init__(self, live: Live, folder: Path) -> None:
        self._live, self._folder, self._count = live, folder, 0
        self._future: Any = None
        if not distributed.is_initialized():
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)

    def save(self) -> None:
        self._count += 1
        with warnings.catch_warnings(action="ignore"):
            self._future = dcp.async_save(self._live.state(), checkpoint_id=self._folder / str(self._count))

    def idle(self) -> bool:
        return self._future is None or self._future.done()

    def finish(self) -> None:
        if self._future is not None:
            self._future.result()

    def tidy(self) -> None:
        shutil.rmtree(self._folder / str(self._count - 2), ignore_errors=True)

    def close(self) -> None:
        self.finish()
        distributed.destroy_process_group()


class LightningAsync:
    """Lightning's ``AsyncCheckpointIO``: a clone of every tensor, then ``torch.save`` in a thread."""

    def __init__(self, live: Live, folder: Path) -> None:
        from lightning.fabric.plugins import TorchCheckpointIO
        from lightning.pytorch.plugins.io import AsyncCheckpointIO

        done = self._done = threading.Event()
        done.set()

        class Telling(TorchCheckpointIO):
            def save_checkpoint(self, *arguments: Any, **named: Any) -> None:
                try:
                    super().save_checkpoint(*arguments, **named)
                finally:
                    done.set()

        self._live, self._folder, self._count = live, folder, 0
        self._io = AsyncCheckpointIO(Telling())

    def save(self) -> None:
        self._done.clear()
        self._count += 1
        self._io.save_checkpoint(self._live.state(), self._folder / f"{self._count}.ckpt")

    def idle(self) -> bool:
        return self._done.is_set()

    def finish(self) -> None:
        self._done.wait()

    def tidy(self) -> None:
        (self._folder / f"{self._count - 2}.ckpt").unlink(missing_ok=True)

    def close(self) -> None:
        self._io.teardown()


class Deltackpt:
    """A :class:`deltackpt.Checkpointer`; what it saves is told by its own numbers."""

    def __init__(self, live: Live, folder: Path, **options: Any) -> None:
        logging.getLogger("deltackpt").setLevel(logging.ERROR)
        self._under_way = False
        self._step = 0
        self._ckpt = Checkpointer(
            folder / "store", model=live.model, optimizer=live.optimizer, scalars=self._saved, **options
        )

    def save(self) -> None:
        self._ckpt.step(self._step)
        self._step += 1
        self._under_way = True
        self._ckpt.save()

    def idle(self) -> bool:
        if self._under_way:
            # A loop calls this after every step.
            self._ckpt.step(self._step)
            self._step += 1
        return not self._under_way

    def finish(self) -> None:
        self._ckpt.wait()

    def tidy(self) -> None:
        """The store keeps all of them."""

    def close(self) -> None:
        self._ckpt.close()

    def _saved(self, step: int, numbers: Mapping[str, float]) -> None:
        self._under_way = False


def _deltackpt(**options: Any) -> Callable[[Live, Path], Saver]:
    return lambda live, folder: Deltackpt(live, folder, **options)


COPY = "plain memory copy"
OURS = "deltackpt"
SAVERS: dict[str, Callable[[Live, Path], Saver]] = {
    COPY: MemoryCopy,
    "torch.save": TorchSave,
    "dcp.async_save": AsyncSave,
    **({"Lightning AsyncCheckpointIO": LightningAsync} if find_spec("lightning") else {}),
    OURS: _deltackpt(),
    "deltackpt, memory low": _deltackpt(memory="low"),
    "deltackpt, worker thread": _deltackpt(worker="thread"),
}


@contextlib.contextmanager
def opened(names: list[str], live: Live, folder: Path) -> Iterator[dict[str, Saver]]:
    """Savers of one training by name, each with a folder of its own."""
    made: dict[str, Saver] = {}
    try:
        for number, name in enumerate(names):
            own = folder / str(number)
            own.mkdir()
            made[name] = SAVERS[name](live, own)
        yield made
    finally:
        for saver in made.values():
            saver.close()
