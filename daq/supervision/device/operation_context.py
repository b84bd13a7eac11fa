"""A driver, with the places where what it says goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daq.core import DeviceDescription
from daq.drivers import Timebase
from daq.supervision.device.publisher import Publisher
from daq.supervision.device.status import DeviceStatus

__all__ = ["OperationContext"]


@dataclass(frozen=True, slots=True)
class OperationContext:
    """What operations work on."""

    driver: Any
    """A `Driver` with the protocols of its capabilities; the operation table asks for no others."""
    description: DeviceDescription
    status: DeviceStatus
    publisher: Publisher
    timebase: Timebase

    @property
    def id(self) -> str:
        return self.description.id
