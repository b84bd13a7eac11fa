"""WatchExecution: one execution as it changes, until it ends."""

from __future__ import annotations

import trio

from daq.api.bridge import Emit
from daq.core import ExecutionView
from daq.experiment import ExecutionQueue
from daq.wire.convert import output_to_wire, status_to_wire
from daq.wire.generated import daq as pb

__all__ = ["watch_execution"]

DEFAULT_RATE_HZ = 10.0
BATCH_S = 0.01
"""Changes within this time travel in one message, so that a script that prints without end does
not send one for each line. Every state is in the transitions, so none is lost."""


async def watch_execution(
    queue: ExecutionQueue, request: pb.WatchRequest, emit: Emit[pb.ExecutionUpdate]
) -> None:
    """Send how it is now, then what changes, then how it ended."""
    period = 1.0 / (request.max_rate_hz if request.max_rate_hz > 0 else DEFAULT_RATE_HZ)
    view = queue.view(request.execution_id)
    execution_id = view.record.id
    lines, cursor = await queue.output(execution_id, 0)
    await emit(
        pb.ExecutionUpdate(
            status_to_wire(view), output_to_wire(lines) if request.include_output else []
        )
    )
    while not view.record.state.is_final:
        before = view
        with trio.move_on_after(period):
            await queue.wait_changed(execution_id, before.version)
        # The view first: output that comes after the final state was seen does not exist.
        view = queue.view(execution_id)
        lines, cursor = await queue.output(execution_id, cursor)
        if lines or _shown(view) != _shown(before):
            await emit(pb.ExecutionUpdate(status_to_wire(view), output_to_wire(lines)))
            await trio.sleep(BATCH_S)


def _shown(view: ExecutionView) -> tuple[object, ...]:
    """What makes an update worth sending; time alone does not."""
    record = view.record
    return (view.version, record.line, record.progress, view.progress_message, view.queue_position)
