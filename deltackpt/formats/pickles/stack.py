"""What the opcodes of a pickle work on: the stack with its marks, the containers on it, and the memo.

Underflow is an IndexError, and a container of the wrong kind a MisfitError; the machine knows which opcode it was.
"""

from __future__ import annotations

from deltackpt.formats.pickles.misfit import MisfitError
from deltackpt.formats.pickles.nodes import Dict, Node, Opaque, Set


class Stack:
    """Nodes being put together."""

    def __init__(self) -> None:
        self.top: list[Node] = []
        self._below: list[list[Node]] = []
        self._memo: dict[int, Node] = {}

    def push(self, node: Node) -> None:
        self.top.append(node)

    def pop(self) -> Node:
        return self.top.pop()

    def mark(self) -> None:
        self._below.append(self.top)
        self.top = []

    def since_mark(self) -> list[Node]:
        """Everything above the last mark; the mark is gone."""
        items = self.top
        self.top = self._below.pop()
        return items

    def drop(self) -> None:
        """Take off the last value, or the last mark when nothing stands above it."""
        if self.top:
            self.top.pop()
        else:
            self.since_mark()

    def duplicate(self) -> None:
        self.push(self.top[-1])

    # Containers

    def tuple_of(self, count: int) -> None:
        if len(self.top) < count:
            raise IndexError
        items = tuple(self.top[-count:])
        del self.top[-count:]
        self.push(items)

    def append(self) -> None:
        item = self.pop()
        target = self.top[-1]
        if type(target) is list:
            target.append(item)
        else:
            self.extend([item])

    def extend(self, items: list[Node]) -> None:
        match self.top[-1]:
            case list() as target:
                target += items
            case Opaque() as target:
                target.items += items
            case other:
                raise MisfitError("an opcode", "a list to append to", type(other).__name__)

    def set_items(self, items: list[Node]) -> None:
        match self.top[-1]:
            case Dict() | Opaque() as target:
                target.pairs += paired(items)
            case other:
                raise MisfitError("an opcode", "a dictionary to fill", type(other).__name__)

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def add_items(self, items: list[Node]) -> None:
        match self.top[-1]:
            case Set() | Opaque() as target:
                target.items += items
            case other:
                raise MisfitError("an opcode", "a set to fill", type(other).__name__)

    # The memo

    def put(self, index: int) -> None:
        self._memo[index] = self.top[-1]

    def put_next(self) -> None:
        self._memo[len(self._memo)] = self.top[-1]

    def get(self, index: int) -> None:
        try:
            self.top.append(self._memo[index])
        except KeyError:
            raise MisfitError("an opcode", "an object in the memo", f"none at {index}") from None


def paired(items: list[Node]) -> list[tuple[Node, Node]]:
    """Keys and values that stand one after the other."""
    if len(items) % 2:
        raise MisfitError("an opcode", "a value for each key", "none")
    return list(zip(items[::2], items[1::2], strict=True))
