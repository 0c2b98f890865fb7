"""What *folder-speed* commits as files and as a live state: folders of the cached runs, and single files.

The files are written by their own libraries, for the length of a measurement, from the states of a cached run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import deltackpt
from benchmarks.folders.runs import DCP, DCP_STEPS, DEEPSPEED_RUN, FILES_OF, TRAINER, FolderRun, weights_absent
from benchmarks.runs import RUNS, ensure, load

Checkpoints = list[tuple[int, Path]]


@dataclass(frozen=True, slots=True)
class Subject:
    """``checkpoints`` may write below the folder that it is given; ``live`` is the state of one of them in memory."""

    title: str
    absent: Callable[[], str | None]
    checkpoints: Callable[[Path], Checkpoints]
    live: Callable[[int, Path], Any]


def _of_run(run: FolderRun, live: Callable[[int, Path], Any]) -> Subject:
    return Subject(run.title, run.absent, lambda _: run.checkpoints(), live)


def _of_files(suffix: str, write: Callable[[Any, Path], None], live: Callable[[Any], Any]) -> Subject:
    def written(folder: Path) -> Checkpoints:
        ensure(RUNS[FILES_OF])
        paths = [(step, folder / f"step-{step}{suffix}") for step in DCP_STEPS]
        for step, path in paths:
            write(load(FILES_OF, step), path)
        return paths

    return Subject(f"{suffix} files, fp32", weights_absent, written, lambda step, _: live(load(FILES_OF, step)))


def _trainers(step: int, folder: Path) -> Any:
    """What ``from_pretrained`` and ``torch.load`` would have of the folder."""
    from safetensors.torch import load_file

    return {"model": load_file(folder / "model.safetensors"), "optimizer": torch.load(folder / "optimizer.pt")}


def _safetensors(state: Any, path: Path) -> None:
    from safetensors.torch import save_file

    save_file(state["model"], path)


def _gguf(state: Any, path: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, "bert")
    for name, tensor in state["model"].items():
        writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _model(state: Any) -> Any:
    return {"model": state["model"]}


SUBJECTS = (
    _of_run(TRAINER, _trainers),
    # Its pickles hold objects of DeepSpeed's, which only DeepSpeed loads; the tensors are all there.
    _of_run(DEEPSPEED_RUN, lambda step, folder: deltackpt.open_state(folder)),
    _of_run(DCP, lambda step, folder: load(FILES_OF, step)),
    _of_files(".pt", torch.save, lambda state: state),
    _of_files(".safetensors", _safetensors, _model),
    _of_files(".gguf", _gguf, _model),
)
