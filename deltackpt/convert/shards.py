"""Tensors cut into runs of a bounded size, each of which becomes a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
