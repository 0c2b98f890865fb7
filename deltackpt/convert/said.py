"""What files say beside their tensors: kept wherever the format that is written has a place for it.

The metadata of safetensors, the properties of an ONNX model and the attributes of the outermost group of zarr are
values by key, and go over as such. Keys of GGUF have types: elsewhere they are JSON under ``deltackpt.gguf``, from
which they come back; and in GGUF the metadata of others is JSON under ``deltackpt.metadata``. What a conversion has
kept of a state under ``deltackpt.values`` is numbers and texts beside the tensors again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from deltackpt.convert.flat import VALUES, FlatState, Origin, is_plain
from deltackpt.convert.gguf_keys import NOTHING_SAID, from_json, to_json, together
from deltackpt.convert.held import HeldFile, within
from deltackpt.errors import DeltackptError, FormatError, InvalidInputError
from deltackpt.formats.gguf.codes import STRING
from deltackpt.formats.gguf.values import Keys, read_keys
from deltackpt.formats.onnx.properties import read_told
from deltackpt.formats.safetensors.reader import read_header
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import listed, quoted, shown_path
from deltackpt.formats.zarr.metadata import read_json
from deltackpt.skeleton.names import joined, segment

KEYS = "deltackpt.gguf"
METADATA = "deltackpt.metadata"
FRAMEWORK = "format"

_FRAMEWORKS = ("pt", "tf", "np", "flax", "mlx")
_STATE = "deltackpt"
_GROUPS = frozenset({"zarr.json", ".zgroup", ".zarray"})
_ATTRIBUTES = frozenset({"zarr.json", ".zattrs"})
_DESCRIPTIONS = _GROUPS | _ATTRIBUTES | {".zmetadata", ".metadata", "checkpoint"}
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
                self.values |= {joined(prefix, name): one for name, one in values.items()}
            elif key == KEYS and (keys := _keys(value)) is not None:
                self.keys.append(keys)
            elif not _is_unicode(key, value):
                self.left.append(f"{quoted(key)} in {file}: no valid Unicode")
            elif self.metadata.setdefault(key, value) != value:
                self.left.append(f"{quoted(key)} in {file}: another file says something else there")

    def take_keys(self, keys: Keys, file: str, prefix: str) -> None:
        """The keys of a GGUF file."""
        told = {key: keys[key].content.decode() for key in (VALUES, METADATA) if _is_text(keys, key)}
        self.keys.append(
            {key: value for key, value in keys.items() if key not in told and value != NOTHING_SAID.get(key)}
        )
        metadata = told.pop(METADATA, "{}")
        self.take({**(_object(metadata) or {}), **told}, file, prefix)

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


def said_by(files: Iterable[HeldFile], name: str, part: str | None) -> Said:
    """What all ``files`` say, or those of one ``part``; ``name`` is what a file without a path is called."""
    files = list(files)
    found, read = Said(), [file for file in files if file.is_sound and part in (None, file.part)]
    found.bare = [file.path for file in files if file.path and file.entry.key is None and not _describes(file.path)]
    nodes = {os.path.dirname(file.path) for file in read if os.path.basename(file.path) in _GROUPS}
    for file in read:
        base = os.path.basename(file.path)
        reader = _take_attributes if base in _ATTRIBUTES else _READERS.get(file.entry.format)
        if reader is not None:
            with file.open() as source:
                reader(found, file, source, shown_path(file.path or name), nodes)
    named = ((within(full, part), value) for full, value in found.values.items())
    found.values = {own: value for own, value in named if own is not None}
    return found


def _describes(path: str) -> bool:
    """Whether a file without tensors says of others what is in them."""
    name = os.path.basename(path)
    return name in _DESCRIPTIONS or name.endswith((".index", ".index.json"))


def _prefix(file: HeldFile) -> str:
    """What the names of a file's tensors begin with."""
    return joined(file.part, file.entry.key) if file.entry.key else file.part


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


_Nodes = set[str]


def _take_header(found: Said, file: HeldFile, source: SourceFile, shown: str, _: _Nodes) -> None:
    metadata = read_header(source).metadata or {}
    # The state that a checkout has written there is what the tensors are read as.
    found.take({key: text for key, text in metadata.items() if key != _STATE}, shown, _prefix(file))


def _take_gguf(found: Said, file: HeldFile, source: SourceFile, shown: str, _: _Nodes) -> None:
    try:
        found.take_keys(read_keys(source), shown, _prefix(file))
    except FormatError as error:
        found.refusal = error


def _take_model(found: Said, file: HeldFile, source: SourceFile, shown: str, _: _Nodes) -> None:
    try:
        told = read_told(source)
    except FormatError as error:
        found.left.append(str(error))
        return
    if told.nodes:
        found.left.append(f"{shown}: its graph, of {told.nodes} node{'s' if told.nodes > 1 else ''}")
    found.take(told.properties, shown, _prefix(file))


def _take_attributes(found: Said, file: HeldFile, source: SourceFile, shown: str, nodes: _Nodes) -> None:
    folder, base = os.path.split(file.path)
    try:
        told = json.loads(read_json(source))
        attributes = told if base == ".zattrs" else told.get("attributes") or {}
        is_told = bool(attributes or (base == "zarr.json" and told.get("dimension_names")))
    except (FormatError, ValueError, AttributeError, RecursionError):
        return  # which the notes of the file say, where there are arrays
    if folder and os.path.dirname(folder) in nodes:
        if is_told:
            found.take_node(folder)
    elif isinstance(attributes, dict):
        found.take(attributes, shown, segment(folder))


_READERS: Mapping[str, Callable[[Said, HeldFile, SourceFile, str, _Nodes], None]] = MappingProxyType(
    {"safetensors": _take_header, "gguf": _take_gguf, "onnx": _take_model}
)


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


def _is_text(keys: Keys, key: str) -> bool:
    """Whether a conversion has kept something under ``key``."""
    value = keys.get(key)
    if value is None or value.kind != STRING:
        return False
    text = value.content.decode(errors="replace")
    return (_values(text) if key == VALUES else _object(text)) is not None
