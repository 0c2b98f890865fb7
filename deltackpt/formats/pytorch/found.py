"""The tensors of one saved object: where its storages stand, and the spans that follow."""

from __future__ import annotations

from collections.abc import Mapping

from deltackpt.formats.pickles.machine import Unpickled
from deltackpt.formats.pickles.nodes import Node, Storage, StorageView, Tensor
from deltackpt.formats.pickles.paths import Step
from deltackpt.formats.pickles.state import Place
from deltackpt.formats.pickles.walk import walk
from deltackpt.formats.pytorch.names import Namer
from deltackpt.formats.pytorch.tiling import View, tensor_spans
from deltackpt.formats.spans import TensorSpan


def tensors_of(
    unpickled: Unpickled, places: Mapping[str, Place], namer: Namer, top: Step | None = None
) -> list[TensorSpan]:
    """The spans of every storage that has a place and that some tensor of the state views; names begin at ``top``."""
    views: dict[str, list[View]] = {}
    for node, step in walk(unpickled.root, top):
        storage = _storage_of(node)
        if storage is not None:
            views.setdefault(storage.key, []).append(View(step, node if type(node) is Tensor else None))
    spans: list[TensorSpan] = []
    for key in sorted(views.keys() & places.keys(), key=lambda key: places[key].offset):
        spans += tensor_spans(unpickled.storages[key], places[key], views[key], namer.name)
    return spans


def _storage_of(node: Node) -> Storage | None:
    match node:
        case Storage():
            return node
        case Tensor(storage=storage) | StorageView(storage=storage):
            return storage
        case _:
            return None
