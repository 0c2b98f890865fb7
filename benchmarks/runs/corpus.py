"""The text that is trained on: the Python standard library, as it lies beside the interpreter."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path


def library_files() -> list[Path]:
    """Top-level modules of the standard library, in a fixed order."""
    return sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))


def library_text() -> bytes:
    """About six megabytes of Python source."""
    return b"\n".join(path.read_bytes() for path in library_files())


def documented_functions() -> list[tuple[str, str]]:
    """``(first lines of the docstring, signature)`` of every documented function: pairs that mean the same."""
    return [pair for path in library_files() for pair in _pairs_in(ast.parse(path.read_bytes()))]


def _pairs_in(module: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text, f"def {node.name}({ast.unparse(node.args)})"
