"""Which names a tool could take for a path out of its folder."""

from __future__ import annotations

import pytest

from deltackpt.formats.names import is_unsafe


@pytest.mark.parametrize(
    "name", ["..", "../x", "a/../b", "a/..", "..\\x", "a\\..", "/x", "\\x", "C:\\x", "c:/", "\0", "a\0", "..\0"]
)
def test_a_name_that_leaves_its_folder_is_unsafe(name: str) -> None:
    assert is_unsafe(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "w",
        "h.0.w",
        "model/h.0.w",
        "...",
        "..a",
        "a..",
        "a/..b/c..",
        ".",
        "a/./b",
        "a//b",
        "C:w",
        "\x1b[31m",
        "..\n",
        "é",
    ],
)
def test_any_other_name_is_a_harmless_key(name: str) -> None:
    assert not is_unsafe(name)
