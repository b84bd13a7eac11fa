"""What tunable lasers with a shutter have in common, on a line or simulated."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from daq.core import Capability, Category, DeviceDescription, Invalid, Limits, Reading, Scalar
from daq.drivers.configured_driver import ConfiguredDriver
from daq.drivers.driver import DriverContext

__all__ = ["TunableLaser"]


class TunableLaser(ConfiguredDriver):
    """Reads its power in W. `make_safe` closes the shutter and leaves the emission: it stays warm.

    A subclass offers its parameters by `offer_light`.

    Option of all of them: `close_on_stop` (true).
    """

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self.close_on_stop = self.options.boolean("close_on_stop", True)

    @property
    def description(self) -> DeviceDescription:
        return self.describe(Category.LASER, "W", [Capability.READABLE])

    def offer_light(self, wavelengths: Limits, tolerance: float) -> None:
        """Offer shutter, emission and wavelength, tuned between these limits within nm."""
        self.offer_standard("shutter")
        self.offer_standard("emission")
        self.offer_standard("wavelength", limits=wavelengths, tolerance=tolerance)

    @abstractmethod
    async def read(self) -> Reading:
        """The power before the shutter."""

    @abstractmethod
    async def shutter(self) -> bool:
        """Whether it is open."""

    @abstractmethod
    async def set_shutter(self, is_open: bool) -> None:
        """Return when it is seen to be open, or closed; raises DeviceError."""

    @abstractmethod
    async def wavelength(self) -> float:
        """As it is read back, nm."""

    @abstractmethod
    async def set_wavelength(self, nm: float) -> None:
        """Return when it is tuned; raises DeviceError."""

    @abstractmethod
    async def emission(self) -> bool: ...

    @abstractmethod
    async def set_emission(self, on: bool) -> None:
        """Return when it is seen to be on, or off; raises DeviceError."""

    async def make_safe(self) -> bool:
        """End the tuning and close the shutter, unless `close_on_stop` is off."""
        stopped = await self.stop()
        if not self.close_on_stop or not await self.shutter():
            return stopped
        await self.set_shutter(False)
        return True

    def safe_state_gap(self) -> str:
        return "" if self.close_on_stop else "close_on_stop = false: the shutter stays as it is"

    async def poll(self) -> Mapping[str, Scalar | Invalid]:
        return {
            "reading": await self.reading_or_invalid(self.read),
            "shutter": await self.shutter(),
            "wavelength": await self.wavelength(),
            "emission": await self.emission(),
        }
