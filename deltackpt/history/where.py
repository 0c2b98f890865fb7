"""Conditions on commits: ``val_loss < 2.5 and step > 1000``.

    condition   ::=  term { "or" term }
    term        ::=  factor { "and" factor }
    factor      ::=  "not" factor | "(" condition ")" | value [ compare value ]
    compare     ::=  "<" | "<=" | ">" | ">=" | "==" | "!="
    value       ::=  number | text in quotes | name

A name is ``step``, ``branch``, ``message``, ``holds``, ``healthy`` or a metric. A comparison with something that a
commit does not have is false; a value by itself asks whether the commit has it and it is not zero, empty or false.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from deltackpt.errors import InvalidInputError
from deltackpt.history.commits import Commit

MAX_CHARACTERS = 2000
MAX_NESTING = 50

_TOKEN = re.compile(
    r"\s*(?:(?P<compare><=|>=|==|!=|<|>)|(?P<bracket>[()])|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
    r"|(?P<text>'[^']*'|\"[^\"]*\")|(?P<name>[^\W\d][\w./:-]*))"
)
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_FACTS: dict[str, Callable[[Commit], Any]] = {
    "step": lambda commit: commit.step,
    "branch": lambda commit: commit.branch,
    "message": lambda commit: commit.message,
    "holds": lambda commit: commit.holds,
    "healthy": lambda commit: commit.healthy,
}

Condition = Callable[[Commit], bool]
_Value = Callable[[Commit], Any]


def where(text: str) -> Condition:
    """The condition that ``text`` states; InvalidInputError says where it stops making sense."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidInputError(f"a condition of more than {MAX_CHARACTERS} characters; make it shorter")
    parser = _Parser(text, list(_tokens(text)))
    condition = parser.condition()
    if parser.current.kind != "end":
        raise parser.complaint("nothing more")
    return condition


@dataclass(frozen=True, slots=True)
class _Token:
    """A word of the condition, and where it begins."""

    kind: str
    text: str
    at: int


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise InvalidInputError(f"{text!r}: {text[at:].strip()[:20]!r} makes no sense; see `deltackpt log --help`")
        found = match[match.lastgroup]
        word = match.lastgroup == "name" and found in ("and", "or", "not")
        yield _Token("word" if word else match.lastgroup, found, match.start(match.lastgroup))
        at = match.end()
    yield _Token("end", "the end", len(text))


class _Parser:
    """Recursive descent, with a bound on how deep."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def current(self) -> _Token:
        return self._tokens[self._at]

    def complaint(self, expected: str) -> InvalidInputError:
        token = self.current
        return InvalidInputError(
            f"{self._text!r}: {expected} expected at character {token.at + 1}, found {token.text!r};"
            " a condition is like val_loss < 2.5 and step > 1000"
        )

    def condition(self) -> Condition:
        terms = [self._term()]
        while self._took("or"):
            terms.append(self._term())
        return lambda commit: any(term(commit) for term in terms)

    def _term(self) -> Condition:
        factors = [self._factor()]
        while self._took("and"):
            factors.append(self._factor())
        return lambda commit: all(factor(commit) for factor in factors)

    def _factor(self) -> Condition:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise InvalidInputError(f"a condition nested deeper than {MAX_NESTING}; make it simpler")
        try:
            return self._nested()
        finally:
            self._depth -= 1

    def _nested(self) -> Condition:
        if self._took("not"):
            factor = self._factor()
            return lambda commit: not factor(commit)
        if self._took("("):
            condition = self.condition()
            if not self._took(")"):
                raise self.complaint("')'")
            return condition
        return self._comparison()

    def _comparison(self) -> Condition:
        left = self._value()
        if self.current.kind != "compare":
            return lambda commit: bool(left(commit))
        compare = _COMPARE[self._take().text]
        right = self._value()
        return lambda commit: _holds(compare, left(commit), right(commit))

    def _value(self) -> _Value:
        token = self.current
        if token.kind not in ("number", "text", "name"):
            raise self.complaint("a number or a name")
        self._at += 1
        if token.kind == "name":
            return _fact(token.text)
        value = float(token.text) if token.kind == "number" else token.text[1:-1]
        return lambda commit: value

    def _take(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _took(self, text: str) -> bool:
        if self.current.text != text or self.current.kind not in ("word", "bracket"):
            return False
        self._at += 1
        return True


def _fact(name: str) -> _Value:
    return _FACTS.get(name) or (lambda commit: commit.metrics.get(name))


def _holds(compare: Callable[[Any, Any], Any], left: Any, right: Any) -> bool:
    if left is None or right is None or isinstance(left, str) != isinstance(right, str):
        return False
    return bool(compare(left, right))
