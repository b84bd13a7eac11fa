"""What holds for every movable driver: limits, arrival, readback, stop and cancellation."""

from __future__ import annotations

import math
from functools import partial

import trio

from daq.core import Capability, DeviceError, LimitError, Limits, Movable
from daq.drivers import Driver
from daq.testing.driver_checks import Check
from daq.testing.driver_subject import (
    ConformanceError,
    Subject,
    check_reading,
    expect,
    expect_error,
)

__all__ = ["MOVING"]

_LOOK_S = 0.005
"""How often a check looks whether something began to move."""


class _Mover:
    """A movable driver with what its description says about its motion."""

    def __init__(self, driver: Driver) -> None:
        description = driver.description
        if not isinstance(driver, Movable) or description.limits is None:
            raise ConformanceError("it declares movable without the methods or the limits for it")
        self.driver = driver
        self.axis: Movable = driver
        self.limits: Limits = description.limits
        self.tolerance = description.tolerance or 0.0

    def at(self, fraction: float) -> float:
        """A position between the limits, 0 to 1."""
        return self.limits.low + fraction * (self.limits.high - self.limits.low)

    async def position(self) -> float:
        timebase = self.driver.context.timebase
        before = timebase.now_ns()
        reading = await self.axis.position()
        check_reading(self.driver, reading, before, timebase.now_ns())
        return float(reading.value)

    async def is_at(self, target: float) -> bool:
        return abs(await self.position() - target) <= 2.0 * self.tolerance

    async def wait_moving(self, move: _Move) -> bool:
        """False for one that arrived before anybody saw it move, as setpoints do."""
        while not await self.axis.is_moving():
            if move.ended:
                expect(not move.refused, f"a move to {move.target:g}, within the limits, failed")
                return False
            await trio.sleep(_LOOK_S)
        await trio.sleep(_LOOK_S)
        return not move.ended


class _Move:
    """One move, in a task of its own."""

    def __init__(self, axis: Movable, target: float) -> None:
        self._axis = axis
        self.target = target
        self.ended = False
        self.refused = False

    async def run(self) -> None:
        try:
            await self._axis.move_abs(self.target)
        except DeviceError:
            self.refused = True
        finally:
            self.ended = True


async def moves_arrive_where_they_were_sent(subject: Subject) -> None:
    """A move returns when it rests within tolerance, and the readback says so."""
    async with subject.connected() as driver:
        mover = _Mover(driver)
        for fraction in (0.5, 0.55, 0.45):
            target = mover.at(fraction)
            await mover.axis.move_abs(target)
            expect(not await mover.axis.is_moving(), "a move returned before it was at rest")
            expect(await mover.is_at(target), f"sent to {target:g}, it is elsewhere")
        await mover.axis.home()
        expect(not await mover.axis.is_moving(), "home returned before it was at rest")


async def limits_hold(subject: Subject) -> None:
    """A position outside is refused with LimitError, and nothing moves."""
    async with subject.connected() as driver:
        mover = _Mover(driver)
        start = await mover.position()
        span = mover.limits.high - mover.limits.low
        outside = (mover.limits.high + 0.1 * span, mover.limits.low - 0.1 * span, math.nan)
        for target in outside:
            await expect_error(
                LimitError, f"a move to {target:g}", partial(mover.axis.move_abs, target)
            )
            expect(not await mover.axis.is_moving(), f"a refused move to {target:g} moved")
        expect(await mover.is_at(start), "refused moves changed the position")


async def stop_ends_a_move_half_way(subject: Subject) -> None:
    """The move raises DeviceError, the position is where it physically stopped; it can go on."""
    async with subject.connected() as driver:
        mover = _Mover(driver)
        start, target = mover.at(0.25), mover.at(0.75)
        await mover.axis.move_abs(start)
        move = _Move(mover.axis, target)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(move.run)
            if not await mover.wait_moving(move):
                return  # what has arrived cannot be stopped
            expect(await driver.stop() is True, "stop during a move does not return True")
            expect(not await mover.axis.is_moving(), "it still moves when stop has returned")
        expect(move.refused, "a stopped move raises DeviceError, but nothing was raised")
        await _rests_between(mover, start, target)
        await mover.axis.move_abs(start)
        expect(await mover.is_at(start), "after a stop it does not go where it is sent")


async def a_cancelled_move_can_be_stopped(subject: Subject) -> None:
    """A move that is cancelled ends at once; `stop` then ends the motion, and it can go on."""
    async with subject.connected() as driver:
        mover = _Mover(driver)
        start, target = mover.at(0.25), mover.at(0.75)
        await mover.axis.move_abs(start)
        async with trio.open_nursery() as nursery:
            move = _Move(mover.axis, target)
            nursery.start_soon(move.run)
            if not await mover.wait_moving(move):
                return  # what has arrived cannot be cancelled
            nursery.cancel_scope.cancel()
        await driver.stop()
        await _rests_between(mover, start, target)
        await mover.axis.move_abs(start)
        expect(await mover.is_at(start), "after a cancelled move it does not go where it is sent")


async def _rests_between(mover: _Mover, start: float, target: float) -> None:
    rest = await mover.position()
    expect(not await mover.axis.is_moving(), "it moves after stop")
    expect(
        min(start, target) - mover.tolerance < rest < max(start, target) - mover.tolerance,
        f"stopped between {start:g} and {target:g}, it is at {rest:g}",
    )
    await trio.sleep(10 * _LOOK_S)
    expect(await mover.is_at(rest), "it creeps on after stop")


MOVING: tuple[tuple[Capability | None, Check], ...] = (
    (Capability.MOVABLE, moves_arrive_where_they_were_sent),
    (Capability.MOVABLE, limits_hold),
    (Capability.MOVABLE, stop_ends_a_move_half_way),
    (Capability.MOVABLE, a_cancelled_move_can_be_stopped),
)
