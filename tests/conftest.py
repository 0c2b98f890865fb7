"""Fixtures of every folder: a state that was really trained, a new store, and a disk that is not filled by tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from deltackpt import Store
from deltackpt.chunkstore import reserve
from deltackpt.maintenance import gc

# As many tests run at once as there are processors: threads of libraries, here and in programs that tests start, would
# only wait for each other. PyTorch reads it when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Every run tries the same examples, so that a failure can be seen again.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Neighbours stay together, with what they import and share; whoever has nothing left takes over from others."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


# Seconds; none for what runs for as long as it runs. The other tests have the limit that stands in pyproject.toml.
LIMITS = {"long": 3600, "campaign": 0}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name in LIMITS.keys() & {marker.name for marker in item.iter_markers()}:
            item.add_marker(pytest.mark.timeout(LIMITS[name]))


@pytest.fixture(scope="session")
def trained() -> list[dict[str, Any]]:
    """The whole training state of a small language model after 10, 20, 30 and 40 steps. Tests must not change it."""
    from training import trained_states

    return trained_states()


@pytest.fixture(scope="session", autouse=True)
def small_reserves() -> Iterator[None]:
    """Tests make stores by the thousand, and folders of old runs stay for a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reserve, "DEFAULT_BYTES", 1 << 20)
        yield


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new, empty store."""
    with Store.init(tmp_path / "ckpts") as made:
        yield made


@pytest.fixture(scope="session", autouse=True)
def no_breath() -> Iterator[None]:
    """A gc that tells what is gone in many records leaves time between them, for others that tests do not have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "_BREATH", 0)
        yield
