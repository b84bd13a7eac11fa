"""A stage that answers `HOME` at its end, on a pseudo-terminal, in real time."""

from __future__ import annotations

import trio

from daq.core import DeviceState
from daq.supervision import Timing
from tests.unit.supervision.described import Slow, described, until
from tests.unit.supervision.test_declared_times import HOMING, answer

IMPATIENT = Timing(idle_poll_s=0.05, active_poll_s=0.05, late_s=0.05, stale_s=0.1, poll_s=0.15)
"""A poll may take less than the instrument needs to find its home."""


async def test_it_is_busy_and_not_lost(tmp_path):
    instrument = Slow(answer, {"HOME": 0.5})
    stage_alone = {"stage": HOMING}
    async with described(instrument, stage_alone, tmp_path, on_pty=True, timing=IMPATIENT) as bench:
        stage = bench.supervisor.device("stage")
        await until(stage, lambda it: it.snapshot().state is DeviceState.READY)
        states = set()
        async with trio.open_nursery() as nursery:

            async def home() -> None:
                assert await stage.call("home") == 0.0
                nursery.cancel_scope.cancel()

            nursery.start_soon(home)
            while True:
                states.add(stage.snapshot().state)
                await trio.sleep(0.02)
        assert DeviceState.BUSY in states
        assert DeviceState.OFFLINE not in states
    assert instrument.done.count("HOME") == 1
