"""A tunable laser with a shutter: the light of the bench."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from daq.core import (
    Capability,
    Category,
    Channel,
    DeviceDescription,
    DeviceError,
    DeviceParameter,
    LimitError,
    Limits,
    Reading,
    Scalar,
)
from daq.drivers.driver import DriverContext
from daq.drivers.simulated.base import NOT_NEGATIVE, POSITIVE, Setting, SimulatedDriver
from daq.drivers.simulated.bench import Beam
from daq.drivers.simulated.motion import Axis
from daq.drivers.simulated.positioner import Positioner

__all__ = ["SimulatedLaser"]

_USUAL = Beam()
_WAVELENGTH = Limits(690.0, 1040.0)
_POWER = Limits(0.0, 1.0)
_INSTANT = 1e6
"""nm/s²: tuning has no inertia worth speaking of."""


class SimulatedLaser(SimulatedDriver):
    """Feeds the bench while it emits and its shutter is open; reads its own monitor in W.

    Out of the box it emits and its shutter is open, as on a bench that somebody has switched on,
    so that a scan that does not use the laser sees light. `make_safe` closes the shutter and
    leaves the emission, so that the laser stays warm; `close_on_stop = false` leaves it open.

    Options: `power` (W), `wavelength` (nm), `waist` (1/e² radius at the knife edge, mm),
    `polarisation` (deg), `emission`, `shutter_open` (how it is found at the start),
    `close_on_stop`, `shutter_time` (s), `tuning_speed` (nm/s), `noise` (of the monitor, relative).
    """

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        options = self.options
        self._power = options.number("power", _USUAL.power, "W", _POWER)
        self._waist = options.number("waist", _USUAL.waist, "mm", POSITIVE)
        self._polarisation = options.number("polarisation", _USUAL.polarisation, "deg")
        self._emission = options.boolean("emission", True)
        self._shutter = _Shutter(
            options.boolean("shutter_open", True),
            options.number("shutter_time", 0.02, "s", NOT_NEGATIVE),
        )
        self._close_on_stop = options.boolean("close_on_stop", True)
        self._noise = options.number("noise", 0.001, "", NOT_NEGATIVE)
        self._tuning = self._read_tuning()
        options.finish()
        self.bench.put_source(self._beam)
        self.offer_settings(self._beam_settings())

    @property
    def description(self) -> DeviceDescription:
        return DeviceDescription(
            id=self.id,
            driver=self.context.driver_name,
            category=Category.LASER,
            capabilities=frozenset(
                {
                    Capability.READABLE,
                    Capability.SHUTTER_CONTROLLABLE,
                    Capability.WAVELENGTH_TUNABLE,
                    Capability.EMISSION_CONTROLLABLE,
                    Capability.PARAMETERIZED,
                }
            ),
            channel=Channel(self.id, "W"),
            label=self.label,
            units="W",
            wavelength_limits=_WAVELENGTH,
            parameters=self.parameters,
        )

    async def read(self) -> Reading:
        """The power before the shutter."""
        power = await self.link.query("power?", lambda: self._power if self._emission else 0.0)
        return self.reading(power * (1.0 + self._noise * float(self.random.standard_normal())))

    async def open_shutter(self) -> None:
        await self._switch_shutter(True)

    async def close_shutter(self) -> None:
        await self._switch_shutter(False)

    async def is_shutter_open(self) -> bool:
        return await self.link.query("shutter?", self._shutter.is_open)

    async def wavelength(self) -> float:
        return await self._tuning.readback()

    async def set_wavelength(self, nm: float) -> None:
        if nm not in _WAVELENGTH:
            low, high = _WAVELENGTH.low, _WAVELENGTH.high
            raise LimitError.outside(self.id, "wavelength", nm, low, high, "nm")
        await self._tuning.go(nm, f"wavelength {nm:g}")

    async def emission(self) -> bool:
        return await self.link.query("emission?", lambda: self._emission)

    async def set_emission(self, enabled: bool) -> None:
        await self.link.command(f"emission {enabled:d}", lambda: self._emit(enabled))
        if await self.emission() != enabled:
            raise DeviceError(
                f"{self.id}: the emission was switched {_on(enabled)} and is {_on(not enabled)}"
            )

    async def stop(self) -> bool:
        """End the tuning; the shutter stays as it is."""
        return await self._tuning.stop()

    async def make_safe(self) -> bool:
        """End the tuning and close the shutter, unless `close_on_stop` is off."""
        stopped = await self.stop()
        if not self._close_on_stop or not await self.is_shutter_open():
            return stopped
        await self.close_shutter()
        return True

    async def poll(self) -> Mapping[str, Scalar]:
        return {
            "reading": float((await self.read()).value),
            "is_open": await self.is_shutter_open(),
            "wavelength": await self.wavelength(),
            "emission": await self.emission(),
        }

    async def _switch_shutter(self, wanted: bool) -> None:
        words = ("close", "open")
        await self.link.command(words[wanted], lambda: self._shutter.switch(wanted))
        await trio.sleep(self._shutter.time)
        if await self.is_shutter_open() != wanted:
            raise DeviceError(
                f"{self.id}: the shutter was told to {words[wanted]} and did not "
                f"within {self._shutter.time:g} s"
            )

    def _beam(self) -> Beam:
        lit = self._emission and self._shutter.is_open()
        power = self._power if lit else 0.0
        return Beam(power, self._tuning.axis.position(), self._waist, self._polarisation)

    def _read_tuning(self) -> Positioner:
        start = self.options.number("wavelength", _USUAL.wavelength, "nm", _WAVELENGTH)
        speed = self.options.number("tuning_speed", 200.0, "nm/s", POSITIVE)
        return Positioner(
            self,
            Axis(start, speed, _INSTANT),
            units="nm",
            tolerance=0.1,
            timeout=1.0,
            noise=0.005,
        )

    def _beam_settings(self) -> tuple[Setting, ...]:
        return (
            Setting(
                DeviceParameter("power", "float", "Of the beam", "W", limits=_POWER),
                lambda: self._power,
                self._set_power,
            ),
            Setting(
                DeviceParameter(
                    "beam_waist", "float", "1/e² radius at the edge", "mm", writable=False
                ),
                lambda: self._waist,
            ),
            Setting(
                DeviceParameter(
                    "polarisation", "float", "Angle of the linear one", "deg", writable=False
                ),
                lambda: self._polarisation,
            ),
        )

    def _set_power(self, value: Scalar) -> None:
        self._power = float(value)

    def _emit(self, enabled: bool) -> None:
        self._emission = enabled


class _Shutter:
    """A blade that takes `time` seconds to open or close; on its way it is still as it was."""

    def __init__(self, is_open: bool, time: float) -> None:
        self.time = time
        self._before = is_open
        self._after = is_open
        self._arrives = float("-inf")

    def is_open(self) -> bool:
        return self._after if trio.current_time() >= self._arrives else self._before

    def switch(self, wanted: bool) -> None:
        self._before = self.is_open()
        self._after = wanted
        self._arrives = trio.current_time() + self.time


def _on(enabled: bool) -> str:
    return "on" if enabled else "off"
