"""How an execution shows itself in a notebook."""

from __future__ import annotations

import pytest

from daq.client.calls.models import ExecutionUpdate
from daq.client.figures.notebook_display import NotebookDisplay
from daq.core import (
    CommunicationError,
    ExecutionRecord,
    ExecutionState,
    ExecutionView,
    OutputLine,
    Transition,
)


class Page:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def show(self, bundle) -> None:
        self.texts.append(bundle["text/plain"])


class Portal:
    """Knows how the execution is now, unless it is lost."""

    def __init__(self, answer) -> None:
        self.answer = answer

    def call(self, action):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def view(state: ExecutionState, progress: float = 0.0) -> ExecutionView:
    transitions = (Transition(ExecutionState.PENDING, 0), Transition(state, 1))
    return ExecutionView(
        ExecutionRecord("e", "s", "knife", {}, "ada", transitions, progress=progress), 1
    )


def display(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> tuple[NotebookDisplay, Page]:
    page = Page()
    monkeypatch.setattr("daq.client.figures.notebook_display.Slot", lambda: page)
    return NotebookDisplay(portal, "knife"), page


def test_fast_updates_are_left_out_but_the_first_and_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 1000.0)
    shown, page = display(Portal(None), monkeypatch)
    with shown:
        for percent in range(100):
            shown.update(ExecutionUpdate(view(ExecutionState.RUNNING, percent / 100), ()))
        shown.update(ExecutionUpdate(view(ExecutionState.COMPLETED, 1.0), ()))
    assert page.texts == ["knife: RUNNING 0%", "knife: COMPLETED 100%"]


def test_output_is_printed_and_what_is_internal_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown, _ = display(Portal(None), monkeypatch)
    lines = [OutputLine(0, level, level) for level in ("output", "debug", "result", "warning")]
    with shown:
        shown.update(ExecutionUpdate(view(ExecutionState.RUNNING), tuple(lines)))
    assert capsys.readouterr().out == "output\nwarning\n"


@pytest.mark.parametrize(
    ("answer", "last"),
    [
        (view(ExecutionState.STOPPED, 0.5), "knife: STOPPED 50%"),
        (CommunicationError("gone"), "knife: RUNNING 50%"),
    ],
)
def test_after_an_interrupt_the_page_says_what_became_of_it(
    answer, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, page = display(Portal(answer), monkeypatch)

    def wait_interrupted() -> None:
        with shown:
            shown.update(ExecutionUpdate(view(ExecutionState.RUNNING, 0.5), ()))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_interrupted()
    assert page.texts[-1] == last
