"""Tensors that the parent lacks find a base elsewhere: a fine-tune, another prefix, a commit that is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skeleton_round_trip import assert_same

from deltackpt import NotFoundError, Store

RNG = np.random.default_rng(5)
WEIGHTS = {f"layers.{n}.weight": torch.from_numpy(RNG.standard_normal((256, 256), np.float32)) for n in range(4)}


def tuned(prefix: str = "") -> dict[str, Any]:
    return {prefix + name: tensor + 1e-6 for name, tensor in WEIGHTS.items()}


def test_a_fine_tune_of_another_prefix_is_a_delta(store: Store) -> None:
    whole = store.commit({"model": WEIGHTS}).stored_bytes
    made = store.commit({"net": tuned("transformer.")}, branch="tuned")
    assert made.stored_bytes < 0.5 * whole
    assert_same(store.load("tuned"), {"net": tuned("transformer.")})


def test_a_base_that_no_branch_stands_at_is_named(store: Store) -> None:
    whole = store.commit({"model": WEIGHTS}, tags="pretrained").stored_bytes
    store.commit({"other": torch.zeros(3)})
    alone = store.commit({"net": {k: v * -3.7 + 1 for k, v in WEIGHTS.items()}}, branch="alone").stored_bytes
    assert alone > 0.8 * whole
    made = store.commit({"model": tuned()}, branch="tuned", base="pretrained")
    assert made.stored_bytes < 0.5 * whole
    assert made.parents == ()
    with pytest.raises(NotFoundError):
        store.commit({"model": tuned()}, base="nothing")


def test_tensors_that_are_not_alike_stay_as_they_are(store: Store) -> None:
    store.commit({"model": WEIGHTS})
    state = {"net": {name: torch.randn_like(tensor) for name, tensor in WEIGHTS.items()}}
    store.commit(state, branch="new")
    assert_same(store.load("new"), state)
    assert store.verify(data=True).problems == []


def test_of_several_heads_the_one_that_is_alike_lends(store: Store) -> None:
    whole = store.commit({"model": WEIGHTS}, branch="pretrained").stored_bytes
    store.commit({"model": {name: torch.randn_like(tensor) for name, tensor in WEIGHTS.items()}}, branch="newest")
    made = store.commit({"net": tuned("transformer.")}, branch="tuned")
    assert made.stored_bytes < 0.5 * whole
    assert_same(store.load("tuned"), {"net": tuned("transformer.")})
