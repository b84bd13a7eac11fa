"""Chooses the class of a device by what it can do."""

from __future__ import annotations

from daq.client.bench.camera import Camera, Digitizer
from daq.client.bench.detector import Detector
from daq.client.bench.device import Device
from daq.client.bench.light import Laser, Shutter
from daq.client.bench.motor import Motor
from daq.client.bench.source_meter import SourceMeter
from daq.core import Capability

__all__ = ["class_for"]

_CLASSES: tuple[type[Device], ...] = (
    Motor, Camera, Digitizer, Laser, Shutter, Detector,
)  # fmt: skip
"""The first that fits gives the device its name."""


def class_for(capabilities: frozenset[Capability]) -> type[Device]:
    """The class that offers exactly what the capabilities allow; the first of them names it."""
    bases = [cls for cls in _CLASSES if cls.capability in capabilities]
    if Motor in bases and Detector in bases:
        bases = [SourceMeter, *(cls for cls in bases if cls not in (Motor, Detector))]
    if not bases:
        return Device
    if len(bases) == 1:
        return bases[0]
    return type(bases[0].__name__, tuple(bases), {"__doc__": bases[0].__doc__})
