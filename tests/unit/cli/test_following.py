from __future__ import annotations

import asyncio
import io
import os
import signal
from typing import Any

import pytest
from rich.console import Console

from daq.cli.following import follow, follow_or_stop
from daq.cli.showing.display import JsonDisplay, LiveDisplay, PlainDisplay, display_for
from daq.cli.showing.output import Cell, Output
from daq.client import AsyncClient, ExecutionUpdate, Sample
from daq.core import (
    CommunicationError,
    ExecutionRecord,
    ExecutionState,
    ExecutionView,
    OutputLine,
    StopReport,
    Transition,
)
from daq.wire.convert import status_to_wire, stop_to_wire
from daq.wire.generated import daq as pb
from tests.unit.client.fake_daemon import FakeDaemon


def view(state: ExecutionState, progress: float | None = 0.25) -> ExecutionView:
    record = ExecutionRecord(
        "e1", "s1", "scan", {}, "ada", (Transition(state, 1),), line=7, progress=progress
    )
    return ExecutionView(record, 1, source_line="    record(stage)", elapsed_s=1.5, remaining_s=4.5)


def terminal() -> Output:
    output = Output()
    output.console = Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False)
    output.errors = Console(file=io.StringIO(), width=100, highlight=False)
    return output


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_display_follows_from_where_the_output_goes() -> None:
    assert isinstance(display_for(Output(as_json=True)), JsonDisplay)
    assert isinstance(display_for(Output()), PlainDisplay)
    assert isinstance(display_for(terminal()), LiveDisplay)


def test_the_live_display_shows_bar_line_and_readings_and_leaves_only_the_output() -> None:
    output = terminal()
    with LiveDisplay(output.console) as display:
        display.reading(Sample("power_meter", 1, 0.00123, "W"))
        line = OutputLine(1, "warning", "near the limit", 7)
        display.update(ExecutionUpdate(view(ExecutionState.RUNNING), (line,)))
        screen = Console(file=io.StringIO(), width=120)
        screen.print(display._render())
    text = written(screen)
    assert "scan" in text
    assert "RUNNING" in text
    assert "25 %" in text
    assert "1.5 s, 4.5 s left" in text
    assert "line 7: record(stage)" in text
    assert "power_meter 1.23 mW" in text
    assert "near the limit" in written(output.console)


def test_the_live_display_waits_for_the_first_update() -> None:
    output = terminal()
    with LiveDisplay(output.console) as display:
        display.update(ExecutionUpdate(view(ExecutionState.PENDING, None), ()))
        screen = Console(file=io.StringIO(), width=120)
        screen.print(display._render())
    assert "PENDING" in written(screen)


def test_a_table_has_colours_on_a_terminal_only() -> None:
    output = terminal()
    output.table(["device", "time>"], [(Cell("stage", "green"), "1 s")])
    assert "\x1b[32mstage" in written(output.console)


async def until_stopped(stopped: asyncio.Event):
    yield pb.ExecutionUpdate(status_to_wire(view(ExecutionState.RUNNING)))
    await stopped.wait()
    yield pb.ExecutionUpdate(status_to_wire(view(ExecutionState.STOPPED)))


class StoppableDaemon(FakeDaemon):
    """An execution that runs until it is stopped; `needs_force` ignores the graceful stop."""

    def __init__(self, *, needs_force: bool = False, hangs: bool = False) -> None:
        super().__init__({"WatchExecution": self.watch, "StopScript": self.stop})
        self.needs_force = needs_force
        self.hangs = hangs
        self.stopped: asyncio.Event

    def watch(self, request: Any) -> Any:
        self.stopped = asyncio.Event()
        return until_stopped(self.stopped)

    async def stop(self, request: Any) -> pb.StopResponse:
        if request.force and self.hangs:
            os.kill(os.getpid(), signal.SIGINT)
        elif request.force or not self.needs_force:
            self.stopped.set()
        else:
            os.kill(os.getpid(), signal.SIGINT)
            await self.stopped.wait()
        return stop_to_wire(StopReport("e1", ExecutionState.STOPPED, "", 0.1))


class PressingDisplay(PlainDisplay):
    """Presses Ctrl-C when the first update is shown."""

    def update(self, update: ExecutionUpdate) -> None:
        super().update(update)
        if update.view.record.state is ExecutionState.RUNNING:
            os.kill(os.getpid(), signal.SIGINT)


def run(daemon: FakeDaemon, output: Output) -> ExecutionView:
    async def main() -> ExecutionView:
        async with AsyncClient(daemon.address) as client:
            return await follow_or_stop(client, "e1", output, PressingDisplay(output))

    return asyncio.run(main())


def test_the_first_ctrl_c_stops_gracefully() -> None:
    output = terminal()
    with StoppableDaemon() as daemon:
        before = signal.getsignal(signal.SIGINT)
        end = run(daemon, output)
        assert signal.getsignal(signal.SIGINT) is before
        assert not daemon.last("StopScript").force
        assert daemon.last("StopScript").reason == "Ctrl-C"
    assert end.record.state is ExecutionState.STOPPED
    assert "press Ctrl-C again to stop by force" in written(output.errors)
    assert "e1 is " in written(output.console)


def test_the_second_ctrl_c_stops_by_force() -> None:
    output = terminal()
    with StoppableDaemon(needs_force=True) as daemon:
        end = run(daemon, output)
        assert [request.force for name, request in daemon.requests if name == "StopScript"] == [
            False,
            True,
        ]
    assert end.record.state is ExecutionState.STOPPED
    assert "stopping by force" in written(output.errors)


def test_the_third_ctrl_c_gives_up_waiting() -> None:
    output = terminal()
    with (
        StoppableDaemon(needs_force=True, hangs=True) as daemon,
        pytest.raises(asyncio.CancelledError),
    ):
        run(daemon, output)


def test_a_watch_that_ends_too_early_is_an_error() -> None:
    updates = [pb.ExecutionUpdate(status_to_wire(view(ExecutionState.RUNNING)))]

    async def main(address: str) -> None:
        async with AsyncClient(address) as client:
            await follow(client, "e1", Output())

    with (
        FakeDaemon({"WatchExecution": lambda r: updates}) as daemon,
        pytest.raises(CommunicationError, match="ended the watch of e1 before its end"),
    ):
        asyncio.run(main(daemon.address))


def test_readings_that_fail_do_not_end_the_watch() -> None:
    def fail(request: Any) -> Any:
        raise CommunicationError("no readings today")

    updates = [pb.ExecutionUpdate(status_to_wire(view(ExecutionState.COMPLETED)))]
    output = terminal()

    async def main(address: str) -> ExecutionView:
        async with AsyncClient(address) as client:
            return await follow(client, "e1", output, LiveDisplay(output.console))

    with FakeDaemon({"WatchExecution": lambda r: updates, "StreamMeasurements": fail}) as daemon:
        assert asyncio.run(main(daemon.address)).record.state is ExecutionState.COMPLETED
