"""The methods of each capability, for the instruments that are described to have it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from daq.core import Capability, DeviceError, Reading
from daq.drivers.declarative.conversation import Conversation
from daq.drivers.declarative.model import Description
from daq.drivers.declarative.motion import Mover
from daq.drivers.driver import DriverContext
from daq.drivers.motion import MotionLook

__all__ = ["PARTS"]


class Part:
    """What every part finds in the driver that it is a part of."""

    context: DriverContext
    conversation: Conversation
    instrument: Description
    mover: Mover | None
    armed: bool

    def _now(self, value: Any) -> Reading:
        if isinstance(value, str):
            raise DeviceError(f"{self.context.device_id}: {value!r} is a text, not a reading")
        return Reading(value, self.context.timebase.now_ns())


class _Readable(Part):
    async def read(self) -> Reading:
        return self._now(await self.conversation.read(self.instrument.reading))


class _Movable(Part):
    async def move_abs(self, position: float) -> None:
        await self._moved.move(position)

    async def position(self) -> Reading:
        return self._now(await self._moved.position())

    async def is_moving(self) -> bool:
        return await self._moved.is_moving(self.conversation.look())

    async def look_at_motion(self) -> MotionLook:
        moving, position = await self._moved.look()
        return MotionLook(moving, self._now(position))

    async def home(self) -> None:
        await self._moved.home()

    @property
    def _moved(self) -> Mover:
        if self.mover is None:
            raise DeviceError(f"{self.context.device_id}: it is not described how it moves")
        return self.mover


class _Triggered(Part):
    async def arm(self) -> None:
        trigger = self.instrument.trigger
        if trigger is not None:
            await self.conversation.act(trigger.arm)
            self.armed = True

    async def trigger(self) -> int:
        if not self.armed or self.instrument.trigger is None:
            raise DeviceError(
                f"{self.context.device_id}: trigger: it is not armed", advice="call arm() first"
            )
        self.armed = False
        await self.conversation.act(self.instrument.trigger.trigger)
        return self.context.timebase.now_ns()


PARTS: Mapping[Capability, type[Part]] = MappingProxyType(
    {
        Capability.READABLE: _Readable,
        Capability.MOVABLE: _Movable,
        Capability.TRIGGERABLE: _Triggered,
    }
)
