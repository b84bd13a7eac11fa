"""What tunable lasers with a shutter have in common, on a line or simulated."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from daq.core import Capability, Category, DeviceDescription, Limits, Reading, Scalar
from daq.drivers.configured_driver import ConfiguredDriver
from daq.drivers.driver import DriverContext

__all__ = ["TunableLaser"]

_CAPABILITIES = (
    Capability.READABLE,
    Capability.SHUTTER_CONTROLLABLE,
    Capability.WAVELENGTH_TUNABLE,
    Capability.EMISSION_CONTROLLABLE,
)


class TunableLaser(ConfiguredDriver):
    """Reads its power in W. `make_safe` closes the shutter and leaves the emission: it stays warm.

    Option of all of them: `close_on_stop` (true).
    """

    wavelength_limits: Limits
    """nm; set by the constructor."""

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self.close_on_stop = self.options.boolean("close_on_stop", True)

    @property
    def description(self) -> DeviceDescription:
        limits = self.wavelength_limits
        return self.describe(Category.LASER, "W", _CAPABILITIES, wavelength_limits=limits)

    @abstractmethod
    async def read(self) -> Reading:
        """The power before the shutter."""

    @abstractmethod
    async def switch_shutter(self, wanted: bool) -> None:
        """Return when it is seen to be open, or closed; raises DeviceError."""

    @abstractmethod
    async def is_shutter_open(self) -> bool: ...

    @abstractmethod
    async def wavelength(self) -> float:
        """As it is read back, nm."""

    @abstractmethod
    async def emission(self) -> bool: ...

    async def open_shutter(self) -> None:
        await self.switch_shutter(True)

    async def close_shutter(self) -> None:
        await self.switch_shutter(False)

    async def make_safe(self) -> bool:
        """End the tuning and close the shutter, unless `close_on_stop` is off."""
        stopped = await self.stop()
        if not self.close_on_stop or not await self.is_shutter_open():
            return stopped
        await self.close_shutter()
        return True

    def safe_state_gap(self) -> str:
        return "" if self.close_on_stop else "close_on_stop = false: the shutter stays as it is"

    async def poll(self) -> Mapping[str, Scalar]:
        return {
            "reading": float((await self.read()).value),
            "is_open": await self.is_shutter_open(),
            "wavelength": await self.wavelength(),
            "emission": await self.emission(),
        }
