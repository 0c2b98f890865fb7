"""States that are dicts by name: which of their keys name parts."""

from __future__ import annotations

from deltackpt.content.described import Described
from deltackpt.formats.pickles.nodes import Dict, Node, Opaque, Set
from deltackpt.skeleton.names import is_part_name

_CONTAINERS = (list, tuple, Dict, Set, Opaque)


def inner_parts(file: Described) -> list[str]:
    """The keys of a file's nested state that name parts of it, as those of a live state do."""
    if file.exported is not None:
        return file.exported.parts
    state = file.reading.state
    if state is None or not is_named_dict(state.root):
        return []
    return [key for key, value in state.root.pairs if is_part_name(key) and type(value) in _CONTAINERS]


def is_named_dict(node: Node) -> bool:
    """Whether a state is a dict whose keys are all names."""
    return type(node) is Dict and all(type(key) is str for key, _ in node.pairs)
