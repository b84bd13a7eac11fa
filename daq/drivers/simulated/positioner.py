"""Drives an axis over a link: move, verify that it arrived, and stop half way."""

from __future__ import annotations

import trio

from daq.core import DeviceError
from daq.core.mechanics import Axis
from daq.drivers.simulated.base import Halt, SimulatedDriver

__all__ = ["Positioner"]

_ROUNDING_S = 1e-6


class Positioner:
    """One positioned quantity of a driver: the stage's position, or the laser's wavelength.

    Args:
        driver: Whose link, noise and name it uses.
        axis: The mechanics, reached only by way of the link.
        units: Of the axis.
        tolerance: How far from its target a motion may end.
        timeout: Seconds beyond the computed duration after which a motion has failed.
        noise: Standard deviation of a readback.
    """

    def __init__(
        self,
        driver: SimulatedDriver,
        axis: Axis,
        *,
        units: str,
        tolerance: float,
        timeout: float,
        noise: float,
    ) -> None:
        self.axis = axis
        self._driver = driver
        self._units = units
        self._tolerance = tolerance
        self._timeout = timeout
        self._noise = noise
        self._halt = Halt()

    async def go(self, target: float, command: str) -> None:
        """Move and return when a readback is within tolerance of `target`.

        Raises:
            DeviceError: It was stopped before, or did not arrive in time.
        """
        self._halt.rearm()
        expected = self.axis.plan(target).duration
        await self._driver.link.command(command, lambda: self.axis.begin(target))
        for wait in (expected, self._timeout):
            if await self._halt.came_before(trio.current_time() + wait):
                raise await self._stopped_before(target)
            position = await self.readback()
            if abs(position - target) <= self._tolerance:
                return
        raise DeviceError(
            f"{self._driver.id}: {command!r} did not arrive within "
            f"{expected + self._timeout:.3g} s: it is at {position:.6g} {self._units}, "
            f"the setpoint is {target:.6g} {self._units}, "
            f"the tolerance {self._tolerance:g} {self._units}"
        )

    async def readback(self) -> float:
        """Where it is, with the noise of its encoder."""
        return self._noisy(await self._driver.link.query("position?", self.axis.position))

    async def look(self) -> tuple[bool, float]:
        """Whether it moves, and where it is."""
        axis = self.axis
        moving, position = await self._driver.link.query(
            "status?", lambda: (axis.is_moving(), axis.position())
        )
        return moving, self._noisy(position)

    async def is_moving(self) -> bool:
        return await self._driver.link.query("moving?", self.axis.is_moving)

    async def stop(self) -> bool:
        """Slow down to rest. False when it was at rest; DeviceError when it would not stop."""
        if not await self.is_moving():
            return False
        patience = self.axis.braking_time + _ROUNDING_S
        await self._driver.link.command("stop", self._stop)
        slowest = trio.current_time() + patience
        await trio.sleep_until(min(self.axis.ends_at, slowest))
        if await self.is_moving():
            raise DeviceError(
                f"{self._driver.id}: was told to stop and moves on, now at "
                f"{await self.readback():.6g} {self._units}"
            )
        return True

    def _noisy(self, position: float) -> float:
        return position + self._noise * float(self._driver.random.standard_normal())

    def _stop(self) -> None:
        self.axis.halt()
        self._halt.raise_()

    async def _stopped_before(self, target: float) -> DeviceError:
        await trio.sleep_until(self.axis.ends_at)
        return DeviceError(
            f"{self._driver.id}: stopped at {await self.readback():.6g} {self._units} "
            f"before it arrived at {target:.6g} {self._units}"
        )
