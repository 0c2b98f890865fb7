"""Where restored tensors go: memory blocks, the place of every table entry in them, and the buffers to be filled.

Nothing is allocated until every size, stride and window that the skeletons claim has been checked against the
tensor tables: a block is never larger than its data, the holes that were kept, and the allowance for strides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from deltackpt.errors import FormatError
from deltackpt.skeleton.nodes import Placement, Reference, Skeleton, TensorNode
from deltackpt.skeleton.table import TensorInfo
from deltackpt.skeleton.view import View, allowance

KEPT_GAP = 4096
ALIGNMENT = 64


class Allocator(Protocol):
    """A library's memory: a handle that the library makes tensors from, and the same bytes as a buffer."""

    def __call__(self, nbytes: int, *, zeroed: bool) -> tuple[Any, memoryview]: ...


@dataclass(slots=True, eq=False)
class Block:
    """Memory of one storage. ``handle`` belongs to the library that allocated it."""

    library: type[TensorNode]
    nbytes: int = 0
    holes: bool = False
    handle: Any = None
    memory: memoryview = field(default_factory=lambda: memoryview(b""))

    def allocate(self, allocator: Allocator) -> None:
        self.handle, self.memory = allocator(self.nbytes, zeroed=self.holes)


@dataclass(slots=True, eq=False)
class Slot:
    """The place of one table entry: ``layout`` counts from the start of the block, ``start`` is its first byte."""

    reference: Reference
    info: TensorInfo
    placement: Placement
    block: Block
    layout: View
    span: int
    start: int = 0
    scratch: memoryview | None = None

    def destination(self) -> memoryview:
        """Where the entry's plain bytes are to be written: its own memory when that is in C order."""
        if not self.layout.is_row_major():
            self.scratch = memoryview(bytearray(self.layout.nbytes))
            return self.scratch
        return self.block.memory[self.start : self.start + self.span]

    def settle(self) -> None:
        """Spread what was written over the entry's strides."""
        if self.scratch is not None:
            from deltackpt.skeleton.strided import scatter

            scatter(self.scratch, self.layout, self.block.memory)
            self.scratch = None

    def window(self, view: View | None) -> View:
        """The leaf ``view`` of this entry, from the start of its block. FormatError when it leaves the entry."""
        if view is None:
            return self.layout
        if self.placement.strides is not None:
            raise FormatError(f"skeleton: a view of {self.info.name!r}, which is not in C order itself")
        low, high = view.bounds()
        if low < 0 or high > self.span:
            raise FormatError(
                f"skeleton: a view of {self.info.name!r} reaches from byte {low} to {high} of {self.span}"
            )
        return view.shifted(self.start)


class Memory:
    """The blocks and slots of one restoration. Skeletons and tables are asked for as references need them."""

    def __init__(
        self,
        skeleton: Callable[[str], Skeleton],
        tables: Mapping[str, Sequence[TensorInfo]],
        nodes: Iterable[TensorNode],
    ) -> None:
        self._skeleton = skeleton
        self._tables = tables
        self._slots: dict[Reference, Slot] = {}
        self._blocks: dict[Reference, Block] = {}
        for node in dict.fromkeys(nodes):
            self._need(node)
        self._arrange()
        for node in dict.fromkeys(nodes):
            self.window(node)

    @property
    def blocks(self) -> list[Block]:
        return list(self._blocks.values())

    def allocate(self, allocator_of: Callable[[type[TensorNode]], Allocator]) -> dict[tuple[str, int], memoryview]:
        """Make every block; the buffers to be filled, by part and index."""
        for block in self._blocks.values():
            block.allocate(allocator_of(block.library))
        return {(ref.part, ref.index): slot.destination() for ref, slot in self._slots.items()}

    def settle(self) -> None:
        """Everything has been filled: finish what could not be written in place."""
        for slot in self._slots.values():
            slot.settle()

    def window(self, node: TensorNode) -> tuple[Block, View]:
        """The memory of a leaf."""
        slot = self._slots[node.reference]
        return slot.block, slot.window(node.view)

    def _need(self, node: TensorNode) -> None:
        slot = self._slots.get(node.reference) or self._slot(node.reference, type(node))
        if slot.block.library is not type(node):
            raise FormatError(f"skeleton: {slot.info.name!r} shares memory between NumPy and PyTorch")

    def _slot(self, reference: Reference, library: type[TensorNode]) -> Slot:
        skeleton = self._skeleton(reference.part)
        info = self._info(reference, skeleton)
        placement = skeleton.placements.get(reference.index, Placement())
        layout, span = _laid_out(info, placement)
        block = self._blocks.setdefault(placement.group or reference, Block(library))
        slot = self._slots[reference] = Slot(reference, info, placement, block, layout, span)
        return slot

    def _info(self, reference: Reference, skeleton: Skeleton) -> TensorInfo:
        table = self._tables[reference.part]
        if len(table) != skeleton.entries or reference.index >= len(table):
            raise FormatError(
                f"part {reference.part!r}: tensor {reference.index} of a table of {len(table)}, "
                f"the skeleton counts {skeleton.entries}; run deltackpt verify"
            )
        return table[reference.index]

    def _arrange(self) -> None:
        members: dict[Block, list[Slot]] = {}
        for slot in self._slots.values():
            members.setdefault(slot.block, []).append(slot)
        for block, slots in members.items():
            _arrange_block(block, slots)


def _laid_out(info: TensorInfo, placement: Placement) -> tuple[View, int]:
    """The entry's layout from its own first byte on, and how many bytes it spans."""
    view = View(info.dtype, info.shape, placement.strides)
    if placement.strides is None:
        return view, view.nbytes
    if len(placement.strides) != len(info.shape):
        raise FormatError(f"skeleton: {info.name!r} has {len(info.shape)} dimensions, {len(placement.strides)} strides")
    low, high = view.bounds()
    if high - low > allowance(view.nbytes):
        raise FormatError(f"skeleton: the strides of {info.name!r} spread {view.nbytes} bytes over {high - low}")
    return view.shifted(-low), high - low


def _arrange_block(block: Block, slots: list[Slot]) -> None:
    """Positions as in the original storage, where holes are short; a longer hole shrinks without changing alignment."""
    end = original_end = 0
    for slot in sorted(slots, key=lambda slot: slot.placement.position):
        gap = slot.placement.position - original_end
        if gap < 0:
            raise FormatError(f"skeleton: {slot.info.name!r} overlaps another tensor of its storage")
        slot.start = end + (gap if gap <= KEPT_GAP else gap % ALIGNMENT)
        slot.layout = slot.layout.shifted(slot.start)
        end = slot.start + slot.span
        original_end = slot.placement.position + slot.span
    block.nbytes = end
    block.holes = end > sum(slot.layout.nbytes for slot in slots)
