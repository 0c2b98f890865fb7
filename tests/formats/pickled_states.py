"""States of every kind of value that PyTorch loads as weights only, and some that are rare."""

from __future__ import annotations

import collections
import warnings
from typing import Any

import torch

WEIGHT = torch.arange(24.0).reshape(4, 6)
MODULE = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
SHARED = {"lr": 0.1}


def trained_optimizer() -> dict[str, Any]:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    for _ in range(2):
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        schedule.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}


def with_attribute() -> torch.nn.Parameter:
    made = torch.nn.Parameter(torch.ones(2))
    made.group = "norm"  # type: ignore[attr-defined]
    return made


def unusual() -> dict[str, list[torch.Tensor]]:
    """Kinds of tensors that PyTorch warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = torch.quantize_per_tensor(WEIGHT, 0.5, 3, torch.quint8)
        each = torch.quantize_per_channel(WEIGHT, torch.ones(4), torch.arange(4), 0, torch.qint8)
        floating = torch.quantize_per_channel(WEIGHT, torch.ones(4), torch.zeros(4), 0, torch.quint8)
        packed = torch.quantize_per_channel(WEIGHT, torch.ones(4), torch.zeros(4), 0, torch.quint4x2)
        return {
            "quantized": [one, each],
            "quantized with zero points between whole numbers": [floating, packed],
            "compressed": [torch.eye(3).to_sparse_csr(), torch.eye(4).to_sparse_bsr((2, 2))],
        }


STATES: dict[str, Any] = {
    "a trained model, optimizer and schedule": trained_optimizer(),
    "a module's state with its metadata": MODULE.state_dict(),
    "a bare tensor": WEIGHT,
    "tied": {"a": WEIGHT, "b": WEIGHT, "view": WEIGHT[1:3], "transposed": WEIGHT.t()},
    "parameters": {"p": torch.nn.Parameter(WEIGHT), "frozen": torch.nn.Parameter(WEIGHT, requires_grad=False)},
    "a parameter with an attribute": [with_attribute()],
    "a leaf that needs a gradient": torch.ones(2, requires_grad=True),
    "scalars and empties": [torch.tensor(5), torch.empty(0, 3), torch.empty(0)],
    "expanded": [torch.ones(1).expand(3, 4), torch.ones(2, 1, 3).expand(2, 5, 3), WEIGHT, WEIGHT[1].expand(4, 6)],
    "holes": [WEIGHT[:, ::2], torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last)],
    "conjugated": torch.ones(3, dtype=torch.complex64).conj(),
    "negated": torch.ones(3, dtype=torch.complex64).conj().imag,
    "sparse": [WEIGHT.to_sparse(), WEIGHT.to_sparse().coalesce()],
    "meta": torch.empty(3, 4, device="meta", dtype=torch.float16),
    "words of torch": [torch.Size([1, 2]), torch.float8_e4m3fn, torch.device("cuda", 1), torch.device("cpu")],
    "containers": [(1, (2,)), {1, 2}, collections.OrderedDict(a=1), collections.Counter("aab"), {(1, "a"): None}],
    "keys": {1: WEIGHT, 2.5: "x", None: 1, (1, 2): torch.zeros(1), b"x": 2, "": 3, False: 4},
    "values": [None, True, -5, 1 << 70, 1.5, float("inf"), 2 + 3j, "é", b"a\xff", bytearray(b"b"), ""],
    "one dictionary twice": [SHARED, SHARED, dict(SHARED)],
    **unusual(),
}
