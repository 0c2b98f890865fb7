"""Samples: what was checked longest ago comes first, and a few runs come round to everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from disks import damage, packs
from documents import ROOT, blocks
from hypothesis import given
from hypothesis import strategies as st

from deltackpt import Store
from deltackpt.fs.disk import Disk
from deltackpt.ids import PackId
from deltackpt.maintenance.verify.ledger import NAME, Entry, Ledger, read_ledger, write_ledger

PACKS = [PackId(bytes([number]) * 16) for number in range(8)]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Store]:
    """Ten commits of a pack each, and three that are inline."""
    with Store.init(tmp_path / "store") as store:
        for step in range(10):
            noise = np.random.default_rng(step).integers(0, 256, 300_000, dtype=np.uint8)
            store.commit({"w": noise}, step=step)
        for step in range(10, 13):
            store.commit({"n": np.arange(1000 + step)}, step=step)
        yield store


def test_the_oldest_come_first() -> None:
    sizes = dict.fromkeys(PACKS, 100)
    ledger = Ledger()
    seen: list[PackId] = []
    for _ in range(4):
        chosen = ledger.oldest(sizes, 0.25)
        assert len(chosen) == 2
        seen += chosen
        ledger = ledger.after(chosen, sizes)
    assert seen == PACKS
    assert ledger.oldest(sizes, 0.25) == PACKS[:2], "and round again"


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8), st.floats(0.01, 1))
def test_runs_come_round_to_everything(sizes: list[int], share: float) -> None:
    stored = dict(zip(PACKS, sizes, strict=False))
    ledger = Ledger()
    for _ in range(len(sizes)):
        chosen = ledger.oldest(stored, share)
        assert sum(stored[pack] for pack in chosen) >= min(share * sum(sizes), 1) - 1e-9
        ledger = ledger.after(chosen, stored)
    assert ledger.covered(stored) == sum(sizes)


def test_packs_that_are_gone_are_struck_out() -> None:
    ledger = Ledger().after(PACKS, PACKS).after([], PACKS[:2])
    assert set(ledger.entries) == set(PACKS[:2])


def test_it_is_written_and_read(tmp_path: Path) -> None:
    ledger = Ledger().after(PACKS[:3], PACKS)
    write_ledger(Disk(), str(tmp_path), ledger)
    assert read_ledger(Disk(), str(tmp_path)) == ledger
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_its_bytes_are_those_of_the_page(tmp_path: Path) -> None:
    texts = [block.text for block in blocks(ROOT / "docs" / "format" / "index.md") if block.language == "golden"]
    (text,) = [text for text in texts if text.startswith("checked\n")]
    (tmp_path / NAME).write_bytes(bytes.fromhex(text.removeprefix("checked\n")))
    ledger = Ledger({PackId(bytes(range(16))): Entry(3, 1_700_000_000)})
    assert read_ledger(Disk(), str(tmp_path)) == ledger
    write_ledger(Disk(), str(tmp_path), ledger)
    assert (tmp_path / NAME).read_bytes() == bytes.fromhex(text.removeprefix("checked\n"))


def test_one_that_cannot_be_trusted_starts_over(tmp_path: Path) -> None:
    assert read_ledger(Disk(), str(tmp_path)) == Ledger()
    write_ledger(Disk(), str(tmp_path), Ledger().after(PACKS, PACKS))
    whole = (tmp_path / NAME).read_bytes()
    for place in range(len(whole)):
        damage(tmp_path / NAME, place)
        assert read_ledger(Disk(), str(tmp_path)) == Ledger()
        (tmp_path / NAME).write_bytes(whole[:place])
        assert read_ledger(Disk(), str(tmp_path)) == Ledger()
        (tmp_path / NAME).write_bytes(whole)


def test_five_samples_of_a_fifth_cover_the_store(run: Store) -> None:
    covered = []
    for _ in range(5):
        report = run.verify(sample=0.2)
        assert report.ok
        assert report.sample is not None
        assert report.sample.sampled_bytes < 0.35 * report.sample.total_bytes
        assert report.read_bytes == report.sample.sampled_bytes
        covered.append(report.sample.covered_bytes)
    assert covered == sorted(covered)
    assert covered[0] < covered[-1] == report.sample.total_bytes
    assert report.sample.since is not None


def test_a_full_check_counts_as_well(run: Store) -> None:
    assert run.verify(data=True).sample is None
    sample = run.verify(sample=0.05).sample
    assert sample is not None
    assert sample.covered_bytes == sample.total_bytes


def test_records_that_the_log_carries_are_sampled_too(store: Store) -> None:
    """The whole store: there is no pack at all."""
    for step in range(4):
        store.commit({"w": np.arange(step, step + 500, dtype=np.float32)}, step=step)
    assert not packs(store)
    reports = [store.verify(sample=0.25) for _ in range(5)]
    samples = [report.sample for report in reports if report.sample is not None]
    assert all(sample.packs for sample in samples)
    assert 0 < samples[0].covered_bytes < samples[-1].covered_bytes == samples[-1].total_bytes


def test_damage_is_found_within_a_round_and_again_in_the_next_sample(run: Store) -> None:
    damage(packs(run)[4])
    reports = [run.verify(sample=0.2) for _ in range(5)]
    assert sum(not report.ok for report in reports) >= 1
    first = next(at for at, report in enumerate(reports) if not report.ok)
    assert not any(report.ok for report in reports[first:]), "what is damaged stays unchecked, so it comes first"
    assert reports[-1].sample is not None
    assert reports[-1].sample.covered_bytes < reports[-1].sample.total_bytes


def test_a_lost_ledger_starts_over(run: Store) -> None:
    run.verify(data=True)
    Path(run.index_path, NAME).unlink()
    sample = run.verify(sample=0.2).sample
    assert sample is not None
    assert sample.covered_bytes == sample.sampled_bytes


def test_it_says_when_it_cannot_be_remembered(run: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from deltackpt.errors import StorageError
    from deltackpt.maintenance.verify import store as checking

    def refuse(*arguments: object) -> None:
        raise StorageError("no")

    monkeypatch.setattr(checking, "write_ledger", refuse)
    sample = run.verify(sample=0.2).sample
    assert sample is not None
    assert not sample.remembered
