"""A checkpoint as content, whether it is a file or a folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from deltackpt.content.content import Content
from deltackpt.content.file import file_content
from deltackpt.content.folder import bundle_content, folder_content
from deltackpt.fs.bundle import Bundle

_log = logging.getLogger("deltackpt")


@contextmanager
def path_content(path: str | Bundle, *, strict: bool = False) -> Iterator[Content]:
    """What stands at ``path``, open while the block runs. What is wrong with it is logged, or raised if ``strict``."""
    with _opened(path, strict=strict) as content:
        for warning in content.warnings:
            _log.warning("%s; kept as it is", warning)
        yield content


def _opened(path: str | Bundle, *, strict: bool) -> AbstractContextManager[Content]:
    if isinstance(path, Bundle):
        return bundle_content(path, strict=strict)
    return folder_content(path, strict=strict) if os.path.isdir(path) else file_content(path, strict=strict)
