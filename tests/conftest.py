"""Fixtures of every folder: a state that was really trained, and a new store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from deltackpt import Store

# Every run tries the same examples, so that a failure can be seen again.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


@pytest.fixture(scope="session")
def trained() -> list[dict[str, Any]]:
    """The whole training state of a small language model after 10, 20, 30 and 40 steps. Tests must not change it."""
    from training import trained_states

    return trained_states()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new, empty store."""
    with Store.init(tmp_path / "ckpts") as made:
        yield made
