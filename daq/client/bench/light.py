"""Light and what stands in its way: sources and shutters.

Their attributes are those of any device with such parameters: `laser.wavelength`, `laser.emission`.
"""

from __future__ import annotations

from daq.client.bench.device import Device
from daq.core import Capability

__all__ = ["Laser", "Shutter"]


class Shutter(Device):
    """A shutter: `open()`, `close()`, `is_open`. Both return when it is seen to have arrived."""

    capability = Capability.SHUTTER_CONTROLLABLE


class Laser(Device):
    """A source that can be switched: `emission`, and as it has them `wavelength`, `power`."""

    capability = Capability.EMISSION_CONTROLLABLE
