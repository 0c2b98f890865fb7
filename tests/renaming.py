"""One small encoder under the names that tools give it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import gguf
import torch

LAYERS, WIDTH = 3, 128
Weights = dict[str, torch.Tensor]


def encoder(seed: int = 5) -> Weights:
    """BERT's names, shapes in its proportions. Every matrix of a layer but two has the same shape."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int, mean: float = 0.0) -> torch.Tensor:
        return mean + 0.02 * torch.randn(shape, generator=draw)

    weights = {"embeddings.word_embeddings.weight": normal(1000, WIDTH)}
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            weights |= {f"{at}{name}.weight": normal(WIDTH, WIDTH), f"{at}{name}.bias": normal(WIDTH)}
        weights |= {f"{at}attention.output.LayerNorm.weight": normal(WIDTH, mean=1.0)}
        weights |= {f"{at}intermediate.dense.weight": normal(4 * WIDTH, WIDTH)}
        weights |= {f"{at}output.dense.weight": normal(WIDTH, 4 * WIDTH)}
    return weights


def tuned(weights: Weights) -> Weights:
    """A few steps later."""
    draw = torch.Generator().manual_seed(1)
    return {name: tensor + 1e-5 * torch.randn(tensor.shape, generator=draw) for name, tensor in weights.items()}


def moved(weights: Weights, by: int = 1) -> Weights:
    """The layers after ``by`` others."""
    return {re.sub(r"layer\.(\d)", lambda at: f"layer.{int(at[1]) + by}", name): t for name, t in weights.items()}


def _gguf_name(name: str) -> str:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, LAYERS)
    return names.get_name(name, try_suffixes=(".weight", ".bias")) or name


def _short_name(name: str) -> str:
    for long, short in (("encoder.layer.", "h_"), ("attention.self.", ""), ("attention.output.", "proj_")):
        name = name.replace(long, short)
    return name.replace("weight", "w").replace("bias", "b")


def _tensorflow_name(name: str) -> str:
    steps = re.sub(r"layer\.(\d)", r"layer_\1", name).split(".")
    return "/".join(["bert", *steps[:-1], {"weight": "kernel"}.get(steps[-1], steps[-1])])


SCHEMES: dict[str, Callable[[str], str]] = {
    "another prefix": lambda name: f"model.bert.{name}",
    "GGUF": _gguf_name,
    "h_0.query.w": _short_name,
    "TensorFlow": _tensorflow_name,
    "layers moved": lambda name: next(iter(moved({name: torch.empty(0)}))),
    "names that say nothing": lambda name: f"t{crc32(name.encode()):08x}",
}


def renamed(weights: Weights, scheme: str) -> Weights:
    return {SCHEMES[scheme](name): tensor for name, tensor in weights.items()}


def write_gguf(path: Path, weights: Weights, kind: Any = None) -> Path:
    """A file under the names of llama.cpp; matrices as ``kind``, float32 unless told."""
    writer = gguf.GGUFWriter(path, "bert")
    for name, tensor in renamed(weights, "GGUF").items():
        if kind is None or tensor.dim() == 1:
            writer.add_tensor(name, tensor.numpy())
        else:
            half = tensor.bfloat16() if kind == gguf.GGMLQuantizationType.BF16 else tensor.half()
            writer.add_tensor(name, half.view(torch.uint8).numpy(), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
