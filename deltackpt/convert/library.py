"""The libraries of other formats, each of which is an extra of the package."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from deltackpt.errors import UnsupportedError


def library(module: str, file: str) -> Any:
    """``module``, which has an extra of its name; UnsupportedError says that ``file`` cannot be written without it."""
    try:
        return import_module(module)
    except ImportError as error:
        if error.name != module:
            raise UnsupportedError(f"writing {file}: {module} cannot be imported: {error}; repair it") from error
        raise UnsupportedError(f"writing {file} needs {module}; install deltackpt[{module}]") from None
