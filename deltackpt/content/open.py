"""The state in a checkpoint that no store holds: what committing it and loading it again would give."""

from __future__ import annotations

import os
from typing import Any

from deltackpt.content.path import path_content
from deltackpt.skeleton.restore import Restoration
from deltackpt.skeleton.table import TensorInfo
from deltackpt.tensor.dtype import framework_form

_PIECE_BYTES = 8 << 20


def open_state(path: str | os.PathLike[str], *, select: str | None = None) -> Any:
    """The state in the checkpoint file or folder at ``path``; nothing in it is ever executed.

    Of a PyTorch file that is what PyTorch loads as weights only. An item of it that PyTorch would refuse, or that holds
    what skeletons have no words for (conjugate views, tensors with attributes or on the meta device, bare storages,
    layouts, texts over 1 MiB), is a dict of the tensors in it by name; so are files without nesting. Of a folder it is
    a dict of what its files hold. ``select`` is a glob over names, as in ``Store.load``. Damage is logged as a warning;
    ChangedError when somebody wrote to it.
    """
    with path_content(os.fsdecode(path)) as content:
        parts = {part.name: part for part in content.parts}
        tables = {
            name: [TensorInfo(t.name, *framework_form(t.source.dtype, t.source.shape)) for t in part.tensors]
            for name, part in parts.items()
        }
        restoration = Restoration({name: part.skeleton for name, part in parts.items()}, tables, select=select)
        for (part, index), memory in restoration.destinations.items():
            source = parts[part].tensors[index].source
            for start in range(0, len(memory), _PIECE_BYTES):
                stop = min(start + _PIECE_BYTES, len(memory))
                memory[start:stop] = source.read(start, stop)
            source.release()
        content.check_unchanged()
        return restoration.build(None)
