"""The keys of the GGUF files that tensors come from: those of several put together, and as JSON.

Their types are part of the JSON, so that a GGUF file that is made of a file in between has the same keys.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from typing import Any

from deltackpt.errors import InvalidInputError
from deltackpt.formats.gguf.codes import ARRAY, SCALAR_FORMATS, STRING
from deltackpt.formats.gguf.metadata import ALIGNMENT_KEY
from deltackpt.formats.gguf.values import Keys, Value
from deltackpt.formats.wording import quoted

ARCHITECTURE = "general.architecture"
UNKNOWN = "unknown"
NOTHING_SAID = {ARCHITECTURE: Value(STRING, UNKNOWN.encode())}
"""What is written because the format requires something."""

_OF_ONE_SHARD = "split."
_OF_ONE_FILE = ALIGNMENT_KEY.decode()
# Texts of GGUF are bytes, and need not be UTF-8.
_ANY_BYTES = "surrogateescape"


def together(files: Iterable[Keys]) -> Keys:
    """The keys of several files, such as the shards of one model, without those that tell the shards apart.

    InvalidInputError when two files differ in one.
    """
    found: dict[str, Value] = {}
    for key, value in _pairs(files):
        if found.setdefault(key, value) != value:
            raise InvalidInputError(
                f"the tensors come from GGUF files that differ in key {quoted(key)}; convert one file by itself"
            )
    return found


def _pairs(files: Iterable[Keys]) -> Iterator[tuple[str, Value]]:
    for keys in files:
        yield from ((key, value) for key, value in keys.items() if not key.startswith(_OF_ONE_SHARD))


def to_json(keys: Keys) -> str:
    """``{"KEY": {"type": 8, "value": "llama"}, ...}``; types are the format's numbers, and arrays say ``of`` which."""
    told = {key: _told(value) for key, value in keys.items() if key != _OF_ONE_FILE}
    return json.dumps(told, separators=(",", ":"))


def _told(value: Value) -> dict[str, Any]:
    kind = {"type": value.kind} if value.item_kind is None else {"type": value.kind, "of": value.item_kind}
    content = value.content
    return {**kind, "value": [*map(_text, content)] if isinstance(content, list) else _text(content)}


def _text(item: Any) -> Any:
    return item.decode(errors=_ANY_BYTES) if isinstance(item, bytes) else item


def from_json(text: str) -> Keys:
    """The keys again; ValueError for anything else."""
    try:
        return {key: _value(told) for key, told in json.loads(text).items() if key != _OF_ONE_FILE}
    except (TypeError, KeyError, AttributeError, OverflowError, RecursionError, struct.error) as error:
        raise ValueError(f"no keys of GGUF: {error}") from None


def _value(told: Any) -> Value:
    kind, item_kind, content = told["type"], told.get("of"), told["value"]
    if kind != ARRAY:
        return Value(kind, _items(kind, [content])[0])
    return Value(kind, _items(item_kind, list(content)), item_kind)


def _items(kind: int, items: list[Any]) -> list[Any]:
    """The items, once it is known that a file can hold them."""
    if kind == STRING:
        return [item.encode(errors=_ANY_BYTES) for item in items]
    struct.pack(f"<{len(items)}{SCALAR_FORMATS[kind]}", *items)
    return items
