"""What holds for every driver when its instrument misbehaves, as the daemon sees it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import trio

from daq.core import Capability, DeviceError, DeviceState, InvalidReadingError, OfflineError
from daq.drivers import MotionLook
from daq.testing.driver_checks import Check
from daq.testing.driver_subject import Subject, Supervised, expect, expect_error

__all__ = ["TROUBLED"]

_LATE_S = 0.15
_PATIENCE_S = 30.0


async def _raise(error: DeviceError, *_: Any) -> Any:
    await trio.lowlevel.checkpoint()
    raise error


async def late_flag(subject: Subject) -> None:
    """A moving flag that comes 150 ms late does not end a move."""
    async with subject.supervised() as supervised:
        driver, limits = supervised.driver, supervised.driver.description.limits
        if limits is None:
            return
        span = limits.high - limits.low
        await supervised.device.call("move_abs", limits.low + 0.4 * span)
        driver.motion_timing = replace(driver.motion_timing, begin_s=1.0, rest_s=0.1)
        look, before = driver.look_at_motion, await driver.look_at_motion()
        began = trio.current_time()

        async def look_late() -> MotionLook:
            seen = await look()
            is_late = trio.current_time() - began < _LATE_S
            return MotionLook(False, before.position) if is_late else seen

        driver.look_at_motion = look_late  # type: ignore[method-assign]
        target = limits.low + 0.6 * span
        reached = await supervised.device.call("move_abs", target)
        off = driver.distance(reached, target)
        expect(off <= (driver.description.tolerance or 0.0), f"it is {off:g} away from {target:g}")


async def garbled_answer(subject: Subject) -> None:
    """Answers that cannot be understood are counted, and the device is not lost for them."""
    async with subject.supervised() as supervised:
        driver, device = supervised.driver, supervised.device
        garbled = partial(_raise, DeviceError(f"{subject.device_id}: answered '\xff#~'"))
        driver.poll = garbled  # type: ignore[method-assign]
        await _wait_state(supervised, DeviceState.DEGRADED)
        expect(device.snapshot().failed_questions > 0, "the wrong answers are not counted")
        expect("#~" in device.snapshot().reason, "the raw reply is not told")
        del driver.poll
        await _wait_state(supervised, DeviceState.READY)


async def overload(subject: Subject) -> None:
    """An overload is told of the reading, and the device stays in use."""
    async with subject.supervised() as supervised:
        error = InvalidReadingError(f"{subject.device_id}: overload")
        supervised.driver.read = partial(_raise, error)  # type: ignore[attr-defined]
        await expect_error(
            InvalidReadingError, "a reading", partial(supervised.device.call, "read")
        )
        snapshot = supervised.device.snapshot()
        expect(snapshot.state.is_online, f"an overload made it {snapshot.state}")
        expect("overload" in snapshot.invalid.get("reading", ""), "its reading is not invalid")


async def owed_safe_state(subject: Subject) -> None:
    """A device that could not be made safe gets that first when it is back."""
    async with subject.supervised() as supervised:
        driver, device = supervised.driver, supervised.device
        silent = partial(_raise, OfflineError(f"{subject.device_id}: silence"))
        driver.make_safe = silent  # type: ignore[method-assign]
        stop = await device.stop(timeout=5.0, safe=True)
        del driver.make_safe
        expect(stop.owed, "what was not made safe is not owed")
        with trio.move_on_after(_PATIENCE_S):
            while device.snapshot().owed:  # noqa: ASYNC110 - it is watched from outside
                await trio.sleep(0.05)
        expect(not device.snapshot().owed, f"it is still owed {device.snapshot().owed}")
        await _wait_state(supervised, DeviceState.READY)


async def _wait_state(supervised: Supervised, wanted: DeviceState) -> None:
    with trio.move_on_after(_PATIENCE_S):
        while supervised.device.snapshot().state is not wanted:  # noqa: ASYNC110
            await trio.sleep(0.05)
    snapshot = supervised.device.snapshot()
    expect(snapshot.state is wanted, f"it is {snapshot.state}, not {wanted}: {snapshot.reason}")


TROUBLED: tuple[tuple[Capability | None, Check], ...] = (
    (Capability.MOVABLE, late_flag),
    (None, garbled_answer),
    (Capability.READABLE, overload),
    (None, owed_safe_state),
)
