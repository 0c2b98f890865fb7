"""Figures as Markdown: a table for each group, then every target beside what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benchmarks.figures import Figure


def render(figures: Iterable[Figure]) -> str:
    """All tables, in the order in which their first figure appears, and the table of targets last."""
    figures = list(figures)
    tables = dict.fromkeys(f.table for f in figures)
    blocks = [_table(name, [f for f in figures if f.table == name]) for name in tables]
    return "\n\n".join([*blocks, *_targets([f for f in figures if f.target])])


def _table(name: str, figures: list[Figure]) -> str:
    rows = dict.fromkeys(f.row for f in figures)
    columns = dict.fromkeys(f.column for f in figures)
    cells = {(f.row, f.column): _cell(f) for f in figures}
    body = [[row, *(cells.get((row, column), "") for column in columns)] for row in rows]
    return f"### {name}\n\n" + "\n".join(_lines([["", *columns], *body]))


def _targets(figures: list[Figure]) -> list[str]:
    if not figures:
        return []
    header = ["figure", "target", "measured", "verdict"]
    rows = [[f"{f.table}: {f.row}, {f.column}", _wanted(f), _cell(f), _verdict(f)] for f in figures]
    return ["### Targets\n\n" + "\n".join(_lines([header, *rows]))]


def _lines(rows: list[list[str]]) -> Iterator[str]:
    header, *body = rows
    yield _line(header)
    yield _line(["---", *("---:" for _ in header[1:])])
    yield from map(_line, body)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(figure: Figure) -> str:
    if not figure.samples:
        return figure.note or "not measured"
    low, high = figure.spread
    around = f" ({_number(low)}-{_number(high)})" if low != high else ""
    return f"{_number(figure.value)}{around} {figure.unit}".rstrip()


def _wanted(figure: Figure) -> str:
    return f"{figure.target} {figure.unit}".rstrip()


def _verdict(figure: Figure) -> str:
    if not figure.samples:
        return "not measured"
    assert figure.target is not None
    return "pass" if figure.target.met_by(figure.value) else "falls short"


def _number(value: float) -> str:
    """Three digits or more, never an exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
