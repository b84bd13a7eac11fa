"""Where what a device says goes to the bus: channels, units and sequence numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from daq.bus import Bus
from daq.core import DeviceDescription, Measurement, Reading

__all__ = ["Publisher"]


class Publisher:
    """Makes measurement blocks of one device's readings and publishes them in sequence.

    A device's own channel bears its id and holds what `record` stores; everything else that it
    says goes to a channel beside, such as `laser.wavelength`.
    """

    def __init__(self, description: DeviceDescription, bus: Bus) -> None:
        own = description.channel
        self._bus = bus
        self._id = description.id
        self._own = (own.name, own.units)
        reading = description.reading_channel
        self._reading = (reading.name, reading.units)
        self._samples = (
            self._own
            if self._reading == self._own and own.shape == ()
            else (f"{description.id}.samples", own.units)
        )
        self._next: dict[str, int] = {}

    def primary(self, reading: Reading) -> Measurement:
        """A position or a frame, for the device's own channel."""
        return self._single(*self._own, reading)

    def reading(self, reading: Reading) -> Measurement:
        """What `read` gave: the own channel, unless that one holds positions or frames."""
        return self._single(*self._reading, reading)

    def beside(self, name: str, value: float, units: str, timestamp_ns: int) -> Measurement:
        """One more quantity of the device, on `<id>.<name>`."""
        stored = np.asarray(value, dtype=np.uint8 if isinstance(value, bool) else None)
        return self._single(f"{self._id}.{name}", units, Reading(stored, timestamp_ns))

    def samples(self, block: Reading, period_ns: int) -> Measurement:
        """A block of shape (n,) of an unbroken series; `timestamp_ns` is its first sample's."""
        channel, units = self._samples
        values = np.asarray(block.value)
        steps = np.arange(len(values), dtype=np.int64) * period_ns
        return Measurement(
            channel, block.timestamp_ns + steps, values, units, self._next.get(channel, 0)
        )

    async def publish(self, block: Measurement) -> None:
        """Give the block to the bus as the next of its channel.

        A block is numbered when it is taken. One that was overtaken by another is renumbered, and
        one that is never published leaves no gap: a gap always means loss.
        """
        number = self._next.get(block.channel, 0)
        self._next[block.channel] = number + len(block)
        await self._bus.publish(
            block if block.sequence == number else replace(block, sequence=number)
        )

    def _single(self, channel: str, units: str, reading: Reading) -> Measurement:
        return Measurement.single(channel, reading, units, self._next.get(channel, 0))
