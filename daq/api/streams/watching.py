"""WatchExecution: one execution as it changes, until it ends; and where exactly it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import trio

from daq.api.door.bridge import Emit
from daq.core import ExecutionState, ExecutionView, OutputLine
from daq.experiment import ExecutionQueue
from daq.experiment.execution import source_line
from daq.wire.convert import output_to_wire, status_to_wire
from daq.wire.generated import daq as pb

__all__ = ["located", "watch_execution"]

DEFAULT_RATE_HZ = 10.0
BATCH_S = 0.01
"""Changes within this time travel in one message, so that a script that prints without end does
not send one for each line. Every state is in the transitions, so none is lost."""
_MAX_TEXT = 1 << 20
"""Output for one message, characters: clients refuse messages of more than 4 MiB."""
_COMPUTING = frozenset({ExecutionState.RUNNING, ExecutionState.STOPPING})


async def located(queue: ExecutionQueue, view: ExecutionView) -> ExecutionView:
    """The view as it is now with its exact line, which may lie inside of a call that takes long."""
    if view.record.state not in _COMPUTING:
        await trio.lowlevel.checkpoint()
        return view
    line = await queue.locate(view.record.id)
    view = queue.view(view.record.id)
    if line in (0, view.record.line) or view.record.state not in _COMPUTING:
        return view
    text = source_line(queue.script(view.record.script_id), line)
    return replace(view, record=replace(view.record, line=line), source_line=text)


async def watch_execution(
    queue: ExecutionQueue, request: pb.WatchRequest, emit: Emit[pb.ExecutionUpdate]
) -> None:
    """Send how it is now, then what changes, then how it ended."""
    period = 1.0 / (request.max_rate_hz if request.max_rate_hz > 0 else DEFAULT_RATE_HZ)
    view = await queue.view_with_result(request.execution_id)
    execution_id = view.record.id
    cursor = 0
    if not request.include_output:
        cursor = await _end_of_output(queue, execution_id)
    shown = None
    while True:
        # The view first: output that comes after the final state was seen does not exist.
        lines, cursor = await queue.output(execution_id, cursor)
        final = view.record.state.is_final
        if lines or _shown(view) != shown:
            shown = _shown(view)
            for part in _parts(lines):
                await emit(pb.ExecutionUpdate(status_to_wire(view), output_to_wire(part)))
            await trio.sleep(0 if final else BATCH_S)
        if not lines:  # else there may be more
            if final:
                return
            await _wait_changed(queue, view, period)
        view = await _at(queue, execution_id, view)


async def _at(queue: ExecutionQueue, execution_id: str, before: ExecutionView) -> ExecutionView:
    """How it is now; a script whose line has not moved may be inside of a long call."""
    view = queue.view(execution_id)
    if view.version == before.version and view.record.progress == before.record.progress:
        return await located(queue, view)
    return view


async def _wait_changed(queue: ExecutionQueue, view: ExecutionView, period: float) -> None:
    with trio.move_on_after(period):
        await queue.wait_changed(view.record.id, view.version)


async def _end_of_output(queue: ExecutionQueue, execution_id: str) -> int:
    """The number of the next line: what was printed before is not wanted."""
    lines, cursor = await queue.output(execution_id, 0)
    while lines:
        lines, cursor = await queue.output(execution_id, cursor)
    return cursor


def _parts(lines: Sequence[OutputLine]) -> Iterator[Sequence[OutputLine]]:
    """The lines in messages that clients take; one message without lines when there are none."""
    start = size = 0
    for number, line in enumerate(lines):
        size += len(line.text)
        if size > _MAX_TEXT and number > start:
            yield lines[start:number]
            start, size = number, len(line.text)
    yield lines[start:]


def _shown(view: ExecutionView) -> tuple[object, ...]:
    """What makes an update worth sending; time alone does not."""
    record = view.record
    return (view.version, record.line, record.progress, view.progress_message, view.queue_position)
