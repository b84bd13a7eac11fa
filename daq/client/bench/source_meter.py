"""Whatever both moves and measures: a source-measure unit, a piezo with its strain gauge."""

from __future__ import annotations

from typing import Any

from daq.client.bench.detector import Detector
from daq.client.bench.motor import Motor
from daq.client.bench.readings import Readings

__all__ = ["SourceMeter"]


class SourceMeter(Motor, Detector):
    """A device with a position and a reading of its own.

    smu.position = 2.0     # V: what it sets
    smu.read().value       # A: what it measures
    """

    def read(self) -> Readings:
        """Take a reading; bluesky finds the position beside it, under the device's name."""
        taken = Detector.read(self)
        name = self._description.reading_channel.name
        both = Readings(name, taken.value, taken.timestamp_ns, taken.units)
        both.update(Motor.read(self))
        return both

    stream = Detector.stream

    def describe(self) -> dict[str, dict[str, Any]]:
        """bluesky: the data keys of what `read` gives."""
        channel = self._description.reading_channel
        described = Motor.describe(self)
        key = {"source": described[self.name]["source"], "dtype": "number", "shape": []}
        return described | {channel.name: key | {"units": channel.units}}
