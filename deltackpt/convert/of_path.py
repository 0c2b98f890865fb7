"""The tensors of a checkpoint that is in no store, to be converted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from deltackpt.content.content import ContentPart
from deltackpt.content.path import path_content
from deltackpt.convert.beside import config_on_disk
from deltackpt.convert.flat import FlatState, FlatTensor
from deltackpt.convert.gathered import Gathered
from deltackpt.convert.held import held_on_disk
from deltackpt.errors import NotFoundError
from deltackpt.skeleton.leaves import Leaf, TensorLeaf, leaves
from deltackpt.skeleton.read import read_skeleton
from deltackpt.skeleton.view import View
from deltackpt.tensor.source import TensorSource


@contextmanager
def state_of_path(path: str, part: str | None = None) -> Iterator[FlatState]:
    """Every tensor of a file or folder, or those of one ``part`` under names without it; open while the block runs."""
    with path_content(path, strict=True) as content:
        parts = {one.name: one for one in content.parts}
        if part is not None and part not in parts:
            raise NotFoundError(f"{path}: no part {part!r}; there are {', '.join(filter(None, parts)) or 'none'}")
        chosen = list(parts.values()) if part is None else [parts[part]]
        found = Gathered(part)
        for leaf in _leaves(chosen):
            name = leaf.name if part is None else leaf.name.removeprefix(f"{part}/")
            if isinstance(leaf, TensorLeaf):
                found.add_tensor(leaf, _flat(parts, leaf, name))
            else:
                found.add_value(name, leaf.value)
        files = held_on_disk(path, [(one.name, one.files) for one in content.parts])
        skeletons = {name: one.skeleton for name, one in parts.items()}
        config = partial(config_on_disk, path)
        yield found.state(files, os.path.basename(path), skeletons, config, content.check_unchanged)


def _leaves(parts: Iterable[ContentPart]) -> Iterator[Leaf]:
    for one in parts:
        yield from leaves(read_skeleton(one.skeleton, one.name))


def _flat(parts: Mapping[str, ContentPart], leaf: TensorLeaf, name: str) -> FlatTensor:
    source = parts[leaf.reference.part].tensors[leaf.reference.index].source
    view = leaf.view or View(source.dtype, tuple(source.shape))
    return FlatTensor(name, view.dtype, view.shape, partial(_read, source, view))


def _read(source: TensorSource, view: View) -> memoryview:
    low, high = view.bounds()
    plain = source.read(low, high)
    if not view.is_row_major():
        # Imported here because NumPy costs a tenth of a second that light commands must not pay.
        from deltackpt.skeleton.strided import gather

        plain = memoryview(gather(plain, view.shifted(-low)))
    source.release()
    return plain
