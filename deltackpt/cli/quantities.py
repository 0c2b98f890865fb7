"""Quantities as options take them: a share of something, a size in bytes."""

from __future__ import annotations

import re
from typing import Any

import click

from deltackpt.errors import InvalidInputError

_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%")


class Share(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click alone
    """``5%`` as 0.05."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = _SHARE.fullmatch(value)
        if match is None or not 0 < float(match[1]) <= 100:
            self.fail(f"{value!r} is not a share such as 5%", param, ctx)
        return float(match[1]) / 100


class Size(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click alone
    """``200MB`` or ``64MiB`` in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from deltackpt.maintenance.quantity import parse_size

        try:
            return parse_size(value)
        except InvalidInputError as error:
            self.fail(str(error), param, ctx)


SHARE = Share()
SIZE = Size()
