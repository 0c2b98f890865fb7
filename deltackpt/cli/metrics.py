"""Metrics as the command line takes them: ``NAME=VALUE``."""

from __future__ import annotations

from collections.abc import Iterable

from deltackpt.errors import InvalidInputError


def metrics_of(texts: Iterable[str]) -> dict[str, float]:
    """The numbers by name; InvalidInputError for a text that is no ``NAME=NUMBER``, or a name given twice."""
    metrics: dict[str, float] = {}
    for name, value in map(_metric, texts):
        if name in metrics:
            raise InvalidInputError(f"--metric {name!r} is given twice; give one value for each name")
        metrics[name] = value
    return metrics


def _metric(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        return name, float(value if equals else "none given")
    except ValueError:
        raise InvalidInputError(f"--metric {text!r} is not NAME=NUMBER, such as val_loss=2.34") from None
