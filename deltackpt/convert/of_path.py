"""The tensors of a checkpoint that is in no store, to be converted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from deltackpt.content.path import path_content
from deltackpt.convert.beside import config_on_disk
from deltackpt.convert.flat import FlatState, FlatTensor, Origin, Whole
from deltackpt.convert.gguf_keys import keys_on_disk
from deltackpt.errors import NotFoundError
from deltackpt.history.objects import FilesSkeleton, decode
from deltackpt.skeleton.leaves import TensorLeaf, leaves
from deltackpt.skeleton.read import read_skeleton
from deltackpt.skeleton.table import TensorInfo
from deltackpt.skeleton.view import View
from deltackpt.tensor.source import TensorSource


@contextmanager
def state_of_path(path: str, part: str | None = None) -> Iterator[FlatState]:
    """Every tensor of a file or folder, or those of one ``part`` under names without it; open while the block runs."""
    with path_content(path, strict=True) as content:
        parts = {one.name: one for one in content.parts}
        if part is not None and part not in parts:
            raise NotFoundError(f"{path}: no part {part!r}; there are {', '.join(filter(None, parts)) or 'none'}")
        tables = {
            name: [TensorInfo(t.name, t.source.dtype, tuple(t.source.shape)) for t in one.tensors]
            for name, one in parts.items()
        }
        tensors: list[FlatTensor] = []
        large: list[FlatTensor] = []
        values = {}
        for one in parts.values() if part is None else [parts[part]]:
            for leaf in leaves(read_skeleton(one.skeleton, one.name)):
                name = leaf.name if part is None else leaf.name.removeprefix(f"{part}/")
                if not isinstance(leaf, TensorLeaf):
                    values[name] = leaf.value
                else:
                    source = parts[leaf.reference.part].tensors[leaf.reference.index].source
                    dtype, shape = leaf.form(tables)
                    flat = FlatTensor(name, dtype, shape, partial(_read, source, leaf.view or View(dtype, shape)))
                    if leaf.is_value:
                        values[name] = leaf.node
                    (large if leaf.is_value else tensors).append(flat)
        files = [decode(one.files, FilesSkeleton) for one in parts.values() if one.files]
        entries = [entry for skeleton in files for entry in skeleton.entries]
        skeletons = {name: one.skeleton for name, one in parts.items()}
        whole = Whole(skeletons, tuple(large)) if part is None else None
        origin = Origin(partial(keys_on_disk, path, entries), partial(config_on_disk, path))
        yield FlatState(tuple(tensors), values, content.check_unchanged, origin, whole)


def _read(source: TensorSource, view: View) -> memoryview:
    low, high = view.bounds()
    plain = source.read(low, high)
    if not view.is_row_major():
        # Imported here because NumPy costs a tenth of a second that light commands must not pay.
        from deltackpt.skeleton.strided import gather

        plain = memoryview(gather(plain, view.shifted(-low)))
    source.release()
    return plain
