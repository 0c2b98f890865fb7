"""The JSON of a header, read token by token.

Headers use a small part of JSON: objects two levels deep, strings, and lists of whole numbers. Reading just
that keeps three promises that a general parser does not give: there is no recursion and nothing is built for values
that the format does not have, so hostile input costs no stack and little memory; a name that occurs
twice is seen; and every complaint knows its byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NoReturn

from deltackpt.errors import FormatError, LimitError
from deltackpt.formats.safetensors.limits import MAX_RANK
from deltackpt.formats.wording import complaint, excerpt, quoted

# Possessive quantifiers (*+) never give back what they matched, so no input makes a pattern slow.
_SPACE = rb"[ \t\n\r]*+"
_TEXT = rb'"([^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+)"'
_WHOLE = rb"(?:0|[1-9][0-9]{0,19})"
_STRING = re.compile(_TEXT)
_KEY = re.compile(_SPACE + _TEXT + _SPACE + b":" + _SPACE)
_OPEN = re.compile(rb"\{(" + _SPACE + rb"\})?")
_NEXT = re.compile(_SPACE + rb"([,}])")
_LIST = rb"\[%(space)s((?:%(whole)s(?:%(space)s,%(space)s%(whole)s){0,%(more)d})?)%(space)s\]" % {
    b"space": _SPACE,
    b"whole": _WHOLE,
    b"more": MAX_RANK - 1,
}
_COUNTS = re.compile(_LIST)
_ANY_COUNTS = re.compile(rb"\[[0-9, \t\n\r]*+\]")
_USUAL_ENTRY = re.compile(
    rb'\{%(space)s"dtype"%(colon)s"([A-Z0-9_]+)"%(comma)s"shape"%(colon)s%(list)s%(comma)s"data_offsets"%(colon)s%(list)s%(space)s\}'
    % {b"space": _SPACE, b"colon": _SPACE + b":" + _SPACE, b"comma": _SPACE + b"," + _SPACE, b"list": _LIST}
)
_PADDING = re.compile(rb" *+")


class JsonScanner:
    """A position in the JSON text of ``file``, whose first byte stands at byte ``base`` of that file.

    ``owner`` is the tensor whose entry is being read; complaints name it.
    """

    def __init__(self, text: bytes, base: int, file: str) -> None:
        self._text = text
        self._base = base
        self._file = file
        self._at = 0
        self.owner: str | None = None

    @property
    def byte(self) -> int:
        """Where the scanner stands, from the start of the file."""
        return self._base + self._at

    def members(self, what: str) -> Iterator[tuple[int, str]]:
        """The keys of the object ``what``, each after the byte where it stands.

        The caller consumes each value before asking for the next key.
        """
        if self._match(_OPEN, what, "'{'").group(1):
            return
        seen: set[str] = set()
        while True:
            byte = self.byte
            key = self._decode(self._match(_KEY, what, "a name in double quotes and ':'"))
            if key in seen:
                self.refuse(f"duplicate name in {what}", "each name once", f"{quoted(key)} again", byte)
            seen.add(key)
            yield byte, key
            if self._match(_NEXT, what, "',' or '}'").group(1) == b"}":
                return

    def string(self, what: str) -> str:
        return self._decode(self._match(_STRING, what, "a string in double quotes"))

    def counts(self, what: str) -> tuple[int, ...]:
        """A list of whole numbers of at most 20 digits, at most ``MAX_RANK`` of them."""
        found = _COUNTS.match(self._text, self._at)
        if found is None:
            self._refuse_counts(what)
        self._at = found.end()
        return _numbers(found.group(1))

    def usual_entry(self) -> tuple[str, tuple[int, ...], tuple[int, ...]] | None:
        """An entry with its three fields in the order of every known writer, in one step; None for any other.

        Means the same as reading it member by member, several times faster; a model has thousands.
        """
        found = _USUAL_ENTRY.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        code, shape, offsets = found.groups()
        return code.decode(), _numbers(shape), _numbers(offsets)

    def end(self) -> None:
        """Nothing but spaces is left."""
        self._match(_PADDING, "padding", "spaces")
        if self._at != len(self._text):
            self.refuse("the header goes on after its closing brace", "spaces only", self._ahead())

    def refuse(
        self, what: str, expected: str, found: str, byte: int | None = None, kind: type[FormatError] = FormatError
    ) -> NoReturn:
        """Raise ``kind``. ``byte`` counts from the start of the file; without it, where the scanner stands."""
        subject = what if self.owner is None else f"{what} of tensor {quoted(self.owner)}"
        raise kind(complaint(self._file, subject, self.byte if byte is None else byte, expected, found))

    def _match(self, pattern: re.Pattern[bytes], what: str, expected: str) -> re.Match[bytes]:
        found = pattern.match(self._text, self._at)
        if found is None:
            self.refuse(what, expected, self._ahead())
        self._at = found.end()
        return found

    def _refuse_counts(self, what: str) -> NoReturn:
        """Say why there is no good list here: it is too long, or something in it is no whole number."""
        found = _ANY_COUNTS.match(self._text, self._at)
        if found and (count := found.group().count(b",") + 1) > MAX_RANK:
            self.refuse(what, f"at most {MAX_RANK} numbers", str(count), kind=LimitError)
        self.refuse(what, "a list of whole numbers below 2^64", self._ahead())

    def _decode(self, literal: re.Match[bytes]) -> str:
        """The text of a JSON string, checked as the format demands: UTF-8 and whole characters."""
        raw, start = literal.group(1), self._base + literal.start(1)
        try:
            text = raw.decode()
            return _unescape(text) if "\\" in text else text
        except UnicodeDecodeError as error:
            self.refuse("a string", "UTF-8", repr(raw[error.start : error.end]), start + error.start)
        except UnicodeEncodeError as error:
            self.refuse("a string", "whole characters", f"the surrogate {error.object[error.start]!r}", start)
        except json.JSONDecodeError as error:
            self.refuse("a string", "an escape of JSON", repr(error.doc[error.pos : error.pos + 2]), start)

    def _ahead(self) -> str:
        return excerpt(self._text, self._at, "the end of the header")


def _numbers(digits: bytes) -> tuple[int, ...]:
    return tuple(map(int, digits.split(b","))) if digits else ()


def _unescape(text: str) -> str:
    """Resolve the escapes of a JSON string's inside; UnicodeEncodeError for half of a surrogate pair."""
    plain: str = json.loads(f'"{text}"')
    plain.encode()
    return plain
