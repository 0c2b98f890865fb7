"""What files say beside their tensors: kept wherever the format that is written has a place for it.

The metadata of safetensors, the properties of an ONNX model and the attributes of the outermost group of zarr are
values by key, and go over as such. Keys of GGUF have types: elsewhere they are JSON under ``deltackpt.gguf``, from
which they come back; and in GGUF the metadata of others is JSON under ``deltackpt.metadata``. What a conversion has
kept of a state under ``deltackpt.values`` is numbers and texts beside the tensors again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deltackpt.convert.flat import VALUES, FlatState, Origin, is_plain
from deltackpt.convert.gguf_keys import NOTHING_SAID, from_json, to_json, together
from deltackpt.errors import DeltackptError, InvalidInputError
from deltackpt.formats.gguf.codes import STRING
from deltackpt.formats.gguf.values import Keys
from deltackpt.formats.wording import listed, quoted
from deltackpt.skeleton.names import joined

KEYS = "deltackpt.gguf"
METADATA = "deltackpt.metadata"
FRAMEWORK = "format"

_FRAMEWORKS = ("pt", "tf", "np", "flax", "mlx")
_NAMED = 3


@dataclass(slots=True)
class Said:
    """``metadata`` are JSON values by key; ``keys`` those of each GGUF file; ``values`` are of a state, by full names.

    ``left`` tells what of the files goes into no other file, ``refusal`` why the keys do not; ``bare`` are files that
    hold no tensors and no values, and describe no others.
    """

    metadata: dict[str, Any] = field(default_factory=dict)
    keys: list[Keys] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    refusal: DeltackptError | None = None
    _nodes: list[str] = field(default_factory=list)

    def take(self, told: Mapping[str, Any], file: str, prefix: str) -> None:
        """What the ``file`` says; names of values in it are below ``prefix``."""
        for key, value in told.items():
            if key == VALUES and (values := _values(value)) is not None:
                self._take_values(values, prefix)
            elif key == KEYS and (keys := _keys(value)) is not None:
                self.keys.append(keys)
            elif not _is_unicode(key, value):
                self.left.append(f"{quoted(key)} in {file}: no valid Unicode")
            elif self.metadata.setdefault(key, value) != value:
                self.left.append(f"{quoted(key)} in {file}: another file says something else there")

    def take_keys(self, keys: Keys, file: str, prefix: str) -> None:
        """The keys of a GGUF file."""
        values, metadata = _values(_text(keys, VALUES)), _object(_text(keys, METADATA))
        ours = {key for key, told in ((VALUES, values), (METADATA, metadata)) if told is not None}
        self.keys.append({key: one for key, one in keys.items() if key not in ours and one != NOTHING_SAID.get(key)})
        self.take(metadata or {}, file, prefix)
        self._take_values(values or {}, prefix)

    def _take_values(self, values: Mapping[str, Any], prefix: str) -> None:
        self.values |= {joined(prefix, name): one for name, one in values.items()}

    def take_node(self, name: str) -> None:
        """A group or array of zarr that has attributes, which only the outermost one keeps."""
        self._nodes.append(name)

    def origin(self, config: Callable[[], Any]) -> Origin:
        """All of it but the values."""
        nodes = listed(list(map(quoted, self._nodes)), _NAMED)
        left = (*self.left, *([f"attributes of {nodes}"] if nodes else ()))
        try:
            keys, refusal = together(self.keys), self.refusal
        except InvalidInputError as error:
            keys, refusal = {}, error
        return Origin(self.metadata, keys, refusal, left, tuple(self.bare), config)


def metadata_of(state: FlatState, format: str) -> dict[str, Any]:
    """JSON values by key, for a file of a ``format`` that has room for such: what was said, and the state's values.

    InvalidInputError for values that are no number, text or None.
    """
    values, origin = state.values_text(format), state.origin
    keys = {KEYS: to_json(origin.keys)} if origin.keys else {}
    return {**unframed(origin.metadata), **keys, **({} if values is None else {VALUES: values})}


def texts_of(told: Mapping[str, Any]) -> dict[str, str]:
    """The same as texts, JSON for what is none."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in told.items()}


def unframed(told: Mapping[str, Any]) -> dict[str, Any]:
    """Without what safetensors' own libraries note there, whose tensors they are."""
    return {key: value for key, value in told.items() if key != FRAMEWORK or value not in _FRAMEWORKS}


def _is_unicode(key: str, value: Any) -> bool:
    try:
        (key + value if isinstance(value, str) else key).encode()
    except UnicodeEncodeError:
        return False
    return True


def _values(text: Any) -> dict[str, Any] | None:
    """The values that a conversion has kept; None for a text that something else has put there."""
    told = _object(text)
    return told if told is not None and all(map(is_plain, told.values())) else None


def _object(text: Any) -> dict[str, Any] | None:
    try:
        told = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _keys(text: Any) -> Keys | None:
    try:
        return from_json(text)
    except (ValueError, TypeError):
        return None


def _text(keys: Keys, key: str) -> str | None:
    """The text under ``key``; None when there is none."""
    value = keys.get(key)
    try:
        return None if value is None or value.kind != STRING else value.content.decode()
    except UnicodeDecodeError:
        return None
