"""Stands for a device whose driver could not be built, so that it is listed with the reason."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from daq.core import Category, Channel, DeviceDescription, OfflineError, Scalar
from daq.drivers import Driver, DriverContext

__all__ = ["UnbuiltDriver"]


class UnbuiltDriver(Driver):
    """Offers nothing and is never reached."""

    def __init__(self, context: DriverContext, reason: str) -> None:
        super().__init__(context)
        self._reason = reason

    @property
    def description(self) -> DeviceDescription:
        device_id = self.context.device_id
        return DeviceDescription(
            device_id, "", Category.OTHER, frozenset(), Channel(device_id, units="")
        )

    async def connect(self) -> None:
        await trio.lowlevel.checkpoint()
        raise OfflineError(self._reason)

    async def stop(self) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    async def poll(self) -> Mapping[str, Scalar]:
        await trio.lowlevel.checkpoint()
        raise OfflineError(self._reason)
