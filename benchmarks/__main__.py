"""``python -m benchmarks``: trains the runs where they are not cached, measures, prints tables."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks import (
    beside_gc,
    chain,
    folders,
    growth,
    history,
    large,
    machine,
    memory,
    moving,
    renamed,
    training,
    unchanged,
    warmth,
    workspace,
)
from benchmarks.contenders import DeltackptStore
from benchmarks.figures import Figure, missing
from benchmarks.options import Options
from benchmarks.report import render
from benchmarks.runs import RUNS, Run, available, ensure
from benchmarks.side_by_side import TABLES
from benchmarks.side_by_side import figures as side_by_side

STORE_ONLY: dict[str, Callable[[Options], Iterator[Figure]]] = {
    "warmth": warmth.figures,
    "chain": chain.figures,
    "unchanged": unchanged.figures,
    "history": history.figures,
    "growth": growth.figures,
    "beside-gc": beside_gc.figures,
    "large": large.figures,
    "moving": moving.figures,
    "renamed": renamed.figures,
    **training.TABLES,
    **folders.TABLES,
}
# What these measure they make themselves.
WITHOUT_RUNS = ("history", "growth", "beside-gc", "large", "moving", "renamed", *training.TABLES, *folders.TABLES)
FIGURES_HEADING = "## Figures\n"
NAMES = (*TABLES, "memory", *STORE_ONLY)


def main() -> int:
    arguments = _parser().parse_args()
    only = set(arguments.only.split(",")) if arguments.only else set(NAMES)
    wanted = arguments.runs.split(",") if arguments.runs else list(RUNS)
    runs = tuple(_prepared(wanted)) if only - set(WITHOUT_RUNS) else ()
    options = Options(runs, 1 if arguments.quick else arguments.repetitions, arguments.quick)
    figures: list[Figure] = []
    try:
        for figure in _measured(options, only):
            figures.append(figure)
    finally:
        # An hour of measuring is worth printing even when the last benchmark fails.
        _publish(figures, arguments)
    return 0


def _publish(figures: list[Figure], arguments: argparse.Namespace) -> None:
    report = f"{_heading(arguments)}\n\n{render(figures)}\n"
    print(report, flush=True)
    if arguments.into:
        _replace_figures(Path(arguments.into), report)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps([_as_json(f) for f in figures], indent=1))


def _measured(options: Options, only: set[str]) -> Iterator[Figure]:
    if only & set(TABLES):
        yield from side_by_side(options, only)
    if "memory" in only:
        yield from memory.figures(options)
    absent = DeltackptStore.absent()
    for name, measure in STORE_ONLY.items():
        if name in only:
            yield from [missing(name, DeltackptStore.name, "", absent)] if absent else measure(options)


def _prepared(names: list[str]) -> Iterator[Run]:
    """The runs that can be made here, trained; a line for each that cannot."""
    for name in names:
        if available(RUNS[name]):
            ensure(RUNS[name])
            yield RUNS[name]
        else:
            print(f"run {name} is missing: its pretrained weights are not installed; see benchmarks/README.md")


def _heading(arguments: argparse.Namespace) -> str:
    """Machine, versions and command: a figure without them means nothing."""
    workspace.ROOT.mkdir(parents=True, exist_ok=True)
    rows = [f"| {what} | {value} |" for what, value in machine.describe(workspace.ROOT)]
    return "\n".join([f"`{_command(arguments)}` on {platform.machine()}:", "", "| | |", "|---|---|", *rows])


def _command(arguments: argparse.Namespace) -> str:
    """The command line, without where its report goes."""
    chosen = {"--only": arguments.only, "--runs": arguments.runs, "--repetitions": arguments.repetitions}
    options = [f"{name} {value}" for name, value in chosen.items() if value]
    return " ".join(["python -m benchmarks", *options, *(["--quick"] if arguments.quick else [])])


def _replace_figures(page: Path, report: str) -> None:
    """Keep what people wrote on ``page``; everything below its heading for figures becomes ``report``."""
    written, heading, _ = page.read_text().partition(FIGURES_HEADING)
    page.write_text(f"{written}{heading}\n{report}")


def _as_json(figure: Figure) -> dict[str, object]:
    return {**asdict(figure), "target": str(figure.target) if figure.target else None}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="NAMES", help=f"some of {','.join(NAMES)}")
    parser.add_argument("--runs", metavar="NAMES", help=f"some of {','.join(RUNS)}")
    parser.add_argument("--repetitions", type=int, default=3, help="of each speed; 3 unless told")
    parser.add_argument("--quick", action="store_true", help="one repetition, short history, small large state")
    parser.add_argument("--into", metavar="PAGE", help="also replace the figures at the end of this Markdown page")
    parser.add_argument("--json", metavar="FILE", help="also write every sample")
    return parser


if __name__ == "__main__":
    sys.exit(main())
