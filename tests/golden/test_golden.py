"""Stores of every format that ever was are read, checked, extracted and gone on with, as they are."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from documents import ROOT
from make import HERE, state, told
from safetensors.numpy import load_file

from deltackpt import Store
from deltackpt.chunkstore.facts import FORMAT

FORMATS = sorted(int(path.name.removeprefix("format-").removesuffix(".json")) for path in HERE.glob("format-*.json"))


@pytest.fixture(params=FORMATS)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, object]]:
    """A store as a release of that format left it, and what it held."""
    with tarfile.open(HERE / f"format-{request.param}.tar.xz") as packed:
        packed.extractall(tmp_path / "store", filter="data")
    return tmp_path / "store", json.loads((HERE / f"format-{request.param}.json").read_text())


def test_this_format_is_among_them() -> None:
    assert FORMAT in FORMATS


def test_it_says_what_it_said(golden: tuple[Path, dict[str, object]]) -> None:
    path, expected = golden
    with Store(path) as store:
        assert told(store) == expected
        assert store.verify(data=True).problems == []


def test_its_states_are_whole(golden: tuple[Path, dict[str, object]]) -> None:
    path, _ = golden
    with Store(path) as store:
        for step in (4, 5):
            found, meant = store.load(f"step:{step}"), state(step)
            assert found["text"] == meant["text"]
            assert repr(found["special"]) == repr(meant["special"])
            assert found["optimizer"]["param_groups"] == meant["optimizer"]["param_groups"]
            assert found["tied"] is found["model"]["head.weight"]
        assert store.load("step:2", select="model/*")["model"]["steps"] == 2
        assert store.resolve("step:2").metrics == {"loss": 0.5, "acc": 0.5}
        assert [part for part in store.resolve("step:2").thinned if part.name == "optimizer"]


def test_it_is_extracted_without_us(golden: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    path, _ = golden
    extract = [sys.executable, ROOT / "docs" / "format" / "extract.py", path, "main", tmp_path / "out.safetensors"]
    subprocess.run(extract, check=True)
    found = load_file(tmp_path / "out.safetensors")
    assert np.array_equal(found["model/emb.weight"], state(5)["model"]["emb.weight"])


def test_it_goes_on(golden: tuple[Path, dict[str, object]]) -> None:
    path, expected = golden
    with Store(path) as store:
        store.commit(state(6), step=6)
        store.gc()
        store.repack()
        assert store.verify(data=True).problems == []
        commits = told(store)["commits"]
    assert expected["commits"].items() <= commits.items()
