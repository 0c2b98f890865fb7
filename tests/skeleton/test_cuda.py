"""Tensors on an accelerator: copied to the host when they are read, and loaded to any device."""

from __future__ import annotations

import pytest
import torch
from skeleton_round_trip import assert_same, shelved

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_a_state_on_the_device_is_that_on_the_host() -> None:
    host = torch.arange(24.0).view(4, 6)
    device = host.cuda()
    on_host = {"all": host, "row": host[1], "turned": host.t(), "wide": host[0].expand(3, 6)}
    on_device = {"all": device, "row": device[1], "turned": device.t(), "wide": device[0].expand(3, 6)}
    one, other = shelved(on_host), shelved(on_device)
    assert one.skeletons == other.skeletons
    assert one.plain == other.plain
    assert_same(other.load(), on_host)


def test_views_stay_views_on_the_device() -> None:
    base = torch.ones(4)
    back = shelved({"a": base, "b": base[2:], "p": torch.nn.Parameter(base)}).load(device="cuda")
    back["a"][3] = 7
    assert back["b"].tolist() == [1.0, 7.0]
    assert back["p"].is_cuda
    assert type(back["p"]) is torch.nn.Parameter
