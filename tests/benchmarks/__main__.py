"""`python -m tests.benchmarks [--quick] [SUITE]...`: one table of everything measured."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any

import trio

from tests.benchmarks import (
    client,
    denial,
    hostile,
    instruments,
    rates,
    ring,
    safety,
    scripts,
    storage,
    stream,
    wide,
    wire,
)
from tests.benchmarks.table import print_comparison, print_markdown, print_table

SUITES: dict[str, Callable[[bool], Any]] = {
    "scripts": lambda quick: trio.run(functools.partial(scripts.measure, quick=quick)),
    "denial": lambda quick: denial.measure(quick=quick, only=arguments.only),  # type: ignore[has-type]
    "hostile": lambda quick: trio.run(functools.partial(hostile.measure, quick=quick)),  # type: ignore[has-type]
    "safety": lambda quick: trio.run(functools.partial(safety.measure, quick=quick)),
    "wire": lambda quick: wire.measure(quick=quick),
    "storage": lambda quick: trio.run(functools.partial(storage.measure, quick=quick)),
    "wide": lambda quick: trio.run(functools.partial(wide.measure, quick=quick)),
    "stream": lambda quick: stream.measure(quick=quick),
    "ring": lambda quick: ring.measure(quick=quick),
    "rates": lambda quick: rates.measure(quick=quick),
    "instruments": lambda quick: instruments.measure(quick=quick),
    "client": lambda quick: client.measure(quick=quick),
}

parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
parser.add_argument("--quick", action="store_true", help="short series: shows that all of it works")
parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
parser.add_argument("--only", default="", help="of denial: attacks with this in their name")
parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"{', '.join(SUITES)}; all if none")
parser.add_argument(
    "--compare", action="store_true", help="print which ratio got worse than the recorded table"
)
arguments = parser.parse_args()
if unknown := set(arguments.suites) - set(SUITES):
    parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
rows = [row for name in arguments.suites or SUITES for row in SUITES[name](arguments.quick)]
show = print_markdown if arguments.markdown else print_table
show(rows)
if arguments.compare:
    print_comparison(rows)
