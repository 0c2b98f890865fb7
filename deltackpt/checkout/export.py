"""Checking out: the file or folder that was committed, byte for byte, or a state as safetensors."""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from deltackpt.checkout.called import refuse_misnamed
from deltackpt.checkout.fetch import IntoFile, fetch
from deltackpt.checkout.file_form import Exported, exported
from deltackpt.checkout.files import stored_files
from deltackpt.checkout.leaves import NamedTensor, part_leaves
from deltackpt.checkout.load import skeletons
from deltackpt.checkout.losses import losses_of
from deltackpt.checkout.ranges import read_boxes
from deltackpt.checkout.rebuild import rebuild_file, rebuild_folder
from deltackpt.checkout.wrappers import without_wrappers
from deltackpt.chunkstore.layout import Layout
from deltackpt.errors import InvalidInputError, brief
from deltackpt.formats.safetensors.writer import layout
from deltackpt.formats.spans import TensorSpan
from deltackpt.fs.target import TargetFile, check_target
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.objects import PartEntry
from deltackpt.history.repository import Repository
from deltackpt.skeleton.boxes import runs
from deltackpt.skeleton.view import View

Progress = Callable[[int], None]
_log = logging.getLogger("deltackpt")


Names = Literal["module", "stored"]


def checkout(
    repository: Repository,
    commit: Commit,
    path: str,
    *,
    part: str | None = None,
    names: Names = "module",
    force: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write ``commit`` to the file or folder ``path``; returns the bytes of the file, or of all files.

    A commit made from a file gives that file; one made from a folder that folder, or the files of one ``part``.
    Anything else becomes safetensors: one ``part``, or a state that is a bare state dict, under the module's own names,
    or as they are stored if ``names`` says so; any other state under full names. What is written is complete and
    durable under its name, or not there.
    """
    if names not in get_args(Names):
        raise InvalidInputError(f"names is 'module' or 'stored', not {brief(names)}")
    refuse_within_store(path)
    with losses_of(commit):
        files = stored_files(repository, commit)
        if files is not None and files.is_folder:
            refuse_misnamed(commit, files, path)
            return rebuild_folder(repository, commit, files, path, part, force, progress)
        check_target(path, force=force)
        if files is not None and part is None:
            return rebuild_file(repository, commit, files, path, force, progress)
        return _export(repository, commit, part, names, path, force, progress)


def refuse_within_store(path: str) -> None:
    """No file of a store is ever replaced, and nothing is put among them."""
    if "\0" in path:
        return  # which the target refuses in its own words
    folder = os.path.dirname(os.path.realpath(os.path.abspath(path)))
    while True:
        layout = Layout(folder)
        if os.path.isfile(layout.facts) and os.path.isdir(layout.log):
            raise InvalidInputError(f"{path!r} lies in the store {folder!r}; choose a target outside of it")
        if os.path.dirname(folder) == folder:
            return
        folder = os.path.dirname(folder)


def _export(
    repository: Repository,
    commit: Commit,
    part: str | None,
    names: Names,
    path: str,
    force: bool,
    progress: Progress | None,
) -> int:
    plan = planned_file(repository, commit, part, names)
    _warn(plan.told)
    with TargetFile(repository.chunks.disk, path, plan.size, force=force) as target:
        target.write_at(0, plan.header)
        whole = [(span, tensor) for span, tensor in plan.tensors if tensor.leaf.view is None]
        fetch(repository, ((tensor.stored, IntoFile(target, span.offset)) for span, tensor in whole), progress)
        for span, tensor in plan.tensors:
            if (view := tensor.leaf.view) is not None:
                _write_window(repository, target, span.offset, tensor.stored, view, progress)
    return plan.size


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A safetensors file of a state: what comes before the tensors, and each of them with its place.

    ``told`` says what tensors were where the file has another name or type for them.
    """

    header: bytes
    tensors: tuple[tuple[TensorSpan, NamedTensor], ...]
    told: Mapping[str, Mapping[str, object]]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.header) + sum(span.length for span, _ in self.tensors)


def planned_file(
    repository: Repository, commit: Commit, part: str | None = None, names: Names = "module"
) -> PlannedFile:
    """The file that a state, or one ``part`` of it, is checked out as."""
    tensors, told = exported_tensors(repository, commit, part, names)
    return _planned(tensors, told, _metadata(repository, commit, part, told))


