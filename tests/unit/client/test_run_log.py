"""Runs are found by what they are, and shown once each, whatever begins meanwhile."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.client import RunLog, RunPage
from daq.client.recorded import run_log
from daq.client.recorded.conditions import glob, glob_of, matches
from daq.core import ParameterError, RunOutcome, RunSummary


class Daemon:
    """Lists runs as the catalogue does; others begin a run between two questions."""

    def __init__(self, starts: list[int], begin: int = 0) -> None:
        self.known = [self.summary(n, start) for n, start in enumerate(starts)]
        self.begin = begin
        self.runs = self

    def summary(self, number: int, start: int) -> RunSummary:
        facts = {"number": number}
        return RunSummary(
            f"r{number:04}", f"n{number % 3}", start, start, RunOutcome.COMPLETED, metadata=facts
        )

    def call(self, action: Any) -> Any:
        return action(self)

    def list(
        self, *, limit: int = 50, offset: int = 0, name: str = "", outcome: str = "",
        since_ns: int = 0, until_ns: int = 0,
    ) -> RunPage:  # fmt: skip
        fitting = sorted(self.known, key=lambda s: (-s.started_ns, s.run_id))
        fitting = [s for s in fitting if not until_ns or s.started_ns < until_ns]
        fitting = [s for s in fitting if s.started_ns >= since_ns]
        fitting = [s for s in fitting if not name or _glob(s.name, name)]
        page = RunPage(tuple(fitting[offset : offset + limit]), len(fitting))
        newest = max((s.started_ns for s in self.known), default=0)
        for _ in range(self.begin):
            newest += 1
            self.known.append(self.summary(len(self.known), newest))
        return page


def _glob(text: str, pattern: str) -> bool:
    with closing(sqlite3.connect(":memory:")) as db:
        return bool(db.execute("SELECT ? GLOB ?", (text, pattern)).fetchone()[0])


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "PAGE", 4)


def log_of(daemon: Daemon) -> RunLog:
    return RunLog(daemon)  # type: ignore[arg-type]


moments = st.lists(st.integers(1, 9), max_size=25)


@given(moments, st.integers(0, 3))
def test_every_run_is_shown_once_newest_first_while_others_begin(starts, begin) -> None:
    daemon = Daemon(starts, begin)
    shown = [run.id for run in log_of(daemon)]
    there = sorted(daemon.known[: len(starts)], key=lambda s: (-s.started_ns, s.run_id))
    assert shown[: len(there)] == [s.run_id for s in there]
    assert len(shown) == len(set(shown)) == len(there)


@given(
    moments, st.integers(0, 2), st.none() | st.integers(-30, 30), st.none() | st.integers(-30, 30),
    st.sampled_from([None, 1, 2, 7, -1, -3]),
)  # fmt: skip
def test_runs_are_cut_as_a_list_is(starts, begin, start, stop, step) -> None:
    daemon = Daemon(starts, begin)
    there = sorted(daemon.known, key=lambda s: (-s.started_ns, s.run_id))[::-1]
    cut = log_of(daemon)[start:stop:step]
    assert [run.id for run in cut] == [s.run_id for s in there[start:stop:step]]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(-12, 12))
def test_one_run_is_that_of_a_list(starts, which) -> None:
    daemon = Daemon(starts, begin=1)
    there = sorted(daemon.known, key=lambda s: (-s.started_ns, s.run_id))[::-1]
    if -len(there) <= which < len(there):
        assert log_of(daemon)[which].id == there[which].run_id
    else:
        with pytest.raises(IndexError, match=f"no run {which}"):
            log_of(daemon)[which]


@given(st.text(max_size=20).filter(lambda text: "\0" not in text))
def test_a_text_matches_itself_and_nothing_else(text) -> None:
    assert matches({"sample": text}, "sample", text)
    assert not matches({"sample": text}, "sample", text + "x")
    printable = text.encode("utf-8", "ignore").decode()
    assert not printable or _glob(printable, glob_of(printable))
    assert not _glob(printable + "x", glob_of(printable))


FACTS = {
    "sample": "Si[111]", "energy": 7.1, "n": 3, "good": True, "angles": [0, 45], "none": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "wanted", "found"),
    [
        ("sample", "Si[111]", True),
        ("sample", "Si*", False),
        ("sample", glob("Si*"), True),
        ("sample", glob("Ge*"), False),
        ("sample", re.compile(r"\d+"), True),
        ("sample", (">", "Sh"), True),
        ("sample", (">", 5), False),
        ("energy", (">", 5), True),
        ("energy", ("<=", 7.1), True),
        ("energy", ("<", 7.1), False),
        ("energy", ("!=", 7), True),
        ("energy", glob("*"), False),
        ("energy", lambda e: 7 < e < 8, True),
        ("energy", float("nan"), False),
        ("n", 3, True),
        ("n", np.int64(3), True),
        ("good", True, True),
        ("good", 1, False),
        ("good", (">", 0), False),
        ("angles", [0, 45], True),
        ("angles", (0, 45), True),
        ("angles", np.array([0, 45]), True),
        ("angles", np.array([0, 46]), False),
        ("angles", [0], False),
        ("none", None, True),
        ("missing", None, False),
        ("missing", ("!=", 5), False),
        ("missing", lambda _: True, False),
    ],
)
def test_metadata_are_compared_as_they_are_asked_for(key, wanted, found) -> None:
    assert matches(FACTS, key, wanted) is found


def test_a_search_asks_the_daemon_what_it_can_and_looks_at_the_rest() -> None:
    runs = log_of(Daemon(list(range(1, 21))))
    assert [r.metadata["number"] for r in runs.search("n0", number=(">", 9))] == [18, 15, 12]
    assert len(runs.search(glob("n*"))) == 20
    assert runs.search("n*") == []
    assert len(runs.search(re.compile("[01]"), limit=3)) == 3
    assert len(runs.search(where={"number": 3})) == 1
    with pytest.raises(ParameterError, match="no outcome 'complete'") as caught:
        runs.search(outcome="complete")
    assert caught.value.advice == "did you mean 'completed'?"
