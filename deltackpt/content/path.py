"""A checkpoint as content, whether it is a file or a folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from deltackpt.content.content import Content
from deltackpt.content.file import file_content
from deltackpt.content.folder import folder_content

_log = logging.getLogger("deltackpt")


@contextmanager
def path_content(path: str, *, strict: bool = False) -> Iterator[Content]:
    """What stands at ``path``, open while the block runs. What is wrong with it is logged, or raised if ``strict``."""
    made = folder_content if os.path.isdir(path) else file_content
    with made(path, strict=strict) as content:
        for warning in content.warnings:
            _log.warning("%s; kept as it is", warning)
        yield content
