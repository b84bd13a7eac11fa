"""What a benchmark says: a row each, with a peer measured in the same run where there is one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

__all__ = [
    "Row",
    "print_comparison",
    "print_markdown",
    "print_table",
    "recorded_ratios",
    "summary",
    "worse",
]

_RECORD = Path(__file__).with_name("README.md")
_NOISE = 1.1
"""A ratio varies by so much from run to run."""
_HEAD = ("what", "daq", "peer, same run", "ratio", "goal")


@dataclass(frozen=True)
class Row:
    what: str
    ours: str
    peer: str = ""
    ratio: float | None = None
    """Ours over the peer's; below 1 is faster."""
    goal: str = ""


def summary(seconds: Sequence[float], unit: str = "ms") -> str:
    """Median, 99th percentile and worst of a series."""
    scale = {"ms": 1e3, "us": 1e6}[unit]
    ordered = sorted(value * scale for value in seconds)
    p99 = ordered[math.ceil(len(ordered) * 0.99) - 1]
    label = "µs" if unit == "us" else unit
    middle = statistics.median(ordered)
    return f"{middle:.3g} {label} (p99 {p99:.3g}, worst {ordered[-1]:.3g}, n={len(ordered)})"


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return (row.what, row.ours, row.peer, ratio, row.goal)


def print_markdown(rows: Sequence[Row]) -> None:
    for cells in (_HEAD, ("---",) * len(_HEAD), *map(_cells, rows)):
        print(f"| {' | '.join(cells)} |")


def print_table(rows: Sequence[Row]) -> None:
    table = Table(title="daq benchmarks", title_justify="left")
    for name in _HEAD:
        table.add_column(name, justify="right" if name == "ratio" else "left", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    console = Console()
    console.width = max(console.width, 150)
    console.print(table)


def recorded_ratios(text: str) -> dict[str, float]:
    """The ratios of the tables in a Markdown text, by what was measured."""
    ratios = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == len(_HEAD):
            with suppress(ValueError):  # a row without a peer
                ratios[cells[0]] = float(cells[_HEAD.index("ratio")])
    return ratios


def worse(rows: Sequence[Row], recorded: Mapping[str, float]) -> list[str]:
    """A sentence for each ratio that is worse than the recorded one by more than noise."""
    return [
        f"{row.what}: {row.ratio:.2f}, recorded {recorded[row.what]:.2f}"
        for row in rows
        if row.ratio is not None and row.ratio > _NOISE * recorded.get(row.what, math.inf)
    ]


def print_comparison(rows: Sequence[Row]) -> None:
    """Say which ratios of this run are worse than those on record, and which have no record."""
    recorded = recorded_ratios(_RECORD.read_text(encoding="utf-8"))
    found = worse(rows, recorded)
    print(*found or [f"no ratio is worse than recorded by more than {_NOISE - 1:.0%}"], sep="\n")
    unknown = [row.what for row in rows if row.ratio is not None and row.what not in recorded]
    if unknown:
        print(f"not on record: {', '.join(unknown)}")
