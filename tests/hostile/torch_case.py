"""A damaged or hostile file of PyTorch with what must become of it, and the good file that most are made from."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pickle_forge import STOP, call, dict_of, name, tensor, text
from zip_forge import Record, archive

from deltackpt.errors import FormatError


@dataclass(frozen=True, slots=True)
class Case:
    """A file, the format it is read as, the names of the tensors that are found, and the warning.

    ``text`` begins the warning, after the file's name. ``objections`` are what stands in the way of the state; None
    when no state is offered.
    """

    label: str
    raw: bytes
    format: str = "pytorch"
    tensors: tuple[str, ...] = ("w",)
    warning: type[FormatError] | None = None
    text: str = ""
    objections: tuple[str, ...] | None = ()


DATA = struct.pack("<4f", 1, 2, 3, 4)
GOOD = dict_of(w=tensor()) + STOP

PICKLE_AT = 30 + len("m/data.pkl")
"""Where the pickle of :func:`saved` stands, behind its local header."""

DATA_AT = PICKLE_AT + len(GOOD) + 30 + len("m/data/0")
"""Where the storage stands when the pickle is the good one."""

DIRECTORY_AT = DATA_AT + len(DATA)
END_AT = DIRECTORY_AT + 2 * 46 + len("m/data.pkl") + len("m/data/0")

SYSTEM = name("os", "system")
COMMAND = text("touch executed")
EVIL = call(SYSTEM, COMMAND)


def saved(pickled: bytes, *more: Record, data: bytes = DATA, **end: int) -> bytes:
    """An archive with a pickle and one storage of 16 bytes."""
    return archive(Record("m/data.pkl", pickled), Record("m/data/0", data), *more, **end)


def beside(hostile: bytes) -> bytes:
    """A good tensor, and ``hostile`` beside it."""
    return saved(dict_of(w=tensor(), x=hostile) + STOP)
