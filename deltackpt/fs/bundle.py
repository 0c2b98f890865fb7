"""Files of one folder that belong together, among others that do not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bundle:
    """The files ``members`` of ``folder``, taken as a folder called ``name`` that holds nothing else."""

    folder: str
    name: str
    members: frozenset[str]
