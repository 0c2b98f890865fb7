"""Numbers in docs/format are those of the code."""

from __future__ import annotations

import re

from documents import ROOT

from deltackpt.codec.recipes import RECIPES, Recipe
from deltackpt.formats.dcp import shard
from deltackpt.formats.pickles import limits as pickle_limits
from deltackpt.formats.zips import limits as zip_limits
from deltackpt.tensor.dtype import Element

RECIPES_PAGE = (ROOT / "docs" / "format" / "recipes.md").read_text()


def test_limits_of_pytorch_files() -> None:
    page = (ROOT / "docs" / "format" / "spans" / "pytorch.md").read_text()
    described = {
        name: int(value.replace(",", "")) for name, value in re.findall(r"^\| (MAX_\w+) \| ([\d,]+) \|", page, re.M)
    }
    known = {**vars(pickle_limits), **vars(zip_limits), **vars(shard)}
    assert described == {name: known[name] for name in described}
    assert len(described) == 12


def test_recipes() -> None:
    rows = re.findall(r"^\| (\d+) \| ([a-z ]+) \| (none|one|one, twice as long) \|", RECIPES_PAGE, re.MULTILINE)
    sizes = {"none": 0, "one": 1, "one, twice as long": 2}
    described = {(int(number), name.replace(" ", "_").upper(), sizes[base]) for number, name, base in rows}
    assert described == {(recipe.value, recipe.name, RECIPES[recipe].base_size) for recipe in Recipe}


def test_elements() -> None:
    rows = re.findall(r"^\| (b?float[a-z0-9 ]+) \| (\d+) \| (\d+) \| (\d+) \|$", RECIPES_PAGE, re.MULTILINE)
    described = {(name.replace(" ", "_").upper(), int(n), int(e), int(m)) for name, n, e, m in rows}
    floats = [element for element in Element if element.exponent_bits]
    assert described == {(e.name, e.value, e.exponent_bits, e.mantissa_bits) for e in floats}
