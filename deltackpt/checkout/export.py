"""Checking out: the file or folder that was committed, byte for byte, or a state as safetensors."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from deltackpt.checkout.fetch import IntoFile, fetch
from deltackpt.checkout.files import stored_files
from deltackpt.checkout.leaves import NamedTensor, part_leaves
from deltackpt.checkout.load import skeletons
from deltackpt.checkout.ranges import read_window
from deltackpt.checkout.rebuild import rebuild_file, rebuild_folder
from deltackpt.checkout.wrappers import without_wrappers
from deltackpt.errors import InvalidInputError
from deltackpt.formats.safetensors.writer import layout
from deltackpt.fs.target import TargetFile, check_target
from deltackpt.history.commits import Commit
from deltackpt.history.repository import Repository

Progress = Callable[[int], None]


def checkout(
    repository: Repository,
    commit: Commit,
    path: str,
    *,
    part: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write ``commit`` to the file or folder ``path``; returns the bytes of the file, or of all files.

    A commit made from a file gives that file; one made from a folder that folder, or the files of one ``part``.
    Anything else becomes safetensors: one ``part`` under the module's own names, or the whole state under full names.
    What is written is complete and durable under its name, or not there.
    """
    files = stored_files(repository, commit)
    if files is not None and files.is_folder:
        return rebuild_folder(repository, commit, files, path, part, force, progress)
    check_target(path, force=force)
    if files is not None and part is None:
        return rebuild_file(repository, commit, files, path, force, progress)
    return _export(repository, commit, part, path, force, progress)


def _export(
    repository: Repository, commit: Commit, part: str | None, path: str, force: bool, progress: Progress | None
) -> int:
    tensors = by_file_name(repository, commit, part)
    described = [(name, tensor.dtype, tensor.shape) for name, tensor in tensors.items()]
    header, spans = layout(described, _metadata(repository, commit, part))
    size = len(header) + sum(span.length for span in spans)
    with TargetFile(repository.chunks.disk, path, size, force=force) as target:
        target.write_at(0, header)
        whole = [span for span in spans if tensors[span.name].leaf.view is None]
        fetch(repository, ((tensors[s.name].stored, IntoFile(target, s.offset)) for s in whole), progress)
        for span in spans:
            tensor = tensors[span.name]
            if tensor.leaf.view is not None:
                target.write_at(span.offset, read_window(repository, tensor.stored, tensor.leaf.view))
    return size


def by_file_name(repository: Repository, commit: Commit, part: str | None) -> dict[str, NamedTensor]:
    """What to write, by the name it gets: a part's own names, without the part and without wrappers."""
    names = [entry.name for entry in commit.parts] if part is None else [part]
    tensors = [tensor for name in names for tensor in part_leaves(repository, commit, name).tensors]
    if not tensors:
        raise InvalidInputError(f"commit {commit.description} has no tensors{f' in part {part!r}' if part else ''}")
    if part is None:
        return {tensor.name: tensor for tensor in tensors}
    own = [tensor.name.removeprefix(f"{part}/") for tensor in tensors]
    return dict(zip(without_wrappers(own), tensors, strict=True))


def _metadata(repository: Repository, commit: Commit, part: str | None) -> dict[str, str]:
    """The header's metadata: where the file came from, and everything of the state that is no tensor."""
    raw = skeletons(repository, commit)
    kept = {name: base64.b64encode(raw[name]).decode() for name in ([part] if part is not None else raw)}
    origin = {"commit": str(commit.id), "step": commit.step, "skeletons": kept}
    return {"format": "pt", "deltackpt": json.dumps(origin, separators=(",", ":"), sort_keys=True)}
