"""Files that are no tensors, kept again and again while they grow and what is in them moves: bytes left.

Each sequence is what some training tool rewrites at every checkpoint. Besides the other keepers the store stands beside
itself with other cuts: at fixed places, as tensors have them, and by content with other averages.
"""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmarks.contenders import KEEPERS, DeltackptStore, Keeper
from benchmarks.figures import Figure
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.workspace import scratch, subfolder
from deltackpt.chunking import content
from deltackpt.commit import parts

TABLE = "bytes that move, of the bytes kept"
STEPS = 10
AVERAGES = (4 << 10, 64 << 10)


def figures(options: Options) -> Iterator[Figure]:
    for name, make in SEQUENCES.items():
        say(f"bytes that move: {name}")
        versions = list(make(3 if options.quick else STEPS))
        plain = sum(map(len, versions))
        row = f"{name}, {len(versions)} of up to {max(map(len, versions)) / 1e6:.1f} MB"
        for column, left in _left(versions):
            yield Figure(TABLE, row, column, "%", (100 * left / plain,))


def _left(versions: list[bytes]) -> Iterator[tuple[str, int]]:
    """Bytes on disk after all versions, by keeper."""
    ours: list[type[Keeper]] = [DeltackptStore, _FixedCuts, *map(_with_average, AVERAGES)]
    others = [keeper for keeper in KEEPERS if keeper is not DeltackptStore and keeper.absent() is None]
    for kind in [*ours, *others]:
        with scratch("moving") as folder:
            keeper = kind(subfolder(folder, "keeper"))
            file = subfolder(folder, "files") / "progress.data"
            for step, version in enumerate(versions):
                file.write_bytes(version)
                keeper.keep(file, step)
            yield kind.name, keeper.bytes_on_disk()


class _FixedCuts(DeltackptStore):
    name: ClassVar[str] = "deltackpt, fixed cuts"

    def keep(self, path: Path, step: int) -> None:
        saved, parts.CUT_BY_CONTENT = parts.CUT_BY_CONTENT, 1 << 62
        try:
            super().keep(path, step)
        finally:
            parts.CUT_BY_CONTENT = saved


def _with_average(nbytes: int) -> type[Keeper]:
    class Cuts(DeltackptStore):
        name: ClassVar[str] = f"deltackpt, {nbytes >> 10} KiB cuts"

        def keep(self, path: Path, step: int) -> None:
            with _average(nbytes):
                super().keep(path, step)

    return Cuts


@contextmanager
def _average(nbytes: int) -> Iterator[None]:
    saved, content.AVERAGE_BYTES = content.AVERAGE_BYTES, nbytes
    try:
        yield
    finally:
        content.AVERAGE_BYTES = saved


def _trainer_states(steps: int) -> Iterator[bytes]:
    """The history of a Hugging Face Trainer, in a document that begins with numbers of other lengths every time."""
    rng = np.random.default_rng(1)
    history: list[dict[str, float]] = []
    for checkpoint in range(1, steps + 1):
        history += [{"loss": 2 + float(rng.random()), "step": checkpoint * 5_000 + at} for at in range(5_000)]
        head = {"best_metric": float(rng.random()), "epoch": checkpoint / 3, "global_step": checkpoint * 5_000}
        yield json.dumps({**head, "log_history": history}, indent=2).encode()


def _logs(steps: int) -> Iterator[bytes]:
    """A log to which lines are appended."""
    rng = np.random.default_rng(2)
    text = b""
    for checkpoint in range(steps):
        text += b"".join(b"step %d loss %.4f\n" % (checkpoint * 20_000 + at, rng.random()) for at in range(20_000))
        yield text


def _tokenizers(steps: int) -> Iterator[bytes]:
    """A vocabulary behind a list of tokens that grows by one."""
    rng = np.random.default_rng(3)
    letters = rng.integers(97, 123, (60_000, 8), dtype=np.uint8)
    vocabulary = {row.tobytes().decode(): number for number, row in enumerate(letters)}
    for checkpoint in range(steps):
        added = [{"id": 60_000 + at, "content": f"<extra_{at}>"} for at in range(checkpoint)]
        yield json.dumps({"added_tokens": added, "model": {"vocab": vocabulary}}, indent=1).encode()


def _samplers(steps: int) -> Iterator[bytes]:
    """A pickled order of samples of which those seen are dropped from the front."""
    order = np.random.default_rng(4).permutation(400_000).tolist()
    for checkpoint in range(steps):
        yield pickle.dumps({"seen": checkpoint * 20_000, "remaining": order[checkpoint * 20_000 :]})


def _archives(steps: int) -> Iterator[bytes]:
    """A tar file: a text that grows, then weights half of which are frozen."""
    rng = np.random.default_rng(5)
    frozen, weights = rng.normal(size=(2, 1 << 20)).astype(np.float32)
    for text in _trainer_states(steps):
        weights = weights + rng.normal(scale=1e-4, size=weights.size).astype(np.float32)
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name, data in (("state.json", text), ("frozen", frozen.tobytes()), ("weights", weights.tobytes())):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        yield file.getvalue()


SEQUENCES: dict[str, Callable[[int], Iterator[bytes]]] = {
    "JSON with a growing history": _trainer_states,
    "a log": _logs,
    "a tokenizer with new tokens": _tokenizers,
    "a pickled order of samples": _samplers,
    "a tar archive with weights": _archives,
}
