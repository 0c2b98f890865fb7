"""The skeleton of a plain dict of torch tensors: how the tensors of a file are seen as a state."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from deltackpt.skeleton.tags import VERSION, Tag


def flat_skeleton(names: Sequence[str]) -> bytes:
    """A skeleton that maps each name to the tensor at its position in the table. Names are valid Unicode."""
    atoms: list[object] = [VERSION, len(names), 0, int(Tag.DICT), len(names)]
    for index, name in enumerate(names):
        atoms += (name, int(Tag.TENSOR), 0, index)
    return msgspec.msgpack.encode((atoms, []))
