"""Enums that several tests register: a class has one name in a process."""

from __future__ import annotations

import enum

from deltackpt.skeleton.registry import register


@register
class Level(enum.IntEnum):
    LOW = 1


@register
class Options(enum.Flag):
    A = 1
    B = 2
