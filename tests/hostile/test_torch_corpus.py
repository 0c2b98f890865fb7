"""Every file of the corpus becomes what its case says: nothing runs or goes on for ever, and memory stays small."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import archive_cases
import old_file_cases
import peak_memory
import pickle_cases
import pytest
import tensor_cases
import torch_case
from patience import ends
from readings import as_file, reading_of, tensors
from torch_case import Case

from deltackpt.formats.checksums import first_mismatch
from deltackpt.formats.sniff import read
from deltackpt.formats.spans import Literal

CASES = (
    Case("nothing wrong", torch_case.saved(torch_case.GOOD)),
    *itertools.chain(
        pickle_cases.objects_that_would_run(),
        pickle_cases.bombs(),
        pickle_cases.unreadable(),
        tensor_cases.lying_tensors(),
        tensor_cases.lying_storages(),
        archive_cases.lying_entries(),
        archive_cases.lying_names(),
        archive_cases.lying_places(),
        archive_cases.lying_ends(),
        archive_cases.odd(),
        old_file_cases.old_files(),
        old_file_cases.damaged_old_files(),
        old_file_cases.other_files(),
    ),
)
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case.label))

# What Python reports before it runs, imports, opens or writes something.
_RUNS = ("import", "exec", "compile", "open", "os.", "subprocess.", "pickle.", "socket.", "ctypes.", "shutil.")
MEGABYTES = 200

READ_ALL = """
import pathlib, sys
from deltackpt.formats.sniff import read
from deltackpt.formats.source_file import open_source
from peak_memory import CLEAR, peak
CLEAR.write_text("5")
before = peak()
for path in pathlib.Path(sys.argv[1]).iterdir():
    with open_source(str(path)) as file:
        read(file)
print(before, peak())
"""


class _Watch:
    """Hears the audit events of this process while it is on; a hook cannot be taken off again."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.on = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[object, ...]) -> None:
        if self.on and event.startswith(_RUNS):
            self.events.append(event)


@pytest.fixture(scope="module")
def watch() -> Iterator[_Watch]:
    made = _Watch()
    yield made
    made.on = False


@ends
@every_case
def test_each_becomes_what_its_case_says(case: Case) -> None:
    reading = reading_of(case.raw)
    assert (reading.format, tuple(span.name for span in tensors(reading))) == (case.format, case.tensors)
    if case.warning is None:
        assert reading.warning is None
    else:
        assert reading.warning is not None
        assert reading.warning.code == case.warning.code
        message = str(reading.warning)
        assert message.startswith(f"f: {case.text}")
        assert message.isprintable()
        assert len(message) < 700
    if reading.state is None:
        assert case.objections is None
    else:
        assert tuple(objection.what for objection in reading.state.objections()) == case.objections


@every_case
def test_nothing_runs(case: Case, watch: _Watch) -> None:
    with as_file(case.raw) as file:
        watch.events.clear()
        watch.on = True
        try:
            reading = read(file)
            first_mismatch(file, reading.checksums)
            if reading.state is not None:
                reading.state.objections()
        finally:
            watch.on = False
    assert watch.events == []


def test_the_watch_would_hear_a_pickle_that_runs(watch: _Watch) -> None:
    import pickle

    watch.events.clear()
    watch.on = True
    try:
        pickle.loads(b"cbuiltins\nlen\n(Vx\ntR.")
    finally:
        watch.on = False
    assert watch.events == ["pickle.find_class"]


@pytest.mark.skipif(not peak_memory.CLEAR.exists(), reason="the peak is measured as Linux tells it")
def test_memory_stays_small(tmp_path: Path) -> None:
    for number, case in enumerate(CASES):
        (tmp_path / str(number)).write_bytes(case.raw)
    command = [sys.executable, "-c", READ_ALL, tmp_path]
    path = os.pathsep.join([str(Path(peak_memory.__file__).parent), *filter(None, sys.path)])
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path})
    before, after = map(int, done.stdout.split())
    assert after - before < MEGABYTES


def test_the_corpus_is_large_and_its_labels_are_distinct() -> None:
    assert len(CASES) >= 180
    assert len({case.label for case in CASES}) == len(CASES)


@every_case
def test_every_file_can_be_kept_whatever_is_wrong_with_it(case: Case) -> None:
    spans = reading_of(case.raw).spans
    assert sum(span.length for span in spans) == len(case.raw)
    assert case.warning is None or any(isinstance(span, Literal) for span in spans)
