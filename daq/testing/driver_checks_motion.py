"""What holds for every movable driver: limits, arrival, readback, stop and cancellation."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from daq.core import Capability, DeviceError, LimitError, Limits, Movable, StopOutcome
from daq.supervision import Device
from daq.testing.driver_checks import Check
from daq.testing.driver_subject import (
    ConformanceError,
    Subject,
    Supervised,
    check_reading,
    expect,
    expect_error,
)

__all__ = ["MOVING"]

_STOP_S = 10.0
_LOOK_S = 0.005
"""How often a check looks whether something began to move."""
_BEGIN, _END = 0.25, 0.75
"""The ends of a move that is interrupted, as fractions of the travel."""
_ATTEMPTS = 3
"""How often a move may be over before it is interrupted, as a short one on a busy machine is."""


class _Mover:
    """A movable device with what its description says about its motion."""

    def __init__(self, subject: Supervised) -> None:
        description = subject.driver.description
        if not isinstance(subject.driver, Movable) or description.limits is None:
            raise ConformanceError("it declares movable without the methods or the limits for it")
        self.driver = subject.driver
        self.device = subject.device
        self.axis: Movable = subject.driver
        self.limits: Limits = description.limits
        self.tolerance = description.tolerance or 0.0

    def at(self, fraction: float) -> float:
        """A position between the limits, 0 to 1."""
        return self.limits.low + fraction * (self.limits.high - self.limits.low)

    async def move(self, target: float) -> None:
        await self.device.call("move_abs", target)

    async def position(self) -> float:
        timebase = self.driver.context.timebase
        before = timebase.now_ns()
        reading = await self.axis.position()
        check_reading(self.driver, reading, before, timebase.now_ns())
        return float(reading.value)

    async def is_at(self, target: float) -> bool:
        off = self.driver.distance(await self.position(), target)
        return off <= 2.0 * self.tolerance

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

    def __init__(self, device: Device, target: float) -> None:
        self._device = device
        self.target = target
        self.ended = False
        self.refused = False
        self.arrived = False

    async def run(self) -> None:
        try:
            await self._device.call("move_abs", self.target)
            self.arrived = True
        except DeviceError:
            self.refused = True
        finally:
            self.ended = True


async def moves_arrive_where_they_were_sent(subject: Subject) -> None:
    """A move ends when it rests within tolerance, and the readback says so."""
    async with subject.supervised() as supervised:
        mover = _Mover(supervised)
        for fraction in (0.5, 0.55, 0.45):
            target = mover.at(fraction)
            await mover.move(target)
            expect(not await mover.axis.is_moving(), "a move ended before it was at rest")
            expect(await mover.is_at(target), f"sent to {target:g}, it is elsewhere")
        await mover.device.call("home")
        expect(not await mover.axis.is_moving(), "home ended before it was at rest")


async def limits_hold(subject: Subject) -> None:
    """A position outside is refused by the driver with LimitError, and nothing moves."""
    async with subject.supervised() as supervised:
        mover = _Mover(supervised)
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
    """The move raises DeviceError, the answer says where it physically stopped; it can go on."""

    async def stop(mover: _Mover, _moving: trio.Nursery) -> None:
        answer = await mover.device.stop(timeout=_STOP_S)
        expect(
            answer.outcome is StopOutcome.STOPPED or await mover.is_at(mover.at(_END)),
            f"a moving device was {answer.outcome}",
        )
        expect(not await mover.axis.is_moving(), "it still moves when stop has returned")

    await _is_interrupted(subject, stop)


async def is_stopped_when_its_caller_goes(subject: Subject) -> None:
    """A move whose caller is cancelled is stopped before anybody else can use it; it can go on."""

    async def leave(mover: _Mover, moving: trio.Nursery) -> None:
        moving.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await mover.device.stop(timeout=_STOP_S)  # waits for the same stop, where that is slow

    await _is_interrupted(subject, leave)


async def _is_interrupted(
    subject: Subject, interrupt: Callable[[_Mover, trio.Nursery], Awaitable[None]]
) -> None:
    """A move ends half way where it is interrupted, as an error, and the next one arrives.

    On a busy machine a short move can be over before anybody interrupts it: then once more.
    """
    async with subject.supervised() as supervised:
        mover = _Mover(supervised)
        start, target = mover.at(_BEGIN), mover.at(_END)
        for attempt in range(_ATTEMPTS):
            await mover.move(start)
            move = _Move(mover.device, target)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(move.run)
                if not await mover.wait_moving(move):
                    return  # what has arrived cannot be interrupted
                await interrupt(mover, nursery)
            if attempt == _ATTEMPTS - 1 or not await mover.is_at(target):
                break
        await _rests_between(mover, start, target)
        expect(not move.arrived, "an interrupted move raises nothing, as if it had arrived")
        await mover.move(start)
        expect(await mover.is_at(start), "after a stop it does not go where it is sent")


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
    (Capability.MOVABLE, is_stopped_when_its_caller_goes),
)
