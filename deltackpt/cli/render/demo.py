"""What the demonstration says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from deltackpt.cli.render.commits import added, brief_metrics
from deltackpt.cli.text import shown, size

if TYPE_CHECKING:
    from deltackpt.demo.proof import Proof
    from deltackpt.demo.training import Recipe, Saved


def opening(folder: str, recipe: Recipe) -> Iterator[str]:
    yield f"Training a transformer of {recipe.shape.layers} layers on the standard library's sources, on the CPU:"
    yield f"{recipe.steps} steps, the whole training state committed every {recipe.every} to {shown(folder)}"
    yield ""


def saved_line(saved: Saved, seconds: float) -> str:
    commit = saved.commit
    stored = f"{size(commit.logical_bytes)} committed, {added(commit)} stored"
    return f"step {commit.step:>5}  {brief_metrics(commit)}  {stored}  ({seconds:.1f} s)"


def proof_line(proof: Proof) -> str:
    found = f"{proof.tensors} tensors and {proof.values} values, {size(proof.file_bytes)} as a file"
    if proof.holds:
        return f"step {proof.commit.step:>5}  bit-identical to what was in memory: {found}"
    return f"step {proof.commit.step:>5}  DIFFERS: {', '.join(map(shown, proof.differing[:5]))}"


def closing(folder: str, step: int | None) -> Iterator[str]:
    yield "Look around:"
    for command in (
        f"show step:{step}",
        f"diff step:{step} main",
        "checkout main --part model -o model.safetensors",
        "verify --data",
    ):
        yield f"  deltackpt --store {shown(folder)} {command}"
