"""The figures of growth as curves over the number of chunks, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot

from benchmarks.figures import Figure
from benchmarks.growth import CPU

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#444444", "#56b4e9")


def plot(figures: Iterable[Figure], path: Path) -> None:
    """Write an SVG: time on the left, memory on the right."""
    found = [figure for figure in figures if figure.samples]
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "growth", "font.size": 9})
    drawing, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    _curves(left, [figure for figure in found if figure.column.endswith(CPU)], "seconds of the processor")
    _curves(right, [figure for figure in found if figure.unit == "MB"], "MB")
    drawing.savefig(path, metadata={"Date": None})


def _curves(axes: Any, figures: Sequence[Figure], unit: str) -> None:
    names = dict.fromkeys(figure.column for figure in figures)
    for name, colour in zip(names, _COLOURS, strict=False):
        points = [(_chunks(f), f.value / (1000 if f.unit == "ms" else 1)) for f in figures if f.column == name]
        axes.plot(
            *zip(*points, strict=True),
            marker="o",
            markersize=3,
            linewidth=1.2,
            color=colour,
            label=name.partition(",")[0],
        )
    axes.set(xscale="log", yscale="log", xlabel="chunks", ylabel=unit)
    axes.minorticks_off()
    axes.grid(True, linewidth=0.3)
    axes.legend(fontsize=7, frameon=False)


def _chunks(figure: Figure) -> int:
    """``1,000 commits, 100,000 chunks``."""
    return int(figure.row.split(", ")[1].split()[0].replace(",", ""))
