"""A Python state made again from its tree and the bytes of the file, by PyTorch's own functions."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import torch

from deltackpt.formats.pickles import State
from deltackpt.formats.pickles.nodes import (
    Attributed,
    Device,
    Dict,
    Dtype,
    Layout,
    Meta,
    Node,
    NumpyArray,
    NumpyDtype,
    NumpyScalar,
    Parameter,
    Quantized,
    Set,
    Size,
    Sparse,
    Storage,
    Tensor,
)

_DICTS = {"dict": dict, "OrderedDict": collections.OrderedDict, "Counter": collections.Counter}


class Maker:
    def __init__(self, state: State, raw: bytes) -> None:
        self._state = state
        self._raw = raw
        self._made: dict[int, Any] = {}
        self._storages: dict[str, torch.UntypedStorage] = {}

    def root(self) -> Any:
        return self.make(self._state.root)

    def make(self, node: Node) -> Any:
        """The object of ``node``, the same one however often it is met."""
        if id(node) not in self._made:
            self._made[id(node)] = self._new(node)
        return self._made[id(node)]

    def _new(self, node: Node) -> Any:
        match node:
            case list() | tuple():
                return type(node)(self.make(item) for item in node)
            case Dict():
                return self._dict(node)
            case Set():
                return (frozenset if node.frozen else set)(self.make(item) for item in node.items)
            case Size(extents=extents):
                return torch.Size(extents)
            case Dtype(name=name) | Layout(name=name):
                return getattr(torch, name)
            case Device(name=name):
                return torch.device(name)
            case Storage():
                return self._typed(node, node.dtype)
            case NumpyArray() | NumpyScalar() | NumpyDtype():
                return _numpy(node)
            case Tensor() | Parameter() | Attributed() | Sparse() | Quantized() | Meta():
                return self._tensor(node)
            case _:
                return node

    def _dict(self, node: Dict) -> Any:
        factory = None if node.factory in (None, "None") else getattr(__import__("builtins"), node.factory)
        made = _DICTS[node.kind]() if node.kind in _DICTS else collections.defaultdict(factory)
        for key, item in node.pairs:
            made[self.make(key)] = self.make(item)
        if node.attributes is not None:
            vars(made).update(self.make(node.attributes))
        return made

    def _storage(self, storage: Storage) -> torch.UntypedStorage:
        if storage.key not in self._storages:
            place = self._state.places[storage.key]
            piece = bytearray(self._raw[place.offset : place.offset + place.length])
            flat = torch.frombuffer(piece, dtype=torch.uint8) if piece else torch.empty(0, dtype=torch.uint8)
            self._storages[storage.key] = flat.untyped_storage()
        return self._storages[storage.key]

    def _typed(self, storage: Storage, dtype: str) -> torch.storage.TypedStorage:
        untyped = self._storage(storage)
        return torch.storage.TypedStorage(wrap_storage=untyped, dtype=getattr(torch, dtype), _internal=True)

    def _tensor(self, node: Node) -> Any:
        match node:
            case Tensor():
                return self._strided(node)
            case Parameter():
                made = torch.nn.Parameter(self.make(node.data), node.requires_grad)
                vars(made).update(self.make(node.attributes) or {})
                return made
            case Attributed():
                made = self.make(node.data)
                vars(made).update(self.make(node.attributes))
                return made
            case Sparse():
                return self._sparse(node)
            case Meta():
                dtype = getattr(torch, node.dtype)
                return torch.empty_strided(node.shape, node.strides, dtype=dtype, device="meta")
            case Quantized():
                return self._quantized(node)

    def _strided(self, node: Tensor) -> torch.Tensor:
        made = torch.empty(0, dtype=getattr(torch, node.dtype))
        made.set_(self._storage(node.storage), node.offset, node.shape, node.strides)
        torch._utils.set_tensor_metadata(made, {bit: True for bit in ("conj", "neg") if getattr(node, bit)})
        return made.requires_grad_(node.requires_grad)

    def _sparse(self, node: Sparse) -> torch.Tensor:
        parts = [self.make(part) for part in node.parts]
        if node.layout == "sparse_coo":
            return torch.sparse_coo_tensor(*parts, node.shape, is_coalesced=node.coalesced)
        return torch.sparse_compressed_tensor(*parts, node.shape, layout=getattr(torch, node.layout))

    def _quantized(self, node: Quantized) -> torch.Tensor:
        scale, zero, *axis = (self.make(part) for part in node.parameters)
        storage = self._typed(node.data.storage, node.data.dtype)
        shape, strides = node.data.shape, node.data.strides
        scheme = (getattr(torch, node.scheme), scale, zero, *axis)
        return torch._utils._rebuild_qtensor(storage, node.data.offset, shape, strides, scheme, False, {})


def _numpy(node: Node) -> Any:
    match node:
        case NumpyArray():
            flat = np.frombuffer(bytes(node.raw), dtype=_numpy(node.dtype))
            return flat.reshape(node.shape, order="F" if node.fortran else "C")
        case NumpyScalar():
            return np.frombuffer(node.raw, dtype=_numpy(node.dtype))[0]
        case NumpyDtype():
            return np.dtype(node.name)


def same(ours: Any, theirs: Any) -> None:
    """Both are equal, type for type, and share what they share in the same way."""
    _Comparison().compare(ours, theirs, "state")


class _Comparison:
    def __init__(self) -> None:
        # What is compared stays alive, so that no number of an object is given twice.
        self._pairs: dict[int, tuple[Any, Any]] = {}
        self._storages: dict[int, int] = {}

    def compare(self, ours: Any, theirs: Any, at: str) -> None:
        assert type(ours) is type(theirs), at
        if isinstance(ours, (list, dict, torch.Tensor)):
            assert self._pairs.setdefault(id(ours), (ours, theirs))[1] is theirs, f"{at}: identity"
        if isinstance(ours, torch.Tensor):
            self._tensors(ours, theirs, at)
        elif isinstance(ours, dict):
            assert [(type(key), key) for key in ours] == [(type(key), key) for key in theirs], at
            for key in ours:
                self.compare(ours[key], theirs[key], f"{at}[{key!r}]")
            attributes = [tuple(getattr(value, "__dict__", {}).items()) for value in (ours, theirs)]
            self.compare(*attributes, f"{at}: attributes")
            assert getattr(ours, "default_factory", 0) is getattr(theirs, "default_factory", 0), at
        elif isinstance(ours, (list, tuple)):
            assert len(ours) == len(theirs), at
            for index, pair in enumerate(zip(ours, theirs, strict=True)):
                self.compare(*pair, f"{at}[{index}]")
        elif isinstance(ours, np.ndarray):
            assert (ours.dtype, ours.shape, ours.tolist()) == (theirs.dtype, theirs.shape, theirs.tolist()), at
        elif isinstance(ours, torch.storage.TypedStorage):
            assert (ours.dtype, ours._untyped_storage.tolist()) == (theirs.dtype, theirs._untyped_storage.tolist()), at
        else:
            assert repr(ours) == repr(theirs), at

    def _tensors(self, ours: torch.Tensor, theirs: torch.Tensor, at: str) -> None:
        for fact in ("dtype", "shape", "layout", "requires_grad", "is_sparse", "device"):
            assert getattr(ours, fact) == getattr(theirs, fact), f"{at}: {fact}"
        if ours.layout is not torch.strided:
            parts = ("indices", "values") if ours.layout is torch.sparse_coo else ("values",)
            for part in (f"_{part}" if ours.layout is torch.sparse_coo else part for part in parts):
                self.compare(getattr(ours, part)(), getattr(theirs, part)(), f"{at}.{part}")
            return
        assert ours.stride() == theirs.stride(), at
        if ours.is_meta:
            return
        assert ours.storage_offset() == theirs.storage_offset(), at
        assert (ours.is_conj(), ours.is_neg()) == (theirs.is_conj(), theirs.is_neg()), at
        mine, other = ours.untyped_storage(), theirs.untyped_storage()
        assert self._storages.setdefault(mine._cdata, other._cdata) == other._cdata, f"{at}: shared storage"
        assert mine.nbytes() == other.nbytes(), at
        assert bytes(mine.tolist()) == bytes(other.tolist()), at
