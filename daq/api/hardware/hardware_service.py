"""HardwareService, put together from its groups."""

from __future__ import annotations

from daq.api.hardware.acquisition import AcquisitionMethods
from daq.api.hardware.commands import CommandMethods
from daq.api.hardware.frames import FrameMethods
from daq.api.hardware.interlocks import InterlockMethods
from daq.api.hardware.motion import MotionMethods
from daq.api.hardware.older_words import OlderWords
from daq.api.hardware.parameters import ParameterMethods
from daq.api.hardware.state import StateMethods

__all__ = ["HardwareService"]


class HardwareService(
    StateMethods,
    MotionMethods,
    AcquisitionMethods,
    FrameMethods,
    OlderWords,
    CommandMethods,
    ParameterMethods,
    InterlockMethods,
):
    """All methods of the service. A device that fails, fails the call with a gRPC status."""
