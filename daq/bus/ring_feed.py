"""Puts what the bus carries into the ring: a viewer like any other, so it costs no producer."""

from __future__ import annotations

import time

import trio

from daq.bus.bus import Bus
from daq.bus.ring_writer import RingWriter
from daq.bus.subscription import LossySubscription
from daq.core import Measurement

__all__ = ["feed_ring"]

_WAITING_BLOCKS = 65_536
_WAITING_BYTES = 256 << 20
_INLINE_BYTES = 256 << 10
"""A copy of this size takes some 30 us; more goes to a thread, beside the loop."""
_TURN_S = 0.004
"""For so long it writes small blocks without letting anybody else run."""


async def feed_ring(
    bus: Bus,
    ring: RingWriter,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Write every block to the ring until cancelled; then close it, so that readers know."""
    with (
        ring,
        bus.view(capacity=_WAITING_BLOCKS, capacity_bytes=_WAITING_BYTES) as view,
    ):
        task_status.started()
        while True:
            await _write_turn(ring, view)
            ring.note_dropped(view.dropped)


async def _write_turn(ring: RingWriter, view: LossySubscription) -> None:
    """Wait for a block, then write what waits, for as long as the loop can do without."""
    block: Measurement | None = await view.receive()
    end = time.perf_counter() + _TURN_S
    while block is not None:
        if block.nbytes > _INLINE_BYTES:
            # Not abandoned when cancelled: the writer must not be closed under its hands, and a
            # copy within memory ends.
            await trio.to_thread.run_sync(ring.write, block)
        else:
            ring.write(block)
        block = view.receive_nowait() if time.perf_counter() < end else None
