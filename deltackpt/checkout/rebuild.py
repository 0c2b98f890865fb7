"""Writing the file or the folder that a commit was made from, as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from deltackpt.checkout.fetch import IntoFile, Progress, Sink, Writable, fetch
from deltackpt.checkout.files import Piece, StoredEntry, StoredFiles, link_target
from deltackpt.errors import NotFoundError
from deltackpt.fs.beneath import split
from deltackpt.fs.target import TargetFile
from deltackpt.fs.target_folder import TargetFolder
from deltackpt.history.commits import Commit, ThinnedError
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.objects import EntryKind
from deltackpt.history.repository import Repository


def rebuild_file(
    repository: Repository, commit: Commit, files: StoredFiles, path: str, force: bool, progress: Progress | None
) -> int:
    """Write a file that was committed by itself to ``path``; returns its size."""
    (one,) = files.entries
    _check_present(commit, [one])
    size = files.size(one)
    with TargetFile(
        repository.chunks.disk, path, size, force=force, keep=(one.entry.mode, one.entry.mtime_ns)
    ) as target:
        fetch(repository, _placed(files.pieces(one), target), progress)
    return size


def rebuild_folder(
    repository: Repository,
    commit: Commit,
    files: StoredFiles,
    path: str,
    part: str | None,
    force: bool,
    progress: Progress | None,
) -> int:
    """Write a folder, or what of it belongs to ``part``, to ``path``; returns the bytes of its files."""
    entries = files.entries if part is None else _of_part(commit, files, part)
    held = [one for one in entries if one.kind is EntryKind.FILE]
    _check_present(commit, held)
    if part is None and commit.thinned:
        raise _thinned(commit, commit.thinned[0].name)
    size = sum(map(files.size, held))
    with TargetFolder(repository.chunks.disk, path, size, force=force) as target:
        for one in entries:
            if one.kind is EntryKind.FOLDER:
                target.folder(one.path, one.entry.mode, one.entry.mtime_ns)
        fetch(repository, _in_folder(files, held, target), progress)
        for one in entries:
            if one.kind is EntryKind.LINK:
                target.link(one.path, link_target(one), one.entry.mtime_ns)
    return size


def _of_part(commit: Commit, files: StoredFiles, part: str) -> Sequence[StoredEntry]:
    """The files of a part, and the folders around them."""
    commit.part_named(part)
    chosen = [one for one in files.entries if one.part == part and one.kind is not EntryKind.FOLDER]
    if not chosen:
        raise NotFoundError(f"part {part!r} of commit {commit.description} has no files")
    wanted = {one.path for one in chosen} | {""}
    for one in chosen:
        path = one.path
        while path := split(path)[0]:
            wanted.add(path)
    return [one for one in files.entries if one.path in wanted]


def _check_present(commit: Commit, entries: Iterable[StoredEntry]) -> None:
    """ThinnedError when a part that holds bytes of one of the files was deleted."""
    there = {part.name for part in commit.parts}
    for one in entries:
        for part in one.needs - there:
            raise _thinned(commit, part)


def _thinned(commit: Commit, part: str) -> ThinnedError:
    left = ", ".join(f"--part {entry.name}" for entry in commit.parts if entry.name) or "nothing"
    return ThinnedError(
        f"part {part!r} of commit {commit.description} was thinned, so it cannot be written as it was;"
        f" what is left: {left}; or `deltackpt undelete {commit.id.short}`, which works until gc"
    )


def _in_folder(
    files: StoredFiles, entries: Iterable[StoredEntry], target: TargetFolder
) -> Iterator[tuple[StoredTensor, Sink]]:
    for one in entries:
        file = target.file(one.path, files.size(one), one.entry.mode, one.entry.mtime_ns)
        yield from _placed(files.pieces(one), file)


def _placed(pieces: Iterable[Piece], target: Writable) -> Iterator[tuple[StoredTensor, Sink]]:
    """Each tensor with its place in the file; literal bytes are written on the way."""
    offset = 0
    for piece in pieces:
        if isinstance(piece, bytes):
            target.write_at(offset, piece)
            offset += len(piece)
        else:
            yield piece, IntoFile(target, offset)
            offset += piece.nbytes
