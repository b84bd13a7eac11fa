"""What a device answers when it is read: a number for people, a reading for bluesky."""

from __future__ import annotations

from typing import Any

from daq.client.calls.models import Frame, Sample
from daq.client.showing.html import reading_html
from daq.core import format_quantity

__all__ = ["Readings"]


class Readings(dict[str, dict[str, Any]]):
    """`{name: {"value": ..., "timestamp": ...}}`, as bluesky wants it, and what people want of it.

    power = meter.read()
    power.value, power.units, float(power)
    """

    def __init__(self, name: str, value: Any, timestamp_ns: int, units: str) -> None:
        super().__init__({name: {"value": value, "timestamp": timestamp_ns / 1e9}})
        self.name = name
        self.value = value
        """A float, or an array: a waveform (n,) or a frame (height, width)."""
        self.timestamp_ns = timestamp_ns
        """When it was true at the instrument, ns since the epoch."""
        self.units = units

    @classmethod
    def of_sample(cls, sample: Sample) -> Readings:
        """A sample of a channel."""
        value = sample.value if sample.array is None else sample.array
        return cls(sample.channel, value, sample.timestamp_ns, sample.units)

    @classmethod
    def of_frame(cls, frame: Frame) -> Readings:
        """A camera's image."""
        return cls(frame.device, frame.image, frame.timestamp_ns, frame.units)

    def __float__(self) -> float:
        return float(self.value)

    def __format__(self, spec: str) -> str:
        """The number alone, in `units`: `f"{meter.read()} {meter.units}"`."""
        if getattr(self.value, "shape", ()):
            return format(repr(self), spec)
        return format(float(self.value), spec or ".6g")

    def _repr_html_(self) -> str:
        return reading_html(self.name, self.value, self.units)

    def __repr__(self) -> str:
        shape = getattr(self.value, "shape", ())
        if shape:
            size = " x ".join(str(length) for length in shape)
            return f"{self.name}: {size} {self.value.dtype} {self.units}".rstrip()
        return f"{self.name}: {format_quantity(self.value, self.units)}"
