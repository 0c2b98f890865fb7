"""Ranks among themselves: two processes, joined by gloo."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from patience import PATIENCE

torch = pytest.importorskip("torch")

from forks import FORKS  # noqa: E402 - it needs torch
from rank_meeting import failing, meet  # noqa: E402

from deltackpt.errors import DeltackptError, NotFoundError  # noqa: E402
from deltackpt.training.preflight import opened  # noqa: E402
from deltackpt.training.ranks import Ranks  # noqa: E402


@pytest.mark.parametrize(
    ("error", "first", "second"),
    [
        (NotFoundError("no commit 'x'"), "NotFoundError: no commit 'x'", "NotFoundError: no commit 'x'"),
        (OSError("gone"), "OSError: gone", "DeltackptError: rank 0 failed: OSError: gone"),
    ],
)
def test_no_rank_waits_for_one_that_failed(tmp_path: Path, error: Exception, first: str, second: str) -> None:
    ranks = [FORKS.Process(target=meet, args=(rank, str(tmp_path), error)) for rank in (0, 1)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(PATIENCE)
    assert [rank.exitcode for rank in ranks] == [0, 0]
    assert [Path(tmp_path, str(rank)).read_text() for rank in (0, 1)] == [first, second]


def test_one_rank_is_its_own_first() -> None:
    with pytest.raises(DeltackptError, match="as it is"):
        Ranks().from_first(lambda: failing(DeltackptError("as it is")))


def test_jobs_that_begin_at_once_make_one_store(tmp_path: Path) -> None:
    begin = threading.Barrier(4)

    def job(at: int) -> str:
        begin.wait()
        with opened(str(tmp_path / "s")) as store:
            return store.commit({"at": at}, branch=f"job-{at}").branch

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(job, range(4))) == [f"job-{at}" for at in range(4)]
