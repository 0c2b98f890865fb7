"""Where tensors stood in a state: the leaves that a walk found, before it is known what they share."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from deltackpt.skeleton.strided_source import StridedSource
from deltackpt.skeleton.view import View
from deltackpt.tensor.source import TensorSource

Opener = Callable[[Any, View], StridedSource]
"""Makes the source of a live tensor's plain bytes, given the tensor and its compact view."""


@dataclass(slots=True)
class Hole:
    """One tensor leaf.

    ``storage`` is equal for leaves that may share memory; ``view.offset`` counts from its start. ``subject`` is
    the live tensor. ``tag`` is that of the node when the leaf *is* its table entry; one more when it is a view of it.
    ``extra`` are the node's atoms between its flags and its reference.
    """

    name: str
    part: str
    tag: int
    flags: int
    extra: tuple[object, ...]
    view: View
    storage: Hashable
    subject: Any
    opener: Opener

    def again(self, name: str, part: str) -> Hole:
        """The same live tensor, met at another place."""
        return Hole(name, part, self.tag, self.flags, self.extra, self.view, self.storage, self.subject, self.opener)


@dataclass(slots=True, eq=False)
class Entry:
    """One row of a part's tensor table.

    ``layout`` is how its elements lay in memory; ``shared`` is the first entry of the same storage when its
    position in that storage is to be kept; a ``loose`` entry overlaps another one, so it cannot have a position.
    """

    name: str
    part: str
    order: int
    layout: View
    source: TensorSource
    shared: Entry | None = None
    loose: bool = False
    index: int = -1


@dataclass(slots=True)
class Settled:
    """A hole and where its bytes are: an entry, and the window on the entry's memory unless the leaf is all of it."""

    hole: Hole
    entry: Entry
    window: View | None = None
    twin: int = field(default=0)
