"""What the groups of HardwareService share: finding devices, deadlines, rates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio

from daq.api.door.bridge import Bridge
from daq.api.door.call_boundary import caller
from daq.api.door.trio_service import TrioService
from daq.api.parts import Parts
from daq.core import Capability, CapabilityError
from daq.core import TimeoutError as DeadlineError
from daq.supervision import Device
from daq.wire.generated import daq as pb

__all__ = ["DeviceService", "deadline", "period_s"]

DEFAULT_RATE_HZ = 10
MAX_RATE_HZ = 1000


class DeviceService(TrioService, pb.HardwareServiceBase):
    """Base of the groups.

    Args:
        bridge: The door to Trio.
        services: The daemon's parts.
        command_nursery: Owns the commands that outlive the call that gave them.
    """

    def __init__(self, bridge: Bridge, services: Parts, command_nursery: trio.Nursery) -> None:
        super().__init__(bridge)
        self._supervisor = services.supervisor
        self._interlocks = services.interlocks
        self._bus = services.bus
        self._command_nursery = command_nursery
        self._readings: set[str] = set()
        """Devices that are being read for an answer."""

    def _device(self, device_id: str, *needed: Capability) -> Device:
        """The device; raises UnknownDeviceError, or CapabilityError when it lacks one of `needed`.

        Only for what is not an operation: those are checked by the device itself.
        """
        device = self._supervisor.device(device_id)
        for capability in needed:
            if capability not in device.description.capabilities:
                offered = ", ".join(sorted(device.description.capabilities))
                raise CapabilityError(f"{device_id} is not {capability}; it is {offered or 'bare'}")
        return device

    async def _call(self, device_id: str, operation: str, *arguments: Any) -> Any:
        device = self._supervisor.device(device_id)
        who = caller()
        return await device.call(operation, *arguments, by=str(who), force=who.force)


@contextmanager
def deadline(timeout_ms: int | None, what: str) -> Iterator[None]:
    """Raise DeadlineError (`TimeoutError` of `daq.core`) when the block takes longer.

    The cancellation stops the device before the error is raised. Without a timeout: no bound.
    """
    if not timeout_ms:
        yield
        return
    with trio.move_on_after(timeout_ms / 1e3) as scope:
        yield
    if scope.cancelled_caught:
        raise DeadlineError(
            f"{what} did not end within {timeout_ms} ms and was stopped",
            advice="give a longer timeout_ms, or none",
        )


def period_s(rate_hz: int) -> float:
    """Seconds between messages; 10 Hz unless the client says otherwise."""
    return 1.0 / min(rate_hz or DEFAULT_RATE_HZ, MAX_RATE_HZ)
