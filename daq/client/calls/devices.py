"""Devices by hand: states, readings, operations, triggers."""

from __future__ import annotations

import math
import time
from typing import Any

from daq.client.calls.models import DeviceInfo, DeviceListing, Sample
from daq.client.calls.motion import MotionCalls
from daq.client.calls.parameters import ParameterCalls
from daq.core import OPERATIONS, DeviceSnapshot, DeviceStop, StopOutcome
from daq.core.values import from_json, to_json
from daq.wire.convert import (
    array_from_wire,
    description_from_wire,
    json_from_wire,
    snapshot_from_wire,
)
from daq.wire.generated import daq as pb

__all__ = ["DevicesClient"]


class DevicesClient(MotionCalls, ParameterCalls):
    """What `client.devices` offers: this, motion and parameters.

    Operations of an instrument take as long as they take: without `timeout` (seconds) they are
    bounded by nothing but the connection's life. Everything else follows the client's timeout.
    """

    @property
    def forced(self) -> DevicesClient:
        """The same, also for devices that a running execution uses; the daemon logs it."""
        return DevicesClient(self._connection, force=True)

    async def list(self, capability: str | None = None) -> DeviceListing:
        """All devices, or those with a capability such as `movable`."""
        request = pb.ListDevicesRequest(capability)
        answer = await self._ask("ListDevices", request, pb.ListDevicesResponse)
        devices = tuple(
            DeviceInfo(description_from_wire(device), snapshot_from_wire(device))
            for device in answer.devices
        )
        failures = {f.device_id: f.error for f in answer.registration_failures}
        return DeviceListing(devices, failures)

    async def state(self, device: str) -> DeviceSnapshot:
        """What is known about a device now; asks the cache, not the instrument."""
        request = pb.DeviceStateRequest(device)
        return snapshot_from_wire(
            await self._ask("GetDeviceState", request, pb.DeviceStateResponse)
        )

    async def read(self, device: str, *, timeout: float | None = None) -> Sample:
        """Take one reading."""
        request = pb.ReadValueRequest(device)
        answer = await self._operate(
            "ReadValue", request, pb.ReadValueResponse, timeout, repeatable=True
        )
        array = array_from_wire(answer.shape, answer.dtype, answer.data) if answer.shape else None
        return Sample(device, answer.timestamp_ns, answer.value, answer.units, array)

    async def stop(self, device: str) -> DeviceStop:
        """Stop a device; never refused, whoever uses it."""
        request = pb.StopMotionRequest(device)
        began = time.perf_counter()
        answer = await self._ask("StopMotion", request, pb.StopMotionResponse)
        duration_s = time.perf_counter() - began
        # An older API says only whether it obeyed.
        fallback = StopOutcome.STOPPED if answer.success else StopOutcome.REFUSED
        outcome = StopOutcome(answer.outcome) if answer.outcome else fallback
        at: float | None = answer.stopped_position
        if outcome is not StopOutcome.STOPPED or math.isnan(answer.stopped_position):
            at = None
        return DeviceStop(
            device, outcome, duration_s, answer.message, position=at, owed=answer.owed
        )

    async def call(
        self, device: str, operation: str, *arguments: Any, timeout: float | None = None
    ) -> Any:
        """Any operation that the device offers, as a script would call it: `home`, `frames`, ..."""
        request = pb.DeviceCommandRequest(device, operation, to_json({"args": arguments}))
        known = OPERATIONS.get(operation)
        answer = await self._operate(
            "ExecuteDeviceCommand",
            request,
            pb.DeviceCommandResponse,
            timeout,
            repeatable=known is not None and not known.commands,
        )
        if answer.result_typed_json:
            return from_json(answer.result_typed_json)
        results = json_from_wire(answer.results)
        return results.get("result") if isinstance(results, dict) else results

    async def arm(self, device: str) -> None:
        """Make ready for a trigger."""
        await self._operate("Arm", pb.ArmRequest(device), pb.ArmResponse)

    async def trigger(self, device: str) -> int:
        """Trigger one acquisition; returns the trigger's time, ns since the epoch."""
        answer = await self._operate("Trigger", pb.TriggerRequest(device), pb.TriggerResponse)
        return answer.trigger_timestamp_ns

    async def stage(self, device: str) -> None:
        """Make a device ready for a measurement: armed when it can be, else just reachable."""
        await self._operate("StageDevice", pb.StageDeviceRequest(device), pb.StageDeviceResponse)

    async def unstage(self, device: str) -> None:
        """End what `stage` began."""
        request = pb.UnstageDeviceRequest(device)
        await self._operate("UnstageDevice", request, pb.UnstageDeviceResponse)
