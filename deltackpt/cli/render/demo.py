"""What the demonstration says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from deltackpt.cli.text import shown, size

if TYPE_CHECKING:
    from deltackpt.demo.proof import Proof
    from deltackpt.demo.training import Recipe


def opening(folder: str, recipe: Recipe) -> Iterator[str]:
    yield f"Training a transformer of {recipe.shape.layers} layers on the standard library's sources, on the CPU:"
    yield f"{recipe.steps} steps, the whole training state saved every {recipe.every} to {shown(folder)}"
    yield ""


def saved_line(step: int, numbers: Mapping[str, float], seconds: float) -> str:
    stored = f"{size(numbers['plain_bytes'])} saved, {size(numbers['stored_bytes'])} stored"
    return f"step {step:>5}  {stored}; the training waited {numbers['stall_ms']:.0f} ms  ({seconds:.1f} s)"


def proof_line(proof: Proof) -> str:
    found = f"{proof.tensors} tensors and {proof.values} values, {size(proof.file_bytes)} as a file"
    if proof.holds:
        return f"step {proof.commit.step:>5}  bit-identical to what was in memory: {found}"
    return f"step {proof.commit.step:>5}  DIFFERS: {', '.join(map(shown, proof.differing[:5]))}"


def resumed_line(step: int, losses: int, differing: int) -> str:
    if not differing:
        return f"step {step:>5}  resumed: the {losses} losses from there on are the same, bit for bit"
    return f"step {step:>5}  resumed: {differing} of the {losses} losses from there on DIFFER"


def closing(folder: str, step: int | None) -> Iterator[str]:
    yield "Look around:"
    for command in (
        f"show step:{step}",
        f"diff step:{step} main",
        "checkout main --part model -o model.safetensors",
        "verify --data",
    ):
        yield f"  deltackpt --store {shown(folder)} {command}"
