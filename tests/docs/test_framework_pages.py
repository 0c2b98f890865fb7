"""The pages of frameworks that have environments of their own: their code runs there, and prints what it is said to."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from documents import ROOT
from environments import DEEPSPEED, TENSORFLOW

RUN_PAGE = Path(__file__).parent / "run_page.py"


@DEEPSPEED.wanted
def test_the_page_of_deepspeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    DEEPSPEED.run(RUN_PAGE, ROOT / "docs" / "integrations" / "deepspeed.md", tmp_path)


@TENSORFLOW.wanted
def test_the_page_of_keras(tmp_path: Path) -> None:
    TENSORFLOW.run(RUN_PAGE, ROOT / "docs" / "integrations" / "keras.md", tmp_path)
