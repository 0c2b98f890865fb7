"""The format page's golden bytes are what is written, and decode for ever."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from codec_cases import decoded, run_recipe

from deltackpt.codec.recipes import Recipe
from deltackpt.tensor.dtype import Element

PAGE = Path(__file__).parents[2] / "docs" / "format" / "recipes.md"


@dataclass(frozen=True, slots=True)
class Golden:
    recipe: Recipe
    element: Element
    plain: bytes
    base: bytes | None
    payload: bytes


def golden_blocks() -> list[Golden]:
    blocks = re.findall(r"```golden\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return [parsed(block.splitlines()) for block in blocks]


def parsed(lines: list[str]) -> Golden:
    _, recipe, _, element = lines[0].split()
    fields = dict(line.split(" ", 1) for line in lines[1:])
    base = bytes.fromhex(fields["base"]) if "base" in fields else None
    plain, payload = bytes.fromhex(fields["plain"]), bytes.fromhex(fields["payload"])
    return Golden(Recipe(int(recipe)), Element(int(element)), plain, base, payload)


def test_every_recipe_has_a_golden_block() -> None:
    assert {golden.recipe for golden in golden_blocks()} == set(Recipe)


@pytest.mark.parametrize("golden", golden_blocks(), ids=lambda g: g.recipe.name)
def test_the_page_decodes(golden: Golden) -> None:
    found = decoded(golden.recipe, golden.element, golden.payload, len(golden.plain), golden.base)
    assert found == golden.plain


@pytest.mark.parametrize(
    "golden", [g for g in golden_blocks() if g.recipe is not Recipe.ZSTD], ids=lambda g: g.recipe.name
)
def test_the_page_is_what_is_written(golden: Golden) -> None:
    """But for zstd, whose frames are its own business: another version may write other bytes for the same."""
    assert run_recipe(golden.recipe, golden.element, golden.plain, golden.base) == golden.payload
