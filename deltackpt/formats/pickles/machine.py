"""A machine that reads a pickle without running it: it can make nothing but the nodes of a tree.

1. Opcodes that push a literal value read it from the tape.
2. The others move nodes between the stack, its marks and the memo, and fill containers.
3. A call or a state meets the lists in ``calls``; what is not on them becomes an opaque node with the name that the
   pickle gives. No name is looked up, no module imported, nothing called.

The machine never recurses, so a pickle may nest as deep as it has bytes.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from deltackpt.errors import FormatError, LimitError
from deltackpt.formats.pickles.calls import build, call, named
from deltackpt.formats.pickles.limits import MAX_GLOBAL_NAME, MAX_OPCODES
from deltackpt.formats.pickles.literals import LITERALS
from deltackpt.formats.pickles.misfit import Budget, MisfitError
from deltackpt.formats.pickles.nodes import Dict, Node, Opaque, Set, Storage
from deltackpt.formats.pickles.stack import Stack, paired
from deltackpt.formats.pickles.storages import Storages
from deltackpt.formats.pickles.tape import Tape

NEWEST_PROTOCOL = 5

_COPY_SLACK = 1 << 20
_LONGEST_INDEX = 19


@dataclass(frozen=True, slots=True)
class Unpickled:
    """What one pickle says. ``end`` is the offset behind its last byte; ``storages`` are those it refers to, by key.

    ``fault`` is the first description in it that cannot be true; such a one is an opaque node of the tree.
    """

    root: Node
    end: int
    storages: dict[str, Storage]
    fault: FormatError | None


def read_pickle(data: bytes, base: int, file: str) -> Unpickled:
    """The pickle at the start of ``data``, which stands at byte ``base`` of ``file``.

    Raises FormatError (PickleCutError when the bytes end first) or LimitError.
    """
    with _collector_paused():
        return _Machine(Tape(data, base, file)).run()


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Python's cycle collector would visit all that was built again and again, and find nothing: it is all in use."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Machine:
    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.stack = Stack()
        self._storages = Storages()
        self._budget = Budget(len(tape.data) + _COPY_SLACK)
        self._fault: FormatError | None = None
        self._opcode_at = 0

    def run(self) -> Unpickled:
        try:
            root = self._root()
        except IndexError:
            self._refuse("an opcode", "values on the stack for it", "none")
        except MisfitError as misfit:
            self._refuse(misfit.what, misfit.expected, misfit.found, misfit.kind)
        return Unpickled(root, self.tape.at, self._storages.by_key, self._fault)

    def _root(self) -> Node:
        """Obey every opcode up to STOP; the value that is left."""
        tape, data, size = self.tape, self.tape.data, len(self.tape.data)
        for _ in range(MAX_OPCODES):
            self._opcode_at = at = tape.at
            if at >= size:
                tape.cut("an opcode")
            tape.at = at + 1
            opcode = data[at]
            if (act := _ACTS.get(opcode)) is not None:
                act(self)
            elif (literal := LITERALS.get(opcode)) is not None:
                self.stack.push(literal(tape))
            elif opcode == _STOP:
                return self.stack.pop()
            else:
                raise MisfitError("an opcode", "one of the protocols 0 to 5", repr(data[at : at + 1]))
        raise MisfitError("the pickle", f"at most {MAX_OPCODES} opcodes", "more", LimitError)

    def _refuse(self, what: str, expected: str, found: str, kind: type[FormatError] = FormatError) -> NoReturn:
        self.tape.refuse(what, expected, found, self._opcode_at, kind)

    def complain(self, misfit: MisfitError) -> None:
        """Note the first description that cannot be true, and go on."""
        if self._fault is None:
            text = self.tape.worded(misfit.what, self._opcode_at, misfit.expected, misfit.found)
            self._fault = misfit.kind(text)

    # Names

    def line_number(self) -> int:
        text = self.tape.line()
        if not text.isdigit() or len(text) > _LONGEST_INDEX:
            raise MisfitError("an opcode", "a memo index", repr(text[:_LONGEST_INDEX]))
        return int(text)

    def global_from_lines(self) -> Node:
        module, name = self.tape.line(), self.tape.line()
        return self._named(module.decode("utf-8", "replace"), name.decode("utf-8", "replace"))

    def global_from_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.push(self._named(module, name))

    def _named(self, module: Node, name: Node) -> Node:
        if type(module) is not str or type(name) is not str:
            raise MisfitError("an opcode", "two strings that name a global", "other values")
        if max(len(module), len(name)) > MAX_GLOBAL_NAME:
            raise MisfitError("the name of a global", f"at most {MAX_GLOBAL_NAME} characters", "more", LimitError)
        self._budget.spend(len(module) + len(name))
        return named(module, name)

    # Calls and states

    def call(self, target: Node, args: Node) -> Node:
        return call(target, args, self._budget, self.complain)

    def reduce(self) -> None:
        args, target = self.stack.pop(), self.stack.pop()
        self.stack.push(self.call(target, args))

    def call_with_keywords(self) -> None:
        keywords, args, cls = self.stack.pop(), self.stack.pop(), self.stack.pop()
        made = self.call(cls, args)
        if type(keywords) is not Dict or keywords.pairs:
            made = Opaque("a call with keywords", (made, keywords))
        self.stack.push(made)

    def object_from_mark(self) -> None:
        cls, *args = self.stack.since_mark() or [None]
        self.stack.push(self.call(cls, tuple(args)))

    def instance(self) -> None:
        cls = self.global_from_lines()
        args = tuple(self.stack.since_mark())
        self.stack.push(self.call(cls, args))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack.pop()
        self.stack.push(build(target, state, self._budget, self.complain))

    def extension(self, width: int) -> None:
        self.stack.push(Opaque(f"extension {self.tape.number(width)}"))

    def persistent(self, pid: Node) -> None:
        try:
            self.stack.push(self._storages.named_by(pid))
        except MisfitError as misfit:
            if misfit.what:
                self.complain(misfit)
            self.stack.push(Opaque("a persistent id", (pid,)))

    # Framing

    def protocol(self) -> None:
        if (version := self.tape.byte()) > NEWEST_PROTOCOL:
            raise MisfitError("the protocol", f"at most {NEWEST_PROTOCOL}", version)

    def frame(self) -> None:
        if (length := self.tape.number(8)) > len(self.tape.data) - self.tape.at:
            self.tape.cut(f"a frame of {length} bytes")


_STOP = ord(".")

_ACTS: dict[int, Callable[[_Machine], object]] = {
    ord("("): lambda m: m.stack.mark(),
    ord("0"): lambda m: m.stack.drop(),
    ord("1"): lambda m: m.stack.since_mark(),
    ord("2"): lambda m: m.stack.duplicate(),
    ord("t"): lambda m: m.stack.push(tuple(m.stack.since_mark())),
    0x85: lambda m: m.stack.tuple_of(1),
    0x86: lambda m: m.stack.tuple_of(2),
    0x87: lambda m: m.stack.tuple_of(3),
    ord("l"): lambda m: m.stack.push(m.stack.since_mark()),
    ord("d"): lambda m: m.stack.push(Dict("dict", paired(m.stack.since_mark()))),
    0x91: lambda m: m.stack.push(Set(m.stack.since_mark(), frozen=True)),
    ord("a"): lambda m: m.stack.append(),
    ord("e"): lambda m: m.stack.extend(m.stack.since_mark()),
    ord("s"): lambda m: m.stack.set_item(),
    ord("u"): lambda m: m.stack.set_items(m.stack.since_mark()),
    0x90: lambda m: m.stack.add_items(m.stack.since_mark()),
    ord("p"): lambda m: m.stack.put(m.line_number()),
    ord("q"): lambda m: m.stack.put(m.tape.byte()),
    ord("r"): lambda m: m.stack.put(m.tape.number(4)),
    0x94: lambda m: m.stack.put_next(),
    ord("g"): lambda m: m.stack.get(m.line_number()),
    ord("h"): lambda m: m.stack.get(m.tape.byte()),
    ord("j"): lambda m: m.stack.get(m.tape.number(4)),
    ord("c"): lambda m: m.stack.push(m.global_from_lines()),
    0x93: _Machine.global_from_stack,
    ord("R"): _Machine.reduce,
    0x81: _Machine.reduce,
    0x92: _Machine.call_with_keywords,
    ord("o"): _Machine.object_from_mark,
    ord("i"): _Machine.instance,
    ord("b"): _Machine.build,
    0x82: lambda m: m.extension(1),
    0x83: lambda m: m.extension(2),
    0x84: lambda m: m.extension(4),
    ord("P"): lambda m: m.persistent(m.tape.line().decode("utf-8", "replace")),
    ord("Q"): lambda m: m.persistent(m.stack.pop()),
    0x80: _Machine.protocol,
    0x95: _Machine.frame,
    0x97: lambda m: m.stack.push(Opaque("a buffer outside the pickle")),
    0x98: lambda m: m.stack.top[-1],
}
