"""Numbers in docs/format are those of the code."""

from __future__ import annotations

import re

from documents import ROOT

from deltackpt.codec.recipes import RECIPES, Recipe
from deltackpt.tensor.dtype import Element

RECIPES_PAGE = (ROOT / "docs" / "format" / "recipes.md").read_text()


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
