"""Processes that begin with PyTorch imported: a server of their own imports it once, and they are forks of that."""

from __future__ import annotations

from torch import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["numpy", "torch", "torch._dynamo", "deltackpt.training.checkpointer"])
