"""A power meter behind the knife edge."""

from __future__ import annotations

import math
from collections.abc import Mapping

import trio

from daq.core import (
    Capability,
    Category,
    Channel,
    DeviceDescription,
    DeviceParameter,
    Limits,
    Reading,
    Scalar,
)
from daq.drivers.driver import DriverContext
from daq.drivers.simulated.base import NOT_NEGATIVE, Setting, SimulatedDriver

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
        self.offer_settings(
            [
                Setting(
                    DeviceParameter(
                        "averaging", "int", "Samples averaged in a reading", limits=_AVERAGING
                    ),
                    lambda: self._averaging,
                    self._set_averaging,
                ),
                Setting(
                    DeviceParameter(
                        "integration_time", "float", "Of one sample", "s", writable=False
                    ),
                    lambda: self._integration_time,
                ),
            ]
        )

    @property
    def description(self) -> DeviceDescription:
        return DeviceDescription(
            id=self.id,
            driver=self.context.driver_name,
            category=Category.POWER_METER,
            capabilities=frozenset({Capability.READABLE, Capability.PARAMETERIZED}),
            channel=Channel(self.id, "W"),
            label=self.label,
            units="W",
            parameters=self.parameters,
        )

    async def read(self) -> Reading:
        await trio.sleep(self._integration_time * self._averaging)
        return self.reading(await self.link.query("power?", self._power))

    async def poll(self) -> Mapping[str, Scalar]:
        return {"reading": float((await self.read()).value)}

    def _power(self) -> float:
        power = self.bench.light().power
        sigma = math.hypot(self._noise * power, self._dark_noise) / math.sqrt(self._averaging)
        return power + sigma * float(self.random.standard_normal())

    def _set_averaging(self, value: Scalar) -> None:
        self._averaging = int(value)
