"""Progress bars: only after a second, only on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from cli_program import environment

# A second of patience would be a second of every test.
SCRIPT = """
import time
from deltackpt.cli import progress
progress.PATIENCE_SECONDS = {patience}
from deltackpt.cli.progress import Bar
from deltackpt.cli.settings import Settings
with Bar(Settings(progress={progress}), "writing", {total}, {unit}) as bar:
    bar.advance(40_000_000)
    while {shown} and bar._shown is None:
        time.sleep(0.01)
    bar.advance(1)
    bar.advance(1_000_000)
"""


def on_a_terminal(
    progress: bool = True, total: object = 100_000_000, unit: str | None = None, patience: float = 0.0
) -> str:
    """What the terminal got to see, of a job that lasts until the bar is there, if one comes at all."""
    ours, theirs = pty.openpty()
    shown = progress and not patience
    script = SCRIPT.format(progress=progress, total=total, unit=repr(unit), patience=patience, shown=shown)
    done = subprocess.Popen([sys.executable, "-c", script], env=environment(TERM="xterm", COLUMNS="100"), stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:
        pass  # Linux's word for a terminal whose other side is closed.
    os.close(ours)
    assert done.wait() == 0
    return seen.decode()


def test_a_long_job_shows_bytes_and_time_left() -> None:
    seen = on_a_terminal()
    assert "writing" in seen
    assert "40.0/100.0 MB" in seen
    assert "?" in seen or "MB/s" in seen
    assert "-:--:--" in seen or "0:00" in seen


@pytest.mark.parametrize("quiet", [{"patience": 1000.0}, {"progress": False}])
def test_a_short_job_and_one_told_to_be_quiet_show_nothing(quiet: dict[str, object]) -> None:
    assert on_a_terminal(**quiet) == ""  # type: ignore[arg-type]


def test_things_are_counted_and_what_has_no_total_shows_the_time() -> None:
    counted = on_a_terminal(total=50_000_000, unit="chunks")
    assert "40000000/50000000\x1b[0m chunks" in counted
    assert "chunks/s" in counted
    assert "0:00:0" in on_a_terminal(total=None)


def test_nothing_is_shown_where_nobody_watches() -> None:
    script = SCRIPT.format(progress=True, total=100, unit=None, patience=0.0, shown=False)
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, check=True)
    assert done.stderr == b""