def planned_tensor(commit: Commit, tensor: NamedTensor) -> PlannedFile:
    """A file of nothing but one tensor, under its full name."""
    tensors, told = exported([(tensor.name, tensor)])
    return _planned(tensors, told, _as_metadata(_origin(commit, told)))


def _planned(
    tensors: Sequence[Exported], told: Mapping[str, Mapping[str, object]], metadata: Mapping[str, str]
) -> PlannedFile:
    header, spans = layout([(form.name, form.dtype, form.shape) for form in tensors], metadata)
    by_name = {form.name: form.tensor for form in tensors}
    return PlannedFile(header, tuple((span, by_name[span.name]) for span in spans), told)


def exported_tensors(
    repository: Repository, commit: Commit, part: str | None, names: Names = "module"
) -> tuple[list[Exported], dict[str, dict[str, object]]]:
    """The tensors of one ``part``, or of all, as a checkout writes them, and what they were where that is different."""
    return exported(named(repository, commit, part, names))


def _write_window(
    repository: Repository, target: TargetFile, offset: int, stored: StoredTensor, view: View, progress: Progress | None
) -> None:
    """Write a window on a stored tensor, piece by piece, each to where its elements stand in the file."""
    item = view.dtype.itemsize
    for box, plain in read_boxes(repository, stored, view):
        length, begins = runs(view.shape, box)
        pieces = memoryview(plain)
        for number, begin in enumerate(begins):
            target.write_at(offset + begin * item, pieces[number * length * item : (number + 1) * length * item])
        if progress is not None:
            progress(len(plain))


def named(repository: Repository, commit: Commit, part: str | None, names: Names) -> Iterator[tuple[str, NamedTensor]]:
    """The tensors of one ``part``, or of all, with the names that they should have in a file."""
    listed = {entry.name: part_leaves(repository, commit, entry.name) for entry in _wanted(commit, part)}
    tensors = [tensor for leaves in listed.values() for tensor in leaves.tensors]
    if part is not None:
        # Large values are no tensors of the module; the metadata has a place for them only in a whole state.
        tensors = [tensor for tensor in tensors if not tensor.leaf.is_value]
    if not tensors:
        raise InvalidInputError(f"commit {commit.description} has no tensors{f' in part {part!r}' if part else ''}")
    modules = listed[part or ""].modules
    if part is None and modules is None:
        return ((tensor.name, tensor) for tensor in tensors)
    own = [tensor.name.removeprefix(f"{part}/") for tensor in tensors]
    kept = without_wrappers(own, modules) if names == "module" else own
    return ((name, tensor) for name, tensor in zip(kept, tensors, strict=True) if name is not None)


def _wanted(commit: Commit, part: str | None) -> Sequence[PartEntry]:
    return commit.parts if part is None else [commit.part_named(part)]


def _warn(told: Mapping[str, Mapping[str, object]]) -> None:
    if told:
        name, found = next(iter(told.items()))
        of = f"tensor {brief(found.get('name', name))}" + (f" and {len(told) - 1} more" if len(told) > 1 else "")
        _log.warning("%s: safetensors has no such name or type; the header's metadata says what it was", of)


def _metadata(
    repository: Repository, commit: Commit, part: str | None, told: Mapping[str, Mapping[str, object]]
) -> dict[str, str]:
    """The header's metadata: where the file came from, and everything of the state that the tensors do not say."""
    raw = skeletons(repository, commit)
    return state_metadata({name: raw[name] for name in ([part] if part is not None else raw)}, _origin(commit, told))


def _origin(commit: Commit, told: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    origin: dict[str, object] = {"commit": str(commit.id), "step": commit.step}
    return origin | {"tensors": told} if told else origin


def state_metadata(skeletons: Mapping[str, bytes], origin: Mapping[str, object]) -> dict[str, str]:
    """A header's metadata with everything of a state that is no tensor: committing the file gives the state again."""
    kept = {name: base64.b64encode(raw).decode() for name, raw in skeletons.items()}
    return _as_metadata({**origin, "skeletons": kept})


def _as_metadata(origin: Mapping[str, object]) -> dict[str, str]:
    return {"format": "pt", "deltackpt": json.dumps(origin, separators=(",", ":"), sort_keys=True)}
