"""A file that was read: what it is, and what of it was not understood."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass

from deltackpt.content.exported import ExportedState, exported_state
from deltackpt.errors import FormatError
from deltackpt.formats.checksums import Checksum, Comparison
from deltackpt.formats.folder_reader import FolderReading
from deltackpt.formats.reading import Reading
from deltackpt.formats.sniff import UNKNOWN, is_text
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan
from deltackpt.formats.wording import listed, quoted

_OF_TENSORS = frozenset({".safetensors", ".pt", ".pth", ".npy", ".npz", ".gguf", ".onnx"})
_NAMED = 3

Compare = Callable[[SourceFile, Sequence[Checksum]], Comparison]
"""Begins to compare the checksums of a file."""


@dataclass(frozen=True, slots=True)
class Described:
    """The file at ``path`` of what is being committed (empty for a file by itself), and what a reader made of it.

    ``fault`` is what a reader found wrong with it, ``comparison`` whether its checksums are right; ``absent`` that
    files are not there which hold tensors of it. ``exported`` is the state that a checkout wrote into it.
    """

    path: str
    file: SourceFile
    reading: Reading
    fault: FormatError | None
    comparison: Comparison
    absent: FormatError | None = None
    exported: ExportedState | None = None

    @property
    def warning(self) -> FormatError | None:
        """What was wrong with it; waits until its checksums are compared."""
        return self.fault or self.comparison.mismatch

    @property
    def tensors(self) -> tuple[TensorSpan, ...]:
        return tuple(span for span in self.reading.spans if isinstance(span, TensorSpan))


def described(
    path: str, file: SourceFile, reading: Reading, folder: FolderReading, described_at: str, compare: Compare
) -> Described:
    """A file whose checksums are being compared.

    ``folder`` is what was made of the files around it, among which it stands at ``described_at``. That a file of a
    folder, or a text, is of no known kind is nothing wrong, unless its name promises tensors: then it is empty, a page
    that says why a download failed, or a pointer of Git LFS.
    """
    absent = _absent(file, folder.absent.get(described_at, ()))
    own = None if reading.format == UNKNOWN and absent is not None else _own_warning(path, file, reading)
    fault = folder.refusals.get(described_at) or own
    comparison = compare(file, reading.checksums if fault is None else ())
    exported = exported_state(file) if reading.format == "safetensors" and reading.warning is None else None
    understood = reading if exported is None else exported.renamed(reading)
    return Described(path, file, understood, fault, comparison, absent, exported)


def comparing(stack: ExitStack, executor: Executor | None) -> Compare:
    """Comparisons on the threads of ``executor`` that end with ``stack``."""
    return lambda file, checksums: stack.enter_context(Comparison(file, checksums, executor))


def warnings_of(files: Sequence[Described], *, strict: bool) -> tuple[FormatError, ...]:
    """What was wrong with files that are kept all the same, and what their tensors would miss.

    With ``strict`` the first that was wrong is raised.
    """
    if strict and (wrong := next((file.warning for file in files if file.warning is not None), None)) is not None:
        raise wrong
    return tuple(warning for file in files for warning in (file.warning, file.absent) if warning is not None)


def _absent(file: SourceFile, paths: Sequence[str]) -> FormatError | None:
    """What is said of a file that describes others at ``paths``, which are not there."""
    if not paths:
        return None
    named = listed(list(map(quoted, paths)), _NAMED)
    what = "file that holds" if len(paths) == 1 else "files that hold"
    return FormatError(
        f"{file.name}: the {what} its tensors would not be committed: {named}; commit the folder that holds all of it"
    )


def _own_warning(path: str, file: SourceFile, reading: Reading) -> FormatError | None:
    if reading.format == UNKNOWN and (path or is_text(file)) and not _promises_tensors(file.name):
        return None
    return reading.warning


def _promises_tensors(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _OF_TENSORS
