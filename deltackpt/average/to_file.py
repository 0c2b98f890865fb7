"""Writing an average to a file: of the form that was committed, else safetensors under the module's own names."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from deltackpt.average.average import Average
from deltackpt.checkout.export import exported_tensors
from deltackpt.checkout.files import StoredFiles, stored_files
from deltackpt.content.content import ContentPart
from deltackpt.errors import InvalidInputError
from deltackpt.formats.safetensors.writer import layout
from deltackpt.fs.target import TargetFile, check_target
from deltackpt.history.repository import Repository
from deltackpt.skeleton.strided import gather
from deltackpt.skeleton.view import View
from deltackpt.tensor.source import TensorSource

PIECE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor, or the window ``view`` on it, stands in the file."""

    source: TensorSource
    offset: int
    length: int
    view: View | None = None


def write(average: Average, path: str, *, force: bool) -> int:
    """Write the average; returns the file's size. The file is complete and durable, or not there."""
    check_target(path, force=force)
    files = stored_files(average.repository, average.last) if average.whole else None
    if files is not None and not files.is_folder:
        literals, places = _of_file(average, files)
    else:
        literals, places = _of_safetensors(average)
    size = sum(map(len, literals.values())) + sum(place.length for place in places)
    with TargetFile(average.repository.chunks.disk, path, size, force=force) as target:
        for offset, data in literals.items():
            target.write_at(offset, data)
        for place in places:
            _write(average.repository, target, place)
    return size


def _of_file(average: Average, files: StoredFiles) -> tuple[dict[int, bytes], list[_Place]]:
    """Literal bytes by offset, and places of tensors, as in the file that was committed."""
    sources = _sources(average.content().parts)
    literals: dict[int, bytes] = {}
    places: list[_Place] = []
    offset = 0
    for piece in files.pieces(files.entries[0]):
        if isinstance(piece, bytes):
            literals[offset] = piece
            offset += len(piece)
        else:
            places.append(_Place(sources[piece.name], offset, piece.nbytes))
            offset += piece.nbytes
    return literals, places


def _of_safetensors(average: Average) -> tuple[dict[int, bytes], list[_Place]]:
    [part, *others] = [part for part in average.content().parts if part.tensors]
    if others:
        raise InvalidInputError(
            f"commit {average.last.description} holds several models: {', '.join(average.parts)}; choose one of them"
        )
    forms, told = exported_tensors(average.repository, average.last, part.name or None)
    origin = {**average.meta(), **({"tensors": told} if told else {})}
    metadata = {"format": "pt", "deltackpt": json.dumps(origin, separators=(",", ":"), sort_keys=True)}
    header, spans = layout([(form.name, form.dtype, form.shape) for form in forms], metadata)
    tensors = {form.name: form.tensor for form in forms}
    sources = _sources([part])
    places = [
        _Place(sources[tensors[s.name].stored.name], s.offset, s.length, tensors[s.name].leaf.view) for s in spans
    ]
    return {0: header}, places


def _sources(parts: Iterable[ContentPart]) -> dict[str, TensorSource]:
    return {tensor.name: tensor.source for part in parts for tensor in part.tensors}


def _write(repository: Repository, target: TargetFile, place: _Place) -> None:
    if place.view is not None:
        low, high = place.view.bounds()
        target.write_at(place.offset, gather(place.source.read(low, high), place.view.shifted(-low)))
        return

    def piece(start: int) -> None:
        stop = min(start + PIECE_BYTES, place.length)
        target.write_at(place.offset + start, place.source.read(start, stop))

    _all(repository.executor.map(piece, range(0, place.length, PIECE_BYTES)))


def _all(done: Iterable[None]) -> None:
    """Wait for every piece; the first error is raised."""
    for _ in done:
        pass
