"""Every description of the corpora gets its exact error, and types no file then; what is odd but sound is read."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import onnx_external_corpus
import pytest
import tensorflow_corpus
import zarr_corpus
from damage import FolderDamage, FolderSound
from folders import reading_of
from patience import ends
from rebuilding import typed

CORPORA = {"onnx": onnx_external_corpus, "tensorflow": tensorflow_corpus, "zarr": zarr_corpus}
DAMAGED = [pytest.param(case, id=ascii(f"{name}: {case.label}")) for name, c in CORPORA.items() for case in c.damaged()]
SOUND = [pytest.param(case, id=ascii(f"{name}: {case.label}")) for name, c in CORPORA.items() for case in c.sound()]

MEGABYTES = 40


def laid_out(files: dict[str, bytes], root: Path) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


@ends
@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_gets_its_exact_error(damage: FolderDamage, tmp_path: Path) -> None:
    root = laid_out(damage.files, tmp_path)
    reading = reading_of(root)
    assert list(reading.refusals) == [damage.description]
    assert reading.files == {}
    error = reading.refusals[damage.description]
    assert str(error).removeprefix(f"{root}/").startswith(damage.text)
    assert type(error) is damage.error
    assert str(error).isprintable()
    assert len(str(error)) < 700


@pytest.mark.parametrize("good", SOUND)
def test_odd_but_sound_folders_are_read(good: FolderSound, tmp_path: Path) -> None:
    reading = reading_of(laid_out(good.files, tmp_path))
    assert reading.refusals == {}
    assert {path: tuple(typed(file.spans)) for path, file in reading.files.items()} == good.names


@pytest.mark.parametrize("corpus", CORPORA)
def test_no_case_takes_more_than_a_little_memory(corpus: str, tmp_path: Path) -> None:
    """Whatever lengths a description gives: what is read of it is held once or twice, and nothing else."""
    for number, case in enumerate(CORPORA[corpus].damaged()):
        root = laid_out(case.files, tmp_path / str(number))
        tracemalloc.start()
        reading_of(root)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < MEGABYTES << 20 if sum(map(len, case.files.values())) > 1 << 20 else 2 << 20, case.label


def test_the_corpora_are_large_and_their_labels_are_distinct() -> None:
    assert len(DAMAGED) >= 160
    assert len({param.id for param in (*DAMAGED, *SOUND)}) == len(DAMAGED) + len(SOUND)
