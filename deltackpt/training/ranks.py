"""The processes of a distributed training, as far as saving needs them: who writes, and what all agree on.

Their words go through a group of its own on the CPU, so nothing waits for a device. Without torch.distributed there is
one rank, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import distributed

from deltackpt import errors
from deltackpt.errors import DeltackptError, public_kind

T = TypeVar("T")


class Ranks:
    """This process among its peers. All methods but ``rank`` and ``size`` are for all ranks at once."""

    def __init__(self) -> None:
        together = distributed.is_available() and distributed.is_initialized()
        self.rank = distributed.get_rank() if together else 0
        self.size = distributed.get_world_size() if together else 1
        self._group = distributed.new_group(backend="gloo") if self.size > 1 else None

    @property
    def first(self) -> bool:
        """Whether this rank writes."""
        return self.rank == 0

    def most(self, *values: int) -> tuple[int, ...]:
        """For each value the greatest that any rank gave."""
        if self._group is None:
            return values
        agreed = torch.tensor(values, dtype=torch.int64, device="cpu")
        distributed.all_reduce(agreed, distributed.ReduceOp.MAX, group=self._group)
        return tuple(agreed.tolist())

    def told(self, value: Any) -> Any:
        """What the first rank gave."""
        if self._group is None:
            return value
        held = [value]
        distributed.broadcast_object_list(held, src=0, group=self._group)
        return held[0]

    def from_first(self, action: Callable[[], T]) -> T:
        """What ``action`` gives on the first rank, which alone carries it out; its error is raised on all."""
        if self._group is None:
            return action()
        answer: tuple[Any, str, str] = (None, "", "")
        if self.first:
            try:
                answer = (action(), "", "")
            except DeltackptError as error:
                answer = (None, public_kind(error), str(error))
            except Exception as error:
                # The others must not wait for an answer that never comes.
                self.told((None, DeltackptError.__name__, f"rank 0 failed: {type(error).__name__}: {error}"))
                raise
        value, kind, text = self.told(answer)
        if kind:
            raise getattr(errors, kind)(text)
        return value  # type: ignore[no-any-return]

    def gathered(self, value: Any) -> list[Any] | None:
        """What each rank gave, on the first; None elsewhere."""
        if self._group is None:
            return [value]
        held: list[Any] | None = [None] * self.size if self.first else None
        distributed.gather_object(value, held, dst=0, group=self._group)
        return held

    def close(self) -> None:
        if self._group is not None and distributed.is_initialized():
            distributed.destroy_process_group(self._group)
            self._group = None
