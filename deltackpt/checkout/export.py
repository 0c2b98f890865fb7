"""Checking out to a file: the file that was committed, byte for byte, or a state as safetensors."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence

from deltackpt.checkout.fetch import IntoFile, Sink, fetch
from deltackpt.checkout.leaves import NamedTensor, part_leaves
from deltackpt.checkout.load import skeletons
from deltackpt.checkout.ranges import read_window
from deltackpt.checkout.wrappers import without_wrappers
from deltackpt.errors import InvalidInputError, NotFoundError
from deltackpt.formats.safetensors.writer import layout
from deltackpt.fs.target import TargetFile, check_target
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredPart, StoredTensor
from deltackpt.history.objects import FileSkeleton, Form, ObjectCorruptError, decode
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
    """Write ``commit`` to the file ``path``; returns its size.

    A commit made from a file gives that file. Anything else becomes safetensors: one ``part`` under the module's own
    names, or the whole state under full names. The file is complete and durable under its name, or not there.
    """
    check_target(path, force=force)
    root = file_part(repository, commit)
    if root is not None:
        if part:
            raise NotFoundError(
                f"commit {commit.description} was made from a file and has no parts; leave out part {part!r}"
            )
        return _rebuild(repository, root, path, force, progress)
    return _export(repository, commit, part, path, force, progress)


def file_part(repository: Repository, commit: Commit) -> StoredPart | None:
    roots = [part for part in commit.parts if part.name == ""]
    part = repository.manifests.part(roots[0].id) if roots else None
    return part if part is not None and part.form is Form.FILE else None


def _rebuild(repository: Repository, part: StoredPart, path: str, force: bool, progress: Progress | None) -> int:
    spans = decode(part.skeleton, FileSkeleton).spans
    if any(isinstance(span, int) and not 0 <= span < len(part.tensors) for span in spans):
        raise ObjectCorruptError("a file's skeleton names tensors that its table lacks; run `deltackpt verify`")
    size = sum(len(span) if isinstance(span, bytes) else part.tensors[span].nbytes for span in spans)
    with TargetFile(repository.chunks.disk, path, size, force=force) as target:
        fetch(repository, _placed(part, spans, target), progress)
    return size


def _placed(part: StoredPart, spans: Sequence[bytes | int], target: TargetFile) -> Iterator[tuple[StoredTensor, Sink]]:
    """Each tensor with its place in the file; literal bytes are written on the way."""
    offset = 0
    for span in spans:
        if isinstance(span, bytes):
            target.write_at(offset, span)
            offset += len(span)
        else:
            tensor = part.tensors[span]
            yield tensor, IntoFile(target, offset)
            offset += tensor.nbytes


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
