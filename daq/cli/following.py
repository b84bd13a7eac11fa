"""Follows an execution to its end, and says how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager

from daq.cli.showing.display import Display, display_for
from daq.cli.showing.errors import exit_status
from daq.cli.showing.output import Cell, Output
from daq.cli.showing.render import (
    duration,
    position_in_script,
    render_device_stops,
    render_result,
    render_stop,
    state_cell,
)
from daq.client import AsyncClient
from daq.core import (
    CommunicationError,
    DaqError,
    ExecutionState,
    ExecutionView,
    RunSummary,
    StopReport,
)

__all__ = ["follow", "follow_or_stop", "runs_of", "show_end"]

READINGS_RATE_HZ = 10


async def follow(
    client: AsyncClient, execution_id: str, output: Output, display: Display | None = None
) -> ExecutionView:
    """Show the execution until it ends; returns how it is then."""
    shown = display_for(output) if display is None else display
    last: ExecutionView | None = None
    with shown:
        async with _readings(client, shown):
            updates = client.scripts.watch(execution_id, max_rate_hz=shown.rate_hz)
            async with aclosing(updates):
                async for update in updates:
                    shown.update(update)
                    last = update.view
    if last is None or not last.record.state.is_final:
        raise CommunicationError(f"the daemon ended the watch of {execution_id} before its end")
    return last


@asynccontextmanager
async def _readings(client: AsyncClient, display: Display) -> AsyncIterator[None]:
    if not display.wants_readings:
        yield
        return
    task = asyncio.create_task(_show_readings(client, display))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _show_readings(client: AsyncClient, display: Display) -> None:
    samples = client.streams.measurements(max_rate_hz=READINGS_RATE_HZ)
    try:
        async with aclosing(samples):
            async for sample in samples:
                if sample.array is None:
                    display.reading(sample)
    except DaqError:
        # The readings are an ornament: without them the watch itself goes on, and when the
        # connection is lost the watch says so.
        return


async def follow_or_stop(
    client: AsyncClient, execution_id: str, output: Output, display: Display | None = None
) -> ExecutionView:
    """Follow; the first Ctrl-C stops the execution gracefully, the second by force.

    A third one gives up waiting for its end.
    """
    following = asyncio.create_task(follow(client, execution_id, output, display))
    with _interrupts() as presses:
        stopper = asyncio.create_task(_stop_on(presses, client, execution_id, output))
        stopper.add_done_callback(lambda _: following.cancel())
        try:
            return await following
        finally:
            following.cancel()
            stopper.cancel()
            await asyncio.wait([following, stopper])


async def _stop_on(
    presses: asyncio.Queue[None], client: AsyncClient, execution_id: str, output: Output
) -> None:
    await presses.get()
    output.note(Cell("stopping; press Ctrl-C again to stop by force", "yellow"))
    graceful = asyncio.create_task(_stop(client, execution_id, output, force=False))
    try:
        await presses.get()
        output.note(Cell("stopping by force", "red"))
        await _stop(client, execution_id, output, force=True)
        await presses.get()
    finally:
        # Its answer comes at the moment at which the watch ends: it is still shown.
        await asyncio.wait([graceful], timeout=1.0)
        graceful.cancel()


async def _stop(client: AsyncClient, execution_id: str, output: Output, *, force: bool) -> None:
    try:
        report: StopReport = await client.scripts.stop(execution_id, force=force, reason="Ctrl-C")
    except DaqError as error:
        output.note(Cell(str(error), "red"))
        return
    if not output.as_json:
        render_stop(output, report)


@contextmanager
def _interrupts() -> Iterator[asyncio.Queue[None]]:
    """Ctrl-C as items of a queue instead of a KeyboardInterrupt."""
    presses: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, presses.put_nowait, None)
    try:
        yield presses
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)


async def runs_of(client: AsyncClient, view: ExecutionView) -> tuple[RunSummary, ...]:
    """What is on record about the runs of an execution."""
    if not view.record.run_ids:
        return ()
    page = await client.runs.list(execution_id=view.record.id)
    return tuple(reversed(page.runs))


async def _tell_what_is_off(client: AsyncClient, output: Output, devices: set[str]) -> None:
    """What was made safe stays so: a shutter that nobody opens again leaves the next scan dark."""
    with contextlib.suppress(DaqError):  # how it ended is told without this
        for info in (await client.devices.list()).devices:
            for row in info.description.parameters if info.id in devices else ():
                off = row.off
                if isinstance(off, bool) and info.snapshot.fields.get(row.name) == off:
                    again = f"daq client set {info.id} {row.name} {row.words[not off]}"
                    text = f"{info.id}: {row.name} is {row.words[off]} now; `{again}`"
                    output.note(Cell(text, "yellow"))


async def show_end(client: AsyncClient, view: ExecutionView, output: Output) -> int:
    """Print the verdict: state, reason, traceback and the files of its runs; the exit status."""
    runs = await runs_of(client, view)
    if output.as_json:
        output.record({"execution": view, "runs": runs})
        return exit_status(view.record.state)
    record = view.record
    words: list[str | Cell] = [state_cell(record.state), f" after {duration(view.elapsed_s)}"]
    if record.state is not ExecutionState.COMPLETED and record.line and not record.traceback:
        words.append(f", {position_in_script(view)}")
    output.line(f"{record.script_name} {record.id} ", *words)
    if record.traceback:
        output.line(Cell(record.traceback.rstrip(), "red"))
    elif record.message:
        output.line(record.message)
    if record.state is not ExecutionState.COMPLETED and view.devices:
        render_device_stops(output, view.devices)
        await _tell_what_is_off(client, output, {stop.device for stop in view.devices})
    render_result(output, view)
    for run in runs:
        output.line(Cell("run ", "dim"), f"{run.run_id}: {run.points_in_words}")
        if run.path.endswith(".h5"):
            output.line(Cell("file ", "dim"), Cell(run.path, "bold"))
        else:
            output.line("its file is completed from the journal at the daemon's next start")
    return exit_status(record.state)
