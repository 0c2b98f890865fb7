"""A folder on disk as the folder layer would hand it over, and what must hold for whatever its files say."""

from __future__ import annotations

from pathlib import Path

from rebuilding import typed

from deltackpt.formats.file_tensor import FileTensor
from deltackpt.formats.folder import Folder
from deltackpt.formats.folder_reader import FolderReading, read_folder
from deltackpt.formats.source_file import open_source
from deltackpt.formats.spans import TensorSpan, check_tiling


def folder_of(root: Path) -> Folder:
    """Every regular file below ``root``."""
    files = [path for path in root.rglob("*") if path.is_file()]
    sizes = {path.relative_to(root).as_posix(): path.stat().st_size for path in files}
    return Folder(sizes, lambda path: open_source(str(root / path)))


def reading_of(root: Path) -> FolderReading:
    """What the files below ``root`` say of each other; each one that is described is tiled."""
    folder = folder_of(root)
    reading = read_folder(folder)
    for path, file in reading.files.items():
        check_tiling(file.spans, folder.sizes[path], path)
        typed(file.spans)
    return reading


def tensors_below(root: Path) -> dict[str, dict[str, tuple[TensorSpan, bytes]]]:
    """The tensors of each described file, with their bytes; nothing is refused."""
    reading, folder = reading_of(root), folder_of(root)
    assert reading.refusals == {}
    found = {}
    for path, described in reading.files.items():
        with folder.open_file(path) as file:
            found[path] = {
                name: (span, bytes(FileTensor(file, span).read(0, span.length)))
                for name, span in typed(described.spans).items()
            }
    return found
