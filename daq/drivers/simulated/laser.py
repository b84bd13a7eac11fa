"""A tunable laser with a shutter: the light of the bench."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from daq.core import DeviceError, DeviceParameter, Invalid, Limits, Reading, Scalar
from daq.core.mechanics import Axis, Switch
from daq.drivers.driver import DriverContext
from daq.drivers.options import NOT_NEGATIVE, POSITIVE
from daq.drivers.settings import Setting
from daq.drivers.simulated.base import SimulatedDriver
from daq.drivers.simulated.bench import Beam
from daq.drivers.simulated.positioner import Positioner
from daq.drivers.tunable_laser import TunableLaser

__all__ = ["SimulatedLaser"]

_USUAL = Beam()
_POWER = Limits(0.0, 1.0)
_WAVELENGTHS = Limits(690.0, 1040.0)
_TUNED_NM = 0.1
_INSTANT = 1e6
"""nm/s²: tuning has no inertia worth speaking of."""


class SimulatedLaser(TunableLaser, SimulatedDriver):
    """Feeds the bench while it emits and its shutter is open; reads its own monitor in W.

    Out of the box it emits and its shutter is open, as on a bench that somebody has switched on,
    so that a scan that does not use the laser sees light.

    Options: `power` (W), `wavelength` (nm), `waist` (1/e² radius at the knife edge, mm),
    `polarisation` (deg), `emission`, `shutter_open` (how it is found at the start), `shutter_time`
    (s), `tuning_speed` (nm/s), `noise` (of the monitor, relative), and those of `TunableLaser`.
    """

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        options = self.options
        self._power = options.number("power", _USUAL.power, "W", _POWER)
        self._waist = options.number("waist", _USUAL.waist, "mm", POSITIVE)
        self._polarisation = options.number("polarisation", _USUAL.polarisation, "deg")
        self._emission = options.boolean("emission", True)
        self._shutter = Switch(
            options.boolean("shutter_open", True),
            options.number("shutter_time", 0.02, "s", NOT_NEGATIVE),
            trio.current_time,
        )
        self._noise = options.number("noise", 0.001, "", NOT_NEGATIVE)
        self._tuning = self._read_tuning()
        options.finish()
        self.bench.put_source(self._beam)
        self.offer_light(_WAVELENGTHS, _TUNED_NM)
        self.offer_standard("power", description="Of the beam while it emits", limits=_POWER)
        self.offer_settings(*self._beam_settings())

    async def read(self) -> Reading:
        power = await self.power()
        return self.reading(power * (1.0 + self._noise * float(self.random.standard_normal())))

    async def power(self) -> float:
        return await self.link.query("power?", lambda: self._power if self._emission else 0.0)

    async def power_setpoint(self) -> float:
        return await self.link.query("power setpoint?", lambda: self._power)

    async def set_power(self, watts: float) -> None:
        await self.link.command(f"power {watts:g}", lambda: self._feed(watts))
        if await self.power_setpoint() != watts:
            raise DeviceError(f"{self.id}: did not take the power {watts:g} W")

    async def shutter(self) -> bool:
        return await self.link.query("shutter?", self._shutter.is_on)

    async def wavelength(self) -> float:
        return await self._tuning.readback()

    async def set_wavelength(self, nm: float) -> None:
        await self._tuning.go(nm, f"wavelength {nm:g}")

    async def emission(self) -> bool:
        return await self.link.query("emission?", lambda: self._emission)

    async def set_emission(self, on: bool) -> None:
        await self.link.command(f"emission {on:d}", lambda: self._emit(on))
        if await self.emission() != on:
            raise DeviceError(
                f"{self.id}: the emission was switched {_on(on)} and is {_on(not on)}"
            )

    async def poll(self) -> Mapping[str, Scalar | Invalid]:
        return {**await super().poll(), "power": await self.power()}

    async def stop(self) -> bool:
        """End the tuning; the shutter stays as it is."""
        return await self._tuning.stop()

    async def set_shutter(self, is_open: bool) -> None:
        words = ("close", "open")
        await self.link.command(words[is_open], lambda: self._shutter.turn(is_open))
        await trio.sleep(self._shutter.delay_s)
        if await self.shutter() != is_open:
            raise DeviceError(
                f"{self.id}: the shutter was told to {words[is_open]} and did not "
                f"within {self._shutter.delay_s:g} s"
            )

    def _beam(self) -> Beam:
        lit = self._emission and self._shutter.is_on()
        power = self._power if lit else 0.0
        return Beam(power, self._tuning.axis.position(), self._waist, self._polarisation)

    def _read_tuning(self) -> Positioner:
        start = self.options.number("wavelength", _USUAL.wavelength, "nm", _WAVELENGTHS)
        speed = self.options.number("tuning_speed", 200.0, "nm/s", POSITIVE)
        return Positioner(
            self,
            Axis(start, speed, _INSTANT, trio.current_time),
            units="nm",
            tolerance=_TUNED_NM,
            timeout=1.0,
            noise=0.005,
        )

    def _beam_settings(self) -> tuple[Setting, ...]:
        waist = DeviceParameter(
            "beam_waist", "float", "1/e² radius at the edge", "mm", writable=False
        )
        angle = DeviceParameter(
            "polarisation", "float", "Angle of the linear one", "deg", writable=False
        )
        return (
            self.setting(waist, lambda: self._waist),
            self.setting(angle, lambda: self._polarisation),
        )

    def _feed(self, watts: float) -> None:
        self._power = watts

    def _emit(self, enabled: bool) -> None:
        self._emission = enabled


def _on(enabled: bool) -> str:
    return "on" if enabled else "off"
