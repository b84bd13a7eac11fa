"""The daemon's clock and the wall clock."""

from __future__ import annotations

import logging

import pytest
import trio

from daq.drivers import Timebase
from daq.drivers import timebase as module

HOUR_NS = 3600 * 10**9


class WallClock:
    """Goes with Trio's clock, and is set by tests."""

    def __init__(self) -> None:
        self.set_by_ns = 0

    def time_ns(self) -> int:
        return 10**18 + self.set_by_ns + round(trio.current_time() * 1e9)


@pytest.fixture
def wall(monkeypatch) -> WallClock:
    clock = WallClock()
    monkeypatch.setattr(module, "time", clock)
    return clock


async def test_time_goes_on_steadily_while_a_run_is_open_and_then_follows_the_clock(
    wall, autojump_clock, caplog
):
    timebase, is_idle = Timebase(), False
    begin = timebase.now_ns()
    with caplog.at_level(logging.WARNING):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(timebase.follow_wall_clock, lambda: is_idle)
            wall.set_by_ns = HOUR_NS
            await trio.sleep(10)
            assert timebase.now_ns() - begin == 10 * 10**9
            is_idle = True
            await trio.sleep(2)
            assert timebase.now_ns() == wall.time_ns()
            nursery.cancel_scope.cancel()
    assert [record.message for record in caplog.records] == [
        "the clock was set by +3600.000 s; time follows it once nothing runs",
        "the clock was set by +3600.000 s; time follows it",
    ]


async def test_a_small_correction_is_not_followed(wall, autojump_clock, caplog):
    timebase = Timebase()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timebase.follow_wall_clock, lambda: True)
        wall.set_by_ns = 1_000_000
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert timebase.now_ns() == wall.time_ns() - 1_000_000
    assert not caplog.records
