"""What notebooks show: everything that matters, and nothing of it as markup."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from daq.client.showing.html import (
    device_html,
    devices_html,
    error_html,
    execution_html,
    progress_html,
    reading_html,
    run_html,
    runs_html,
    table_html,
)
from daq.core import (
    Capability,
    Category,
    Channel,
    Column,
    DeviceDescription,
    DeviceSnapshot,
    DeviceState,
    ExecutionRecord,
    ExecutionState,
    ExecutionView,
    LimitError,
    Limits,
    RunOutcome,
    RunSummary,
    Transition,
)
from daq.wire.convert import RecordedStream

NASTY = '<script>alert("&")</script>'
ALLOWED = frozenset(
    "b br code div i pre small span table tbody td th thead tr".split()  # noqa: SIM905
)


class Page(HTMLParser):
    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        assert tag in ALLOWED
        assert {name for name, _ in attrs} <= {"style"}
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data


def text_of(markup: str) -> str:
    page = Page(markup)
    assert page.open == []
    return page.text


def description(name: str = "stage") -> DeviceDescription:
    return DeviceDescription(
        name,
        "simulated.stage",
        Category.STAGE,
        frozenset({Capability.MOVABLE}),
        Channel(name, "mm"),
        label=name,
        units="mm",
        limits=Limits(-5, 5),
    )


def snapshot(state: DeviceState = DeviceState.READY, reason: str = "") -> DeviceSnapshot:
    return DeviceSnapshot("stage", state, 1, 0, reason, fields={"position": 1.25, "note": NASTY})


def view(state: ExecutionState, progress: float = 0.25) -> ExecutionView:
    record = ExecutionRecord(
        "abc",
        "s",
        NASTY,
        {"points": NASTY},
        "ada",
        (Transition(ExecutionState.PENDING, 0), Transition(state, 1)),
        message=NASTY,
        traceback=NASTY,
        line=7,
        progress=progress,
        run_ids=("0123456789",),
    )
    return ExecutionView(record, 1, NASTY, NASTY, 1.5, 3.0, result={"width": NASTY})


def summary(outcome: RunOutcome | None = RunOutcome.COMPLETED) -> RunSummary:
    return RunSummary(
        "0123456789", NASTY, 10**18, 10**18 + 2 * 10**9, outcome, NASTY, metadata={"who": NASTY}
    )


STREAM = RecordedStream("primary", 5, (Column("stage", "mm", "<f8"), Column(NASTY, "", "<f8")))


@pytest.mark.parametrize(
    "markup",
    [
        device_html(description(NASTY), snapshot(DeviceState.OFFLINE, NASTY)),
        devices_html([(description(NASTY), snapshot())]),
        run_html(summary(), [STREAM]),
        runs_html([summary()], 1),
        execution_html(view(ExecutionState.ERROR)),
        progress_html(view(ExecutionState.RUNNING), NASTY),
        error_html(LimitError(NASTY, advice=NASTY)),
        reading_html(NASTY, 1.0, NASTY),
        table_html([NASTY], [[NASTY]]),
    ],
)
def test_everything_is_escaped(markup: str) -> None:
    assert NASTY in text_of(markup)
    assert "<script" not in markup


def test_a_device_shows_state_position_units_and_limits() -> None:
    text = text_of(device_html(description(), snapshot()))
    for part in ("ready", "1.25 mm", "[-5, 5] mm", "move_abs", "simulated.stage"):
        assert part in text


def test_a_device_that_cannot_be_asked_is_shown_all_the_same() -> None:
    assert "unknown" in text_of(device_html(description(), None))


@pytest.mark.parametrize(
    ("state", "progress", "width"),
    [
        (ExecutionState.RUNNING, 0.25, "25.0%"),
        (ExecutionState.RUNNING, 7.0, "100.0%"),
        (ExecutionState.RUNNING, -1.0, "0.0%"),
        (ExecutionState.COMPLETED, 0.5, "100.0%"),
    ],
)
def test_the_bar_is_never_longer_than_its_frame(
    state: ExecutionState, progress: float, width: str
) -> None:
    assert f"width:{width};" in progress_html(view(state, progress))


def test_the_line_is_live_and_gone_when_all_is_well() -> None:
    assert "line 7" in progress_html(view(ExecutionState.RUNNING))
    assert "line 7" in progress_html(view(ExecutionState.ERROR))
    assert "line 7" not in progress_html(view(ExecutionState.COMPLETED))


def test_an_open_run_says_so() -> None:
    assert "open" in text_of(run_html(summary(None)))
    assert "5 points of stage (mm)" in text_of(run_html(summary(), [STREAM]))


def test_of_many_columns_and_keys_the_first_are_shown_and_the_others_counted() -> None:
    many = tuple(Column(f"c{i}", "", "<f8") for i in range(4000))
    wide = RecordedStream("primary", 3, many)
    run = replace(summary(), metadata={f"k{i}": i for i in range(2000)})
    text = text_of(run_html(run, [wide]))
    assert "c23 and 3976 more" in text
    assert "metadata and 1976 more" in text
    assert len(text) < 2000


def test_an_error_carries_its_notes() -> None:
    error = LimitError("too far", advice="come back")
    error.add_note("line 3 <of> the cell")
    assert text_of(error_html(error)) == "LimitErrortoo farcome backline 3 <of> the cell"


def test_arrays_are_summed_up() -> None:
    text = text_of(reading_html("camera", np.arange(6, dtype="u2").reshape(2, 3), "counts"))
    assert text == "camera\xa0 2 x 3 uint16 counts, 0 to 5"


def test_long_texts_are_cut() -> None:
    assert len(error_html(LimitError("x" * 100_000))) < 5_000
