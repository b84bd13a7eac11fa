"""Damaged copies of a journal: the points that no damage touched, and those that are recovered."""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from daq.storage.files.summaries import summarize
from tests.benchmarks.table import Row
from tests.unit.storage.damaged_journals import START, STREAMS, damaged_copies, whole_journal
from tests.unit.storage.test_damage import numbers_in, recover

__all__ = ["NAME", "measure_damage"]

NAME = "recovery of damaged copies of a journal"
EVENTS, QUICK_EVENTS = 200, 40


def measure_damage(*, quick: bool) -> Row:
    """Damage each copy in one to three places, recover it, and compare event by event."""
    copies = 20 if quick else 200
    whole = whole_journal(QUICK_EVENTS if quick else EVENTS, stopped=True)
    logging.getLogger("daq.storage").setLevel(logging.ERROR)  # a line for each copy that is kept
    known = replace(summarize(START), points=whole.events)
    intact = recovered = wrong = silent = 0
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        for number, damaged in enumerate(damaged_copies(whole, copies, seed=_number_of_the_day())):
            done = recover(Path(name) / str(number), damaged.data, known)
            expected = {stream: damaged.intact(whole, stream) for stream in STREAMS}
            found = {stream: numbers_in(done.path, stream) for stream in STREAMS}
            intact += sum(map(len, expected.values()))
            back = sum(map(len, found.values()))
            recovered += back
            wrong += expected != found
            silent += back < whole.events and "missing" not in done.reason
    took = time.perf_counter() - began
    kept = "kept" if not wrong and not silent and intact == recovered else "NOT kept"
    return Row(
        f"denial: {NAME}",
        f"{copies} copies of {whole.events} points: {intact} points intact, {recovered} recovered; "
        f"{wrong} copies differ, {silent} lose points without a word; "
        f"{took / copies * 1e3:.0f} ms each",
        goal=f"{kept}: equal",
    )


def _number_of_the_day() -> int:
    """Other damage every day, and the same all day long."""
    return int(time.time() // 86400)
