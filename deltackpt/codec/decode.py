"""Payload to plain bytes."""

from __future__ import annotations

import numpy as np

from deltackpt.codec.coders import Target
from deltackpt.codec.lanes import Lanes, is_aligned
from deltackpt.codec.payload import Cursor, PayloadError
from deltackpt.codec.recipes import RECIPES, Recipe, RecipeEntry, base_lanes
from deltackpt.codec.scratch import scratch
from deltackpt.errors import UnsupportedError
from deltackpt.tensor.dtype import Element


class UnknownRecipeError(UnsupportedError):
    """A recipe number that this release has no coder for. Upgrade."""

    def __init__(self, recipe: int) -> None:
        super().__init__(f"recipe {recipe} of a chunk is unknown to this release; upgrade deltackpt")
        self.recipe = recipe


def decode(recipe: int, element: Element, payload: memoryview, out: memoryview, base: memoryview | None) -> None:
    """Write exactly ``len(out)`` plain bytes to ``out``, which must be writable and need not be aligned.

    ``base`` is the plain bytes of the base for a delta, None for a keyframe. UnknownRecipeError for a number from a
    newer release, PayloadError for a payload that cannot be of this chunk; ``out`` is undefined then. Damage that
    still decodes gives wrong bytes: the caller compares the hash. Extra memory is bounded by a small multiple of
    ``len(out)``, whatever the payload claims. Safe from several threads.
    """
    entry = _entry(recipe)
    old = _base_lanes(entry, element, out, base)
    view = np.frombuffer(out, np.uint8)
    aligned = is_aligned(view, element.width)
    target = Target(view if aligned else scratch.array("target", np.uint8, view.size), element)
    cursor = Cursor(payload)
    entry.coder.decode(cursor, target, old)
    cursor.finish()
    if not aligned:
        np.copyto(view, target.out)


def _entry(recipe: int) -> RecipeEntry:
    try:
        return RECIPES[Recipe(recipe)]
    except ValueError:
        raise UnknownRecipeError(recipe) from None


def _base_lanes(entry: RecipeEntry, element: Element, out: memoryview, base: memoryview | None) -> Lanes | None:
    if entry.needs_base != (base is not None):
        raise PayloadError("a delta without its base" if entry.needs_base else "a keyframe with a base")
    if base is None:
        return None
    if base.nbytes != entry.base_size * out.nbytes:
        raise PayloadError(f"a base of {base.nbytes} bytes for a chunk of {out.nbytes}")
    return base_lanes(entry, element, base)
