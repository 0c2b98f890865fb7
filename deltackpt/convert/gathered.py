"""Leaves of a checkpoint gathered into what is converted, whether it is in a store or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deltackpt.convert.chunked import whole_arrays
from deltackpt.convert.flat import FlatState, FlatTensor, Whole, nothing_changes
from deltackpt.convert.held import HeldFile, missing_in
from deltackpt.convert.said_by_files import said_by
from deltackpt.skeleton.leaves import TensorLeaf
from deltackpt.skeleton.nodes import Reference


@dataclass(slots=True)
class Gathered:
    """The leaves of all parts, or of one ``part`` under names without it."""

    part: str | None
    _tensors: list[tuple[Reference, FlatTensor]] = field(default_factory=list)
    _large: list[FlatTensor] = field(default_factory=list)
    _values: dict[str, Any] = field(default_factory=dict)

    def add_tensor(self, leaf: TensorLeaf, tensor: FlatTensor) -> None:
        """A leaf with its bytes; large values have theirs as tensors do."""
        if leaf.is_value:
            self.add_value(tensor.name, leaf.node)
            self._large.append(tensor)
            return
        self._tensors.append((leaf.reference, tensor))
        if leaf.whole is not None:
            # Its parts alone do not tell what a sparse or a quantised tensor was.
            self.add_value(tensor.name.rpartition("/")[0], leaf.whole)

    def add_value(self, name: str, value: Any) -> None:
        """What is no tensor."""
        self._values[name] = value

    def state(
        self,
        files: Sequence[HeldFile],
        shown: str,
        skeletons: Mapping[str, bytes],
        config: Callable[[], Any],
        check_unchanged: Callable[[], None] = nothing_changes,
    ) -> FlatState:
        """What is converted of ``files``, of which one without a path is called ``shown``.

        ``config`` gives the configuration of the model.
        """
        said = said_by(files, shown, self.part)
        arrays, unread, chunks = whole_arrays(dict(self._tensors), files, self.part)
        tensors = [tensor for reference, tensor in self._tensors if reference not in chunks]
        missing = (*missing_in(files, shown, self.part), *unread)
        whole = Whole(skeletons, tuple(self._large)) if self.part is None and not arrays else None
        values = said.values | self._values
        return FlatState((*tensors, *arrays), values, check_unchanged, said.origin(config), whole, missing)
