"""A checkpoint file as content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from deltackpt.content.assembly import Assembly
from deltackpt.content.content import Content
from deltackpt.content.described import described
from deltackpt.content.entries import entry_of_file
from deltackpt.content.roles import ROOT
from deltackpt.formats.sniff import read
from deltackpt.formats.source_file import open_source
from deltackpt.history.objects import FilesSkeleton


@contextmanager
def file_content(path: str, *, strict: bool = False) -> Iterator[Content]:
    """A checkpoint file, open while the block runs.

    What is damaged, or understood by no reader, is kept as plain bytes, and the warnings say what was wrong; with
    ``strict`` that is raised.
    """
    with open_source(path) as file:
        found = described("", file, read(file), strict=strict)
        assembly = Assembly()
        stated = assembly.alone(found)
        entry = entry_of_file(stated, file.mode, file.modified_ns)
        root = FilesSkeleton(os.fsencode(os.path.basename(path)), (entry,))
        parts = tuple(assembly.part(name, root if name == ROOT else None) for name in assembly.trees)
        warnings = () if found.warning is None else (found.warning,)
        yield Content(parts, warnings, file.check_unchanged)
