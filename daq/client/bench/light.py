"""Light and what stands in its way: sources and shutters."""

from __future__ import annotations

from daq.client.bench.axis_value import AxisValue
from daq.client.bench.device import Device
from daq.core import Capability, Limits

__all__ = ["Emitter", "Laser", "Shutter", "Tunable"]


class Shutter(Device):
    """A shutter; both commands return when it is seen to have arrived."""

    capability = Capability.SHUTTER_CONTROLLABLE

    def open(self) -> None:
        """Open it."""
        self._ask(lambda client: client.devices.open(self.name))

    def close(self) -> None:
        """Close it."""
        self._ask(lambda client: client.devices.close(self.name))

    @property
    def is_open(self) -> bool:
        """Whether it is open, asked of the instrument."""
        return self._ask(lambda client: client.devices.is_open(self.name))


class Emitter(Device):
    """A source that can be switched."""

    capability = Capability.EMISSION_CONTROLLABLE

    @property
    def emission(self) -> bool:
        """Whether it emits, asked of the instrument; set it to switch."""
        return self._ask(lambda client: client.devices.emission(self.name))

    @emission.setter
    def emission(self, on: bool) -> None:
        self._ask(lambda client: client.devices.emission(self.name, on))


class Tunable(Device):
    """A source whose wavelength can be chosen."""

    capability = Capability.WAVELENGTH_TUNABLE

    @property
    def wavelength(self) -> float:
        """In nm, asked of the instrument. To set it is to tune and wait until tuned.

        It is an axis too: `bench.scan([meter], laser.wavelength, 750, 850, 11)`.
        """
        nm = self._ask(lambda client: client.devices.wavelength(self.name))
        return AxisValue(nm, f"{self.name}.wavelength")

    @wavelength.setter
    def wavelength(self, nm: float) -> None:
        self._ask(lambda client: client.devices.wavelength(self.name, float(nm)))

    @property
    def wavelength_limits(self) -> Limits | None:
        """In nm."""
        return self._description.parameter("wavelength").limits


class Laser(Tunable, Emitter):
    """A source that can be switched and tuned; with a shutter and a meter where it has them."""
