"""Tensors cut into runs of a bounded size, each of which becomes a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from deltackpt.convert.flat import FlatTensor


def shards(tensors: Iterable[FlatTensor], shard_bytes: int) -> Iterator[list[FlatTensor]]:
    """Runs with at most ``shard_bytes`` each, in order; a larger tensor is alone in its own. At least one."""
    shard: list[FlatTensor] = []
    held = 0
    for tensor in tensors:
        if shard and held + tensor.nbytes > shard_bytes:
            yield shard
            shard, held = [], 0
        shard.append(tensor)
        held += tensor.nbytes
    yield shard


def shard_names(name: str, count: int, suffix: str) -> list[str]:
    """What the files are called: ``name`` alone, or with the place of each among the others."""
    if count == 1:
        return [f"{name}{suffix}"]
    return [f"{name}-{at:05d}-of-{count:05d}{suffix}" for at in range(1, count + 1)]


def index_of(named: Mapping[str, Sequence[FlatTensor]]) -> bytes:
    """The file that tells which shard holds which tensor, as Transformers reads it."""
    held = [(tensor, name) for name, shard in named.items() for tensor in shard]
    document = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor, _ in held)},
        "weight_map": {tensor.name: name for tensor, name in held},
    }
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()
