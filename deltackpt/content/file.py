"""A checkpoint file as content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager, nullcontext

from deltackpt.content.assembly import Assembly
from deltackpt.content.content import Content
from deltackpt.content.described import comparing, described, warnings_of
from deltackpt.content.entries import entry_of_file
from deltackpt.content.roles import ROOT
from deltackpt.formats.folder import Folder
from deltackpt.formats.folder_reader import read_folder
from deltackpt.formats.sniff import read
from deltackpt.formats.source_file import open_source
from deltackpt.history.objects import FilesSkeleton


@contextmanager
def file_content(path: str, *, strict: bool = False, executor: Executor | None = None) -> Iterator[Content]:
    """A checkpoint file, open while the block runs.

    What is damaged, or understood by no reader, is kept as plain bytes, and the warnings say what was wrong; with
    ``strict`` that is raised. The threads of ``executor`` help to find it.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open_source(path))
        name = os.path.basename(os.path.abspath(path))
        alone = read_folder(Folder({name: file.size}, lambda _: nullcontext(file)))
        found = described("", file, read(file), alone, name, comparing(stack, executor))
        assembly = Assembly()
        stated = assembly.alone(found)
        entry = entry_of_file(stated, file.mode, file.modified_ns)
        root = FilesSkeleton(os.fsencode(os.path.basename(path)), (entry,))
        parts = tuple(assembly.part(name, root if name == ROOT else None) for name in assembly.trees)
        yield Content(parts, warnings_of([found], strict=strict), file.check_unchanged)
