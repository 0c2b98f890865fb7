"""What each of the files that tensors come from says beside them, by its format."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from deltackpt.convert.held import HeldFile, within
from deltackpt.convert.said import Said
from deltackpt.errors import FormatError
from deltackpt.formats.gguf.values import read_keys
from deltackpt.formats.onnx.properties import read_told
from deltackpt.formats.safetensors.reader import read_header
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import shown_path
from deltackpt.formats.zarr.metadata import read_json
from deltackpt.skeleton.names import joined, segment

_STATE = "deltackpt"
_GROUPS = frozenset({"zarr.json", ".zgroup", ".zarray"})
_ATTRIBUTES = frozenset({"zarr.json", ".zattrs"})
_DESCRIPTIONS = _GROUPS | _ATTRIBUTES | {".zmetadata", ".metadata", "checkpoint"}

_Nodes = set[str]
"""Folders that are groups or arrays of zarr."""


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
