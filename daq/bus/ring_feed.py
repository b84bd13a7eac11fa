"""Puts what the bus carries into the ring: a viewer like any other, so it costs no producer."""

from __future__ import annotations

import time

import trio

from daq.bus.bus import Bus
from daq.bus.ring_writer import RingWriter
from daq.bus.subscription import LossySubscription
from daq.core import Measurement, merge_blocks

__all__ = ["feed_ring"]

_WAITING_BLOCKS = 65_536
_WAITING_BYTES = 256 << 20
_INLINE_BYTES = 256 << 10
"""A copy of this size takes some 30 us; more goes to a thread, beside the loop."""
_ROW_BLOCKS = 64
_TURN_S = 0.004
"""For so long it writes small blocks without letting anybody else run."""
_FLOOD_BLOCKS, _REST_S = 256, 0.02
"""After a turn of so many it rests: what gathers meanwhile of each channel is written as one."""


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
            written = await _write_turn(ring, view)
            ring.note_dropped(view.dropped)
            if written >= _FLOOD_BLOCKS:
                await trio.sleep(_REST_S)


async def _write_turn(ring: RingWriter, view: LossySubscription) -> int:
    """Wait for a block, then write what waits, for as long as the loop can do without.

    Returns how many blocks were written.
    """
    written = 0
    row = [await view.receive()]
    end = time.perf_counter() + _TURN_S
    while row:
        for block in _joined(row):
            if block.nbytes > _INLINE_BYTES:
                # Not abandoned when cancelled: the writer must not be closed under its hands, and
                # a copy within memory ends.
                await trio.to_thread.run_sync(ring.write, block)
            else:
                ring.write(block)
        written += len(row)
        row = view.receive_row_nowait(_ROW_BLOCKS) if time.perf_counter() < end else []
    return written


def _joined(row: list[Measurement]) -> list[Measurement]:
    """Small blocks in a row as one record: who is behind writes fewer of them."""
    is_small = len(row) > 1 and sum(block.nbytes for block in row) <= _INLINE_BYTES
    return merge_blocks(row) if is_small else row
