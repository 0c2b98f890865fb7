"""Rows of the parts' tensor tables that are being made."""

from __future__ import annotations

from dataclasses import dataclass

from deltackpt.formats.names import DistinctNames
from deltackpt.skeleton.capture import CapturedTensor
from deltackpt.skeleton.nodes import Reference
from deltackpt.tensor.dtype import BYTES
from deltackpt.tensor.source import TensorSource


@dataclass(slots=True, eq=False)
class Row:
    """A tensor with its part and complete name; numbered when all rows of its part are known."""

    part: str
    name: str
    source: TensorSource
    index: int = -1

    @property
    def reference(self) -> Reference:
        return Reference(self.part, self.index)


class Tables:
    """The rows of every part. Names are distinct; a repeated one gets a number."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Row]] = {}
        self._names = DistinctNames()
        self._numbered = False

    def add(self, part: str, name: str, source: TensorSource) -> Row:
        """A new row. After :meth:`number` it goes to the end."""
        row = Row(part, self._names.add(name), source)
        rows = self._rows.setdefault(part, [])
        rows.append(row)
        if self._numbered:
            row.index = len(rows) - 1
        return row

    def number(self) -> None:
        """Put tensors first: bytes, which have another length in every commit, are apart in objects of their own."""
        for rows in self._rows.values():
            rows.sort(key=lambda row: row.source.dtype is BYTES)
            for index, row in enumerate(rows):
                row.index = index
        self._numbered = True

    @property
    def parts(self) -> frozenset[str]:
        """Parts that have a row."""
        return frozenset(self._rows)

    def of(self, part: str) -> tuple[CapturedTensor, ...]:
        """The table of a part, in order."""
        return tuple(CapturedTensor(row.name, row.source) for row in self._rows.get(part, ()))
