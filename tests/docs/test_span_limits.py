"""The pages of the formats state every limit of the code, and no limit is without a place in one."""

from __future__ import annotations

from types import ModuleType

import pytest
from documents import ROOT

from deltackpt.formats.gguf import limits as gguf
from deltackpt.formats.onnx import limits as onnx
from deltackpt.formats.tensorflow import limits as tensorflow
from deltackpt.formats.zarr import limits as zarr

PAGES = {"gguf": gguf, "onnx": onnx, "tensorflow": tensorflow, "zarr": zarr}


def written(value: int) -> str:
    return "2^63 - 1" if value == (1 << 63) - 1 else f"{value:,}"


@pytest.mark.parametrize(("page", "limits"), PAGES.items())
def test_every_limit_is_in_the_table(page: str, limits: ModuleType) -> None:
    text = (ROOT / "docs/format/spans" / f"{page}.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for name, value in vars(limits).items():
        if name.startswith("MAX_"):
            assert any(f"{written(value)}" in row for row in rows), name
