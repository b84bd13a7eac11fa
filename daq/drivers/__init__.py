"""Drivers: the contract, the registry that finds them, and the instruments themselves."""

from daq.drivers.driver import Driver, DriverContext
from daq.drivers.last_will import LastWill, SerialSettings, WillFrame
from daq.drivers.motion import MotionLook, MotionTiming
from daq.drivers.options import NOT_NEGATIVE, REQUIRED, Options
from daq.drivers.registry import build_drivers, known_drivers
from daq.drivers.timebase import Timebase
from daq.transport import Busy

__all__ = [
    "NOT_NEGATIVE",
    "REQUIRED",
    "Busy",
    "Driver",
    "DriverContext",
    "LastWill",
    "MotionLook",
    "MotionTiming",
    "Options",
    "SerialSettings",
    "Timebase",
    "WillFrame",
    "build_drivers",
    "known_drivers",
]
