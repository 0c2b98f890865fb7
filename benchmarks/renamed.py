"""A fine-tune committed beside the model that it began with, under the names of other tools: bytes left, seconds.

The model is a real pretrained one in float32, the fine-tune its weights after 50 steps. Where nothing is alike the
seconds are what the search for bases takes in vain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import Figure, missing
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.runs import RUNS, available, ensure, load
from benchmarks.stopwatch import timed
from benchmarks.workspace import scratch, subfolder
from deltackpt import Store

TABLE = "a fine-tune beside its model, by names"
RUN, LAYERS, OTHERS = RUNS["fp32-finetune"], 6, 39
Weights = dict[str, Any]
Pretend = Callable[[Weights], Weights]


def figures(options: Options) -> Iterator[Figure]:
    if not available(RUN):
        yield missing(TABLE, RUN.title, "", "the pretrained weights are not installed")
        return
    ensure(RUN)
    old, new = _pretrained(), _floats(load(RUN, 50)["model"])
    for row, measure in _rows(options.quick).items():
        say(f"{TABLE}: {row}")
        samples = []
        for _ in range(options.repetitions):
            with scratch("renamed") as folder:
                samples.append(measure(folder, old, new))
        yield Figure(TABLE, row, "bytes left", "%", tuple(100 * left for left, _ in samples))
        yield Figure(TABLE, row, "commit", "s", tuple(seconds for _, seconds in samples))


Measure = Callable[[Path, Weights, Weights], tuple[float, float]]


def _rows(quick: bool) -> dict[str, Measure]:
    others = 3 if quick else OTHERS
    return {
        "its parent, the same names": lambda folder, old, new: _commit(folder, [old], new, parent="b0"),
        "the same names": lambda folder, old, new: _commit(folder, [old], new),
        "another prefix": lambda folder, old, new: _commit(folder, [old], _prefixed(new)),
        "layers moved by one": lambda folder, old, new: _commit(folder, [old], _moved(new)),
        "its parent, layers moved by one": lambda folder, old, new: _commit(folder, [old], _moved(new), parent="b0"),
        "h_0.query.w": lambda folder, old, new: _commit(folder, [old], _flat_names(new)),
        "GGUF file": lambda folder, old, new: _commit(folder, [old], _gguf(folder / "new.gguf", new)),
        "GGUF file, not trained": lambda folder, old, _: _commit(folder, [old], _gguf(folder / "old.gguf", old)),
        "GGUF file, bfloat16": lambda folder, old, _: _commit(folder, [old], _gguf(folder / "half.gguf", old, True)),
        "flattened": lambda folder, old, new: _commit(folder, [old], _flattened(new)),
        f"the oldest of {others + 1} branches": lambda folder, old, new: _commit(
            folder, [old, *(_noise(old, seed) for seed in range(others))], _moved(new)
        ),
        "nothing alike": lambda folder, old, _: _commit(folder, [old], _noise(old, 99)),
        "nothing alike, 300 tensors, 16 branches": lambda folder, *_: _commit(
            folder, [_equal_shapes(seed) for seed in range(16)], _equal_shapes(99)
        ),
    }


def _commit(folder: Path, before: list[Weights], new: Weights | Path, parent: str | None = None) -> tuple[float, float]:
    """The part of its bytes that ``new`` adds to a store, and the seconds, where each of ``before`` has a branch."""
    with Store.init(subfolder(folder, "store")) as store:
        for number, weights in enumerate(before):
            store.commit({"model": weights}, branch=f"b{number}")
    # Opened again, so that nothing is at hand from the commits before.
    with Store(folder / "store") as store:
        store.commit({"warm": np.zeros(1)}, branch="warm")

        def commit() -> None:
            if isinstance(new, Path):
                store.commit_path(new, branch="new", parent=parent)
            else:
                store.commit({"model": new}, branch="new", parent=parent)

        seconds = timed(commit)
        made = store.resolve("new")
        return made.stored_bytes / made.logical_bytes, seconds


def _pretrained() -> Weights:
    from safetensors.torch import load_file

    from benchmarks.runs.encoder import model_folder

    folder = model_folder()
    assert folder is not None
    loaded = load_file(folder / "model.safetensors")
    return {name.removeprefix("bert."): tensor for name, tensor in _floats(loaded).items()}


def _floats(weights: Weights) -> Weights:
    return {name: tensor for name, tensor in weights.items() if tensor.is_floating_point()}


def _prefixed(weights: Weights) -> Weights:
    return {f"model.bert.{name}": tensor for name, tensor in weights.items()}


def _moved(weights: Weights) -> Weights:
    """As though a layer had been put before the others."""
    moved = {re.sub(r"layer\.(\d)", lambda at: f"layer.{int(at[1]) + 1}", k): t for k, t in weights.items()}
    first = {name.replace("layer.1.", "layer.0."): tensor for name, tensor in moved.items() if "layer.1." in name}
    return {**_noise(first, 7), **moved}


def _flat_names(weights: Weights) -> Weights:
    short = (("encoder.layer.", "h_"), ("attention.self.", ""), ("attention.output.", "proj_"), ("weight", "w"))
    names = {}
    for name in weights:
        flat = name
        for long, brief in (*short, ("bias", "b"), ("embeddings.", "emb_"), (".dense", "")):
            flat = flat.replace(long, brief)
        names[name] = flat
    return {names[name]: tensor for name, tensor in weights.items()}


def _flattened(weights: Weights) -> Weights:
    return {f"flat.{number}": tensor.reshape(-1) for number, tensor in enumerate(weights.values())}


def _gguf(path: Path, weights: Weights, halved: bool = False) -> Path:
    """A file of llama.cpp, written by its library, under the names that its converter gives; matrices in bfloat16."""
    import gguf
    import ml_dtypes

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, LAYERS)
    writer = gguf.GGUFWriter(path, "bert")
    for name, tensor in weights.items():
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        array = tensor.detach().numpy()
        if halved and array.ndim > 1:
            half = array.astype(ml_dtypes.bfloat16).view(np.uint8)
            writer.add_tensor(known or name, half, raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(known or name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _noise(weights: Weights, seed: int) -> Weights:
    """Other values under the same names, in the same shapes and sizes. They have 8 bits less, to be stored sooner."""
    rng = np.random.default_rng(seed)
    spread = {name: float(tensor.float().std()) if tensor.numel() > 1 else 1.0 for name, tensor in weights.items()}
    return {name: _coarse(rng, tuple(tensor.shape), spread[name]) for name, tensor in weights.items()}


def _equal_shapes(seed: int) -> Weights:
    rng = np.random.default_rng(seed)
    return {f"blocks.{number}.weight": _coarse(rng, (320, 320), 0.02) for number in range(300)}


def _coarse(rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Any:
    import torch

    values = (rng.standard_normal(shape, np.float32) * np.float32(spread)).view(np.uint32) & np.uint32(0xFFFFFF00)
    return torch.from_numpy(values.view(np.float32))
