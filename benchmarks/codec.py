"""Nanoseconds a plain byte and size left, for each recipe and kind of data, on one thread.

``python -m benchmarks.codec [--quick]`` prints one line for each; the last recipe, ``chosen``, is what ``encode``
takes by itself, its decode time without the base. Times are the best of several: the machine's, not its visitors'.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.codec_data import CHUNK, states
from deltackpt.codec.choice import deltas, keyframes
from deltackpt.codec.coders import Chunk
from deltackpt.codec.decode import decode
from deltackpt.codec.encode import Base, Encoded, encode, encode_as
from deltackpt.tensor.dtype import Element

ROUNDS = 7
UNLIMITED = 100.0
KEYFRAME_COST = 0.6
# Steps 1, 10 and 50 apart.
TUNED = ((20, 21), (21, 31), (21, 71))
PAIRS = {"scratch": ((300, 301), (301, 311), (311, 361)), "tune32": TUNED, "tune16": TUNED}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Case:
    """Chunks of one kind, each with what it would be a delta against (None: keyframes only)."""

    name: str
    element: Element
    chunks: Sequence[tuple[memoryview, memoryview | None]]


@dataclass(slots=True)
class Figures:
    plain: int = 0
    stored: int = 0
    encode_s: float = 0.0
    decode_s: float = 0.0

    def line(self, recipe: str) -> str:
        encode_ns, decode_ns = self.encode_s / self.plain * 1e9, self.decode_s / self.plain * 1e9
        return f"  {recipe:<14}{100 * self.stored / self.plain:8.2f} %{encode_ns:8.2f}{decode_ns:8.2f}"


def trained_cases(quick: bool) -> Iterator[Case]:
    """Every part of every run, 1, 10 and 50 steps apart."""
    for run, element in (("scratch", Element.FLOAT32), ("tune32", Element.FLOAT32), ("tune16", Element.BFLOAT16)):
        arrays = states(run)
        for a, b in PAIRS[run][1:2] if quick else PAIRS[run]:
            for part in "wmv":
                old, new = (arrays[f"{part}@{step}"].reshape(-1, CHUNK) for step in (a, b))
                every = max(1, len(new) // 5)
                pairs = [(memoryview(n), memoryview(o)) for n, o in zip(new[::every], old[::every], strict=True)]
                yield Case(f"{run} {part}, {b - a} apart", element, pairs)


def other_cases() -> Iterator[Case]:
    """What is not a training state: no deltas, or trivial ones."""
    random = np.random.default_rng(0)
    noise = memoryview(random.integers(0, 256, CHUNK, np.uint8))
    text = b"".join(p.read_bytes() for p in sorted(Path(argparse.__file__).parent.glob("*.py")))[:CHUNK]
    indices = random.integers(0, 50_000, CHUNK // 8)
    yield Case("noise", Element.INT32, [(noise, None)])
    yield Case("noise, unrelated base", Element.FLOAT32, [(noise, memoryview(noise.tobytes()[::-1]))])
    yield Case("zeros", Element.FLOAT32, [(memoryview(bytes(CHUNK)), None)])
    yield Case("unchanged", Element.FLOAT32, [(noise, noise)])
    yield Case("text", Element.INT8, [(memoryview(text), None)])
    yield Case("indices", Element.INT64, [(memoryview(indices).cast("B"), memoryview(indices + 1).cast("B"))])
    wide = random.standard_normal(CHUNK // 8)
    moved = wide + 1e-4 * random.standard_normal(wide.size)
    yield Case("float64", Element.FLOAT64, [(memoryview(moved).cast("B"), memoryview(wide).cast("B"))])
    small = random.standard_normal(CHUNK)
    old, new = ((v.astype(np.float16).view(np.uint16) >> 8).astype(np.uint8) for v in (small, small * 1.01))
    yield Case("float8", Element.FLOAT8_E5M2, [(memoryview(new), memoryview(old))])
    narrow = random.normal(0, 20, CHUNK).astype(np.int8)
    yield Case("int8 weights", Element.INT8, [(memoryview(narrow).cast("B"), memoryview(narrow // 2).cast("B"))])


def best(action: Callable[[], T]) -> tuple[float, T]:
    """Shortest time of a few runs, and the result."""
    shortest = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        result = action()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest, result


def measure(case: Case) -> tuple[dict[str, Figures], Counter[str]]:
    table: dict[str, Figures] = {}
    chosen: Counter[str] = Counter()
    for plain, base in case.chunks:
        bases = [] if base is None else [Base(base, KEYFRAME_COST)]
        chunk = Chunk.of(plain, case.element)
        for trial in [*keyframes(chunk), *deltas(chunk, bases, UNLIMITED)]:
            add(table, trial.recipe.name, case, plain, bases, lambda t=trial, c=chunk, b=bases: encode_as(c, t, b))
        taken = add(table, "chosen", case, plain, bases, lambda p=plain, b=bases: encode(p, case.element, b))
        chosen[taken.recipe.name] += 1
    return table, chosen


def add(
    table: dict[str, Figures],
    name: str,
    case: Case,
    plain: memoryview,
    bases: Sequence[Base],
    run: Callable[[], Encoded],
) -> Encoded:
    """Time one way to encode a chunk, and the way back; checks the bytes."""
    encode_s, encoded = best(run)
    payload, out = memoryview(b"".join(encoded.payload)), memoryview(bytearray(len(plain)))
    base = None if encoded.base is None else bases[encoded.base].plain
    decode_s, _ = best(lambda: decode(encoded.recipe, case.element, payload, out, base))
    if out != plain.cast("B"):
        raise SystemExit(f"{case.name}: {name} did not give the bytes back")
    row = table.setdefault(name, Figures())
    row.plain += len(plain)
    row.stored += encoded.size
    row.encode_s += encode_s
    row.decode_s += decode_s
    return encoded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="states ten steps apart only")
    quick = parser.parse_args().quick
    print(f"{'':<16}{'left':>8}  {'encode':>8}{'decode':>8}   ns a byte, one thread")
    for case in (*other_cases(), *trained_cases(quick)):
        table, chosen = measure(case)
        print(f"{case.name}: {', '.join(f'{n} x {name}' for name, n in chosen.items())}")
        for name, row in table.items():
            print(row.line(name))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
