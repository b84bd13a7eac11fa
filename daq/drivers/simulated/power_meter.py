"""A power meter behind the knife edge."""

from __future__ import annotations

import math
from collections.abc import Mapping

import trio

from daq.core import (
    Capability,
    Category,
    DeviceDescription,
    DeviceParameter,
    Limits,
    Reading,
    Scalar,
)
from daq.drivers.driver import DriverContext
from daq.drivers.options import NOT_NEGATIVE
from daq.drivers.simulated.base import SimulatedDriver

__all__ = ["SimulatedPowerMeter"]

_AVERAGING = Limits(1, 10_000)


class SimulatedPowerMeter(SimulatedDriver):
    """Reads the power of the cut beam in W.

    Options: `noise` (relative), `dark_noise` (W), `integration_time` (s of one sample; a reading
    takes `averaging` of them) and `averaging`.
    """

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self._noise = self.options.number("noise", 0.002, "", NOT_NEGATIVE)
        self._dark_noise = self.options.number("dark_noise", 1e-7, "W", NOT_NEGATIVE)
        self._integration_time = self.options.number("integration_time", 0.001, "s", NOT_NEGATIVE)
        self._averaging = self.options.integer("averaging", 1, limits=_AVERAGING)
        self.options.finish()
        averaging = DeviceParameter(
            "averaging", "int", "Samples averaged in a reading", limits=_AVERAGING
        )
        time = DeviceParameter("integration_time", "float", "Of one sample", "s", writable=False)
        self.offer_settings(
            self.setting(averaging, lambda: self._averaging, self._set_averaging),
            self.setting(time, lambda: self._integration_time),
        )

    @property
    def description(self) -> DeviceDescription:
        return self.describe(Category.POWER_METER, "W", [Capability.READABLE])

    async def read(self) -> Reading:
        await trio.sleep(self._integration_time * self._averaging)
        return self.reading(await self.link.query("power?", self._power))

    async def poll(self) -> Mapping[str, Scalar]:
        return {"reading": float((await self.read()).value)}

    def _power(self) -> float:
        power = self.bench.light().power
        sigma = math.hypot(self._noise * power, self._dark_noise) / math.sqrt(self._averaging)
        return power + sigma * float(self.random.standard_normal())

    def _set_averaging(self, samples: int) -> None:
        self._averaging = samples
