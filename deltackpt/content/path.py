"""A checkpoint as content, whether it is a file or a folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager

from deltackpt.content.content import Content
from deltackpt.content.file import file_content
from deltackpt.content.folder import file_set_content, folder_content
from deltackpt.fs.file_set import FileSet

_log = logging.getLogger("deltackpt")


@contextmanager
def path_content(path: str | FileSet, *, strict: bool = False, executor: Executor | None = None) -> Iterator[Content]:
    """What stands at ``path``, open while the block runs. What is wrong with it is logged, or raised if ``strict``.

    The threads of ``executor`` help to find it.
    """
    with _opened(path, strict=strict, executor=executor) as content:
        for warning in content.warnings:
            _log.warning("%s; kept as it is", warning)
        yield content


def _opened(path: str | FileSet, *, strict: bool, executor: Executor | None) -> AbstractContextManager[Content]:
    if isinstance(path, FileSet):
        return file_set_content(path, strict=strict, executor=executor)
    content = folder_content if os.path.isdir(path) else file_content
    return content(path, strict=strict, executor=executor)
