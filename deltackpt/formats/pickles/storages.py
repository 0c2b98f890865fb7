"""The storages of a pickle: what it keeps outside itself, under persistent ids.

``("storage", class, key, device, elements)``, in old files with a sixth value: a view on the storage, under
a key of its own. Whole modules saved in the oldest way have ``("module", class, file, source)``.
"""

from __future__ import annotations

from deltackpt.formats.pickles.limits import MAX_COUNT
from deltackpt.formats.pickles.misfit import MisfitError, fits
from deltackpt.formats.pickles.nodes import Node, Storage, StorageView, Symbol
from deltackpt.formats.pickles.torch_types import ELEMENTS, storage_dtype
from deltackpt.formats.wording import quoted


class Storages:
    """Those that were met, one node for each key."""

    def __init__(self) -> None:
        self.by_key: dict[str, Storage] = {}

    def named_by(self, pid: Node) -> Node:
        """The node that stands for a persistent id. MisfitError when it is none of PyTorch's."""
        fits(type(pid) is tuple and len(pid) >= 4)
        match _text(pid[0]):
            case "storage":
                fits(len(pid) in (5, 6))
                storage = self._storage(*pid[1:5])
                return storage if len(pid) == 5 or pid[5] is None else _view(storage, pid[5])
            case "module":
                return pid[1]
        raise MisfitError

    def _storage(self, cls: Node, key: Node, device: Node, count: Node) -> Storage | StorageView:
        fits(type(cls) is Symbol and type(count) is int)
        if not 0 <= count <= MAX_COUNT:
            raise MisfitError("a storage", f"0 to {MAX_COUNT} elements", count)
        dtype = storage_dtype(cls.name)
        fits(dtype is not None)
        made = Storage(_key(key), str(dtype), ELEMENTS[str(dtype)].itemsize, count, _text(device))
        known = self.by_key.setdefault(made.key, made)
        if known.nbytes != made.nbytes:
            raise MisfitError(f"storage {quoted(made.key)}", f"{known.nbytes} bytes, as before", made.nbytes)
        return known if known.dtype == made.dtype else StorageView(made, 0, count)


def _view(storage: Node, view: Node) -> StorageView:
    fits(type(storage) is Storage and type(view) is tuple and len(view) == 3)
    _, start, count = view
    fits(type(start) is int and type(count) is int)
    if not 0 <= start <= start + count <= storage.count:
        raise MisfitError("the end of a view on a storage", f"0 to {storage.count}", start + count)
    return StorageView(storage, start, count)


def _key(key: Node) -> str:
    if type(key) is int:
        fits(key.bit_length() <= 64)
        return str(key)
    return _text(key)


def _text(value: Node) -> str:
    """A string, also one that Python 2 wrote as bytes."""
    fits(type(value) in (str, bytes))
    return value if type(value) is str else value.decode("ascii", "replace")
