"""Run where a framework is: ``python run_page.py PAGE FOLDER``, the folder empty. Fails where the page is wrong."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Any

from documents import blocks

if __name__ == "__main__":
    page = Path(sys.argv[1])
    os.chdir(sys.argv[2])
    os.environ |= {"DS_ACCELERATOR": "cpu"}
    names: dict[str, Any] = {"__name__": "page"}
    told = io.StringIO()
    for block in blocks(page):
        if block.language == "python":
            told = io.StringIO()
            with contextlib.redirect_stdout(told):
                exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
        elif block.language == "text":
            # Frameworks say things of their own first.
            assert told.getvalue().endswith(block.text), f"{page.name}, line {block.line}: {told.getvalue()}"
