"""The table *folders*: for each trainer's run all keepers take every checkpoint folder in turn, then give it back.

The folders lie where their trainer wrote them and are in the page cache. What was given back is compared file by file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import KEEPERS, Borg, DeltackptStore, Keeper
from benchmarks.contenders.contender import folder_bytes, read_once
from benchmarks.contenders.durable import sync_folder
from benchmarks.figures import Figure, missing
from benchmarks.folders.runs import FOLDER_RUNS, FolderRun
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stopwatch import rotated, timed
from benchmarks.workspace import scratch, subfolder


@dataclass(slots=True)
class Kept:
    """One keeper over one run: bytes on disk after each step, speeds in MB/s of the bytes of the folder's files."""

    sizes: list[int] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)
    checkouts: list[float] = field(default_factory=list)
    files_changed: int = 0


def figures(options: Options) -> Iterator[Figure]:
    for run in FOLDER_RUNS:
        table, why = f"folders: {run.title}", run.absent()
        if why is not None:
            yield missing(table, DeltackptStore.name, "whole run", why)
            continue
        checkpoints = run.checkpoints()[: 3 if options.quick else None]
        plain = [folder_bytes(folder) for _, folder in checkpoints]
        yield Figure(table, "as they are", f"whole run of {len(plain)}", "MB", (sum(plain) / 1e6,))
        measured = _measured(run, checkpoints, plain)
        for name, kept in measured.items():
            yield from _row(table, name, kept, plain)
        for keeper in KEEPERS:
            if keeper.absent():
                yield missing(table, keeper.name, f"whole run of {len(plain)}", str(keeper.absent()))
        if Borg.name in measured:
            share = measured[DeltackptStore.name].sizes[-1] / measured[Borg.name].sizes[-1]
            yield Figure(table, DeltackptStore.name, "of borg's bytes", "", (share,))


def _row(table: str, name: str, kept: Kept, plain: Sequence[int]) -> Iterator[Figure]:
    later = 100 * (kept.sizes[-1] - kept.sizes[0]) / sum(plain[1:])
    yield Figure(table, name, f"whole run of {len(plain)}", "MB", (kept.sizes[-1] / 1e6,))
    yield Figure(table, name, "first commit", "%", (100 * kept.sizes[0] / plain[0],))
    yield Figure(table, name, "later", "%", (later,))
    yield Figure(table, name, "commit, later", "MB/s", tuple(kept.commits[1:]))
    yield Figure(table, name, "checkout, later", "MB/s", tuple(kept.checkouts[1:]))
    yield Figure(table, name, "files not byte-identical", "", (kept.files_changed,))


def _measured(run: FolderRun, checkpoints: Sequence[tuple[int, Path]], plain: Sequence[int]) -> dict[str, Kept]:
    say(f"folders: {run.title}")
    present = [keeper for keeper in KEEPERS if keeper.absent() is None]
    kept = {keeper.name: Kept() for keeper in present}
    with scratch(run.name) as folder:
        keepers: list[Keeper] = [keeper(subfolder(folder, f"keeper-{i}")) for i, keeper in enumerate(present)]
        for turn, ((step, path), nbytes) in enumerate(zip(checkpoints, plain, strict=True)):
            read_once(path)
            for keeper in rotated(keepers, turn):
                _keep(keeper, path, step, nbytes, kept[keeper.name])
        for turn, ((step, path), nbytes) in enumerate(zip(checkpoints, plain, strict=True)):
            for keeper in rotated(keepers, turn):
                target = subfolder(folder, "target")
                _restore(keeper, path, step, nbytes, kept[keeper.name], target)
                shutil.rmtree(target)
    return kept


def _keep(keeper: Keeper, path: Path, step: int, nbytes: int, kept: Kept) -> None:
    kept.commits.append(nbytes / 1e6 / timed(lambda: keeper.keep(path, step)))
    kept.sizes.append(keeper.bytes_on_disk())


def _restore(keeper: Keeper, path: Path, step: int, nbytes: int, kept: Kept, target: Path) -> None:
    def restore() -> None:
        keeper.restore(path, step, target)
        sync_folder(target)

    kept.checkouts.append(nbytes / 1e6 / timed(restore))
    kept.files_changed += _differing(path, _found(target, path.name))


def _found(target: Path, name: str) -> Path:
    return next(path for path in target.rglob(name) if path.is_dir())


def _differing(original: Path, restored: Path) -> int:
    """How many files are in one of the folders only, or have other bytes in the other."""
    ours, theirs = _files(original), _files(restored)
    both = ours.keys() & theirs.keys()
    return len(ours.keys() ^ theirs.keys()) + sum(ours[name].read_bytes() != theirs[name].read_bytes() for name in both)


def _files(folder: Path) -> dict[Path, Path]:
    return {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
