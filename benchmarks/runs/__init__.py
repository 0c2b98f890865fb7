"""Real training runs whose states are committed: made once, cached, then loaded step by step."""

from benchmarks.runs.cache import State, available, ensure, load, nbytes
from benchmarks.runs.catalogue import RUNS, STEPS, Run, Spacing

__all__ = ["RUNS", "STEPS", "Run", "Spacing", "State", "available", "ensure", "load", "nbytes"]
