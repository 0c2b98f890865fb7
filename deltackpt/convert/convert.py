"""The table of writers, and the conversion of a commit or of a checkpoint that is in no store."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from deltackpt.checkout.export import Names, refuse_within_store
from deltackpt.convert import gguf, npz, onnx, pt, safetensors, tensorflow, zarr
from deltackpt.convert.beside import CONFIG, FileBeside, beside_in_commit, beside_on_disk
from deltackpt.convert.changes import Changes
from deltackpt.convert.flat import FlatState, Origin, told
from deltackpt.convert.formats import FORMATS, HUGGING_FACE, QUANTISED, TENSORS_ONLY, UNSHARDED, WHOLE, WITHOUT_METADATA
from deltackpt.convert.of_commit import state_of_commit
from deltackpt.convert.of_path import state_of_path
from deltackpt.convert.onnx_folder import write_folder
from deltackpt.convert.said import unframed
from deltackpt.errors import InvalidInputError, brief
from deltackpt.formats.wording import listed, shown_path
from deltackpt.fs.disk import Disk
from deltackpt.history.commits import Commit
from deltackpt.history.repository import Repository

_WRITERS = MappingProxyType(
    {
        "safetensors": safetensors.write,
        "pt": pt.write,
        "gguf": gguf.write,
        "onnx": onnx.write,
        "tf": tensorflow.write,
        "zarr": zarr.write,
        "npz": npz.write,
    }
)
_SHARD_WRITERS = MappingProxyType(
    {
        "safetensors": safetensors.write_shards,
        "pt": pt.write_shards,
        "gguf": gguf.write_shards,
        "onnx": write_folder,
    }
)
_SHARD_BYTES = 50_000_000_000
"""What Transformers takes when it is not told."""
_MODEL = "model"
_LOSSES_SHOWN = 16
_FILES_SHOWN = 4

_log = logging.getLogger("deltackpt")


@dataclass(frozen=True, slots=True)
class Conversion:
    """What to write: one of ``FORMATS``.

    ``shard_bytes`` makes a folder of files, or of files beside an ONNX model, each with at most as many bytes of
    tensors. ``lossy`` leaves out, with a warning, what has no place in the format and what cannot be read as a tensor.
    """

    format: str
    changes: Changes = field(default_factory=Changes)
    shard_bytes: int | None = None
    lossy: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise InvalidInputError(f"format is one of {', '.join(FORMATS)}, not {brief(self.format)}")
        if self.shard_bytes is not None and self.shard_bytes <= 0:
            raise InvalidInputError(f"a shard has at least one byte, not {self.shard_bytes}")
        if self.shard_bytes is not None and self.format in UNSHARDED:
            raise InvalidInputError(UNSHARDED[self.format])


def convert_commit(
    repository: Repository,
    commit: Commit,
    path: str,
    conversion: Conversion,
    *,
    part: str | None = None,
    names: Names = "module",
    force: bool = False,
) -> int:
    """Write the tensors of a commit to ``path``; returns the bytes written. One tensor is in memory at a time."""
    refuse_within_store(path)
    beside = beside_in_commit(repository, commit) if conversion.format == HUGGING_FACE else None
    has_model = any(entry.name == _MODEL for entry in commit.parts)
    taken = part or (_MODEL if beside is not None and has_model else None)
    state = _as_asked(state_of_commit(repository, commit, taken, names), part)
    return _write(repository.chunks.disk, state, path, conversion, beside, force=force)


def convert_path(
    source: str, path: str, conversion: Conversion, *, part: str | None = None, force: bool = False
) -> int:
    """Write the tensors of the checkpoint at ``source`` to ``path``; returns the bytes written.

    FormatError when ``source`` is damaged, ChangedError when somebody wrote to it meanwhile; then nothing is written.
    """
    refuse_within_store(path)
    _refuse_around(source, path)
    beside = beside_on_disk(source) if conversion.format == HUGGING_FACE else None
    taken = part or (_MODEL if beside is not None and os.path.isdir(source) else None)
    with state_of_path(source, taken) as state:
        return _write(Disk(), _as_asked(state, part), path, conversion, beside, force=force)


def _write(
    disk: Disk,
    state: FlatState,
    path: str,
    conversion: Conversion,
    beside: Sequence[FileBeside] | None,
    *,
    force: bool,
) -> int:
    """``beside`` None is for formats that are weights alone."""
    made = conversion.changes.made(state)
    if conversion.lossy:
        made = _without_losses(made, conversion)
    made.refuse_missing()
    if conversion.format not in QUANTISED:
        made.refuse_blocks()
    if beside is not None and not any(file.name == CONFIG for file in beside):
        raise InvalidInputError(
            f"there is no {CONFIG} beside the weights, which Transformers needs; choose safetensors"
        )
    if beside is not None:
        shard_bytes = conversion.shard_bytes or _SHARD_BYTES
        written = safetensors.write_shards(disk, made, path, shard_bytes, force=force, beside=beside)
    elif conversion.shard_bytes is None:
        written = _WRITERS[conversion.format](disk, made, path, force=force)
    else:
        written = _SHARD_WRITERS[conversion.format](disk, made, path, conversion.shard_bytes, force=force)
    _tell_left(made.origin, conversion.format)
    taken = {file.name for file in beside or ()}
    if bare := [shown_path(name) for name in made.origin.bare if name not in taken]:
        _log.warning("%s: no tensors there; left behind", listed(bare, _FILES_SHOWN))
    return written


def _as_asked(state: FlatState, part: str | None) -> FlatState:
    """The state; who names a ``part`` of a folder knows that there is more."""
    return state if part is None else replace(state, origin=replace(state.origin, bare=()))


def _refuse_around(source: str, path: str) -> None:
    """InvalidInputError where writing to ``path`` would replace a folder that is converted, or change it meanwhile."""
    real, target = os.path.realpath(source), os.path.realpath(path)
    shared = os.path.commonpath((real, target)) if os.path.isdir(real) else None
    if shared == target:
        raise InvalidInputError(f"{path!r} is, or holds, the folder that is converted; choose another target")
    if shared == real:
        raise InvalidInputError(f"{path!r} lies in the folder that is converted; choose a target outside of it")


def _tell_left(origin: Origin, format: str) -> None:
    """Warnings about what the files say that is not in the one that was written."""
    without = format in WITHOUT_METADATA
    beside = sorted((*unframed(origin.metadata), *origin.keys)) if without else []
    if beside:
        _log.warning("%s: %s has no place for what stands beside the tensors; left behind", told(beside), format)
    refusal = [] if format == "gguf" or origin.no_keys is None else [str(origin.no_keys)]
    for line in (*origin.left, *refusal):
        _log.warning("%s; left behind", line)


def _without_losses(state: FlatState, conversion: Conversion) -> FlatState:
    """What the format has a place for; warnings tell the rest."""
    for missing in state.missing[:_LOSSES_SHOWN]:
        _log.warning("%s; left out but for the tensors in it", missing)
    if len(state.missing) > _LOSSES_SHOWN:
        _log.warning("%d more that cannot be converted are left out", len(state.missing) - _LOSSES_SHOWN)
    state = replace(state, missing=())
    if state.whole is not None and conversion.format in WHOLE and conversion.shard_bytes is None:
        return state
    without = conversion.format in TENSORS_ONLY or (conversion.format == "pt" and conversion.shard_bytes is not None)
    kept = {} if without else state.plain().values
    lost = [name for name in state.values if name not in kept]
    if lost:
        _log.warning("%s: %s has no place for such values; left out", told(lost), conversion.format)
    return replace(state, values=kept)
