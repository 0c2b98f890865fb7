"""The standalone extractor restores what the store restores, knowing nothing but the format pages."""

from __future__ import annotations

import json
import runpy
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from deltackpt import Keep, Store
from deltackpt.codec.recipes import Recipe
from deltackpt.tensor.dtype import BLOCKS

torch = pytest.importorskip("torch")
EXTRACTOR = Path(__file__).parents[2] / "docs" / "format" / "extract.py"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Every recipe, bundles, inline tensors, inline records, packs that a gc wrote again."""
    made = Store.init(tmp_path_factory.mktemp("extract") / "store")
    torch.manual_seed(0)
    wide = torch.randn(700, 500)
    state = {
        "model": {
            "wide": wide,
            "half": wide.to(torch.bfloat16),
            "fp16": wide.to(torch.float16),
            "alone": (torch.randn(600, 400) * 0.02).to(torch.bfloat16),
            "noise": torch.randint(0, 256, (50_000,), dtype=torch.uint8),
            "tokens": torch.arange(70_000),
            "mask": torch.rand(90_000) > 0.5,
            **{f"bias.{number}": torch.randn(300) for number in range(40)},
        },
        "optimizer": {"step": torch.tensor(1.0), "moment": wide.double(), "average": torch.randn(700, 500)},
        "rng": np.arange(100, dtype=np.uint32),
    }
    for step in range(8):
        made.commit(state, step=step)
        for name in ("wide", "bias.7"):
            state["model"][name] = state["model"][name] * (1 + 2e-4)
        state["model"]["alone"] = state["model"]["alone"] + (torch.randn(600, 400) * 1e-5).to(torch.bfloat16)
        state["model"]["half"], state["model"]["fp16"] = (
            state["model"]["wide"].to(kind) for kind in (torch.bfloat16, torch.float16)
        )
        state["optimizer"]["average"] = state["optimizer"]["average"] * 0.9
        state["optimizer"]["average"][:100] += torch.randn(100, 500)
        state["optimizer"]["step"] += 1
        state["optimizer"]["moment"] = state["optimizer"]["moment"] * 0.999
    made.tag("middle", "step:4")
    made.commit({"only": torch.ones(3)}, branch="small")
    made.prune(Keep(last=3))
    made.gc()
    return made


def test_the_store_has_every_recipe(store: Store) -> None:
    found = {recipe for commit in store.log() for row in store.inventory(commit) for recipe in row.recipes}
    assert found == {recipe.name.lower().replace("_", " ") for recipe in Recipe}


def extract(*arguments: object) -> str:
    ran = subprocess.run(
        [sys.executable, EXTRACTOR, *map(str, arguments)], capture_output=True, text=True, check=True, env={"PATH": ""}
    )
    return ran.stdout


@pytest.mark.parametrize("ref", ["main", "middle", "small"])
def test_every_tensor_is_the_same_bit_for_bit(store: Store, ref: str, tmp_path: Path) -> None:
    extract(store.path, ref, tmp_path / "out.safetensors")
    reader = store.reader(ref)
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert sorted(file.keys()) == sorted(reader.keys())
        for name in reader.keys():  # noqa: SIM118 - a reader is no dict
            restored, ours = file.get_tensor(name), torch.as_tensor(reader.tensor(name)[...])
            assert restored.dtype == ours.dtype
            assert torch.equal(restored, ours)


def test_any_commit_goes_by_the_beginning_of_its_id(store: Store, tmp_path: Path) -> None:
    commit = store.resolve("main~1")
    assert f"commit {commit.id}" in extract(store.path)
    extract(store.path, commit.id.short, tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert torch.equal(file.get_tensor("model/wide"), store.load(commit)["model"]["wide"])


def test_it_is_short_and_stands_alone() -> None:
    text = EXTRACTOR.read_text()
    assert len(text.splitlines()) <= 250
    imported = {
        line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))
    }
    assert imported - set(sys.stdlib_module_names) == {"numpy", "zstandard"}


def test_blocks_of_every_format_and_parts_of_quantised_tensors(tmp_path: Path) -> None:
    """Types whose elements are several bytes go out as these bytes; the table of sizes is that of the library."""
    known = runpy.run_path(str(EXTRACTOR))["ITEMSIZE"]
    assert {name: known[name] for name in known if "." in name} == {b.name: b.itemsize for b in BLOCKS.values()}
    data = np.random.default_rng(0).integers(0, 256, 120_000, np.uint8)
    header = json.dumps({"w": {"dtype": "F6_E2M3", "shape": [400, 400], "data_offsets": [0, 120_000]}}).encode()
    (tmp_path / "six.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data.tobytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = torch.quantize_per_tensor(torch.randn(300, 200), 0.05, 3, torch.quint8)
    with Store.init(tmp_path / "store") as store:
        store.commit_path(tmp_path / "six.safetensors", branch="six")
        store.commit({"w": whole}, branch="quantised")
        extract(store.path, "six", tmp_path / "a")
        extract(store.path, "quantised", tmp_path / "b")
    with safe_open(tmp_path / "a", "numpy") as file:
        assert np.array_equal(file.get_tensor("w"), data.reshape(400, 100, 3))
    with safe_open(tmp_path / "b", "pt") as file:
        assert torch.equal(file.get_tensor("w/values"), whole.int_repr())
        assert (file.get_tensor("w/scale").item(), file.get_tensor("w/zero_point").item()) == (0.05, 3)
