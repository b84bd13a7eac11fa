"""Devices by hand: states, operations, parameters, measurements."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from daq.client.connection import Answer, Connection, WireMessage
from daq.client.models import (
    DeviceInfo,
    DeviceListing,
    ParameterReading,
    Sample,
    StateUpdate,
)
from daq.core import (
    DeviceError,
    DeviceParameter,
    DeviceSnapshot,
    DeviceStop,
    Scalar,
    StopOutcome,
)
from daq.wire.convert import (
    array_from_wire,
    description_from_wire,
    json_from_wire,
    parameter_from_wire,
    scalar_to_text,
    scalars_from_wire,
    snapshot_from_wire,
)
from daq.wire.generated import daq as pb

__all__ = ["DevicesClient"]


class DevicesClient:
    """What `client.devices` offers.

    Operations of an instrument take as long as they take: without `timeout` (seconds) they are
    bounded by nothing but the connection's life. Everything else follows the client's timeout.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

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

    async def states(
        self, *devices: str, max_rate_hz: int = 0, seen: int = 0
    ) -> AsyncGenerator[StateUpdate, None]:
        """Changes of state of these devices, or of all; begins with a snapshot of each."""
        request = pb.DeviceStateSubscribeRequest(
            list(devices), max_rate_hz, seen, include_snapshot=True
        )
        updates = self._connection.stream(
            _route("SubscribeDeviceState"), request, pb.DeviceStateUpdate, bulk=False
        )
        async with aclosing(updates):
            async for u in updates:
                fields = scalars_from_wire(u.fields_json)
                yield StateUpdate(u.device_id, u.timestamp_ns, u.version, u.is_snapshot, fields)

    async def read(self, device: str, *, timeout: float | None = None) -> Sample:
        """Take one reading."""
        request = pb.ReadValueRequest(device)
        answer = await self._operate("ReadValue", request, pb.ReadValueResponse, timeout)
        array = array_from_wire(answer.shape, answer.dtype, answer.data) if answer.shape else None
        return Sample(device, answer.timestamp_ns, answer.value, answer.units, array)

    async def move_abs(
        self, device: str, position: float, *, timeout: float | None = None
    ) -> float:
        """Move and wait until settled; returns the position read back."""
        return await self._move("MoveAbsolute", device, position, timeout)

    async def move_rel(
        self, device: str, distance: float, *, timeout: float | None = None
    ) -> float:
        """Move by a distance and wait until settled; returns the position read back."""
        return await self._move("MoveRelative", device, distance, timeout)

    async def _move(self, method: str, device: str, value: float, timeout: float | None) -> float:
        milliseconds = None if timeout is None else round(timeout * 1e3)
        request = pb.MoveRequest(device, value, True, milliseconds)
        # The daemon notices first that the time is over: then the motion is stopped and it says so.
        patience = None if timeout is None else timeout + self._connection.timeout
        answer = await self._operate(method, request, pb.MoveResponse, patience)
        return answer.final_position

    async def wait_settled(self, device: str, *, timeout: float | None = None) -> float:
        """Wait until a motion has ended; returns the position read back."""
        milliseconds = None if timeout is None else round(timeout * 1e3)
        request = pb.WaitSettledRequest(device, milliseconds)
        patience = None if timeout is None else timeout + self._connection.timeout
        answer = await self._operate("WaitSettled", request, pb.WaitSettledResponse, patience)
        return answer.position

    async def stop(self, device: str) -> DeviceStop:
        """Stop a device; never refused, whoever uses it."""
        request = pb.StopMotionRequest(device)
        began = time.perf_counter()
        answer = await self._ask("StopMotion", request, pb.StopMotionResponse)
        duration_s = time.perf_counter() - began
        return DeviceStop(device, StopOutcome(answer.outcome), duration_s, answer.message)

    async def call(
        self, device: str, operation: str, *arguments: Any, timeout: float | None = None
    ) -> Any:
        """Any operation that the device offers, as a script would call it: `home`, `frames`, ..."""
        request = pb.DeviceCommandRequest(device, operation, json.dumps({"args": arguments}))
        answer = await self._operate(
            "ExecuteDeviceCommand", request, pb.DeviceCommandResponse, timeout
        )
        results = json_from_wire(answer.results)
        return results.get("result") if isinstance(results, dict) else results

    async def parameters(self, device: str) -> tuple[DeviceParameter, ...]:
        """What can be got and set."""
        request = pb.ListParametersRequest(device)
        answer = await self._ask("ListParameters", request, pb.ListParametersResponse)
        return tuple(parameter_from_wire(parameter) for parameter in answer.parameters)

    async def get(self, device: str, name: str) -> ParameterReading:
        """Read a parameter."""
        request = pb.GetParameterRequest(device, name)
        answer = await self._operate("GetParameter", request, pb.ParameterValue, None)
        return ParameterReading(device, name, answer.value, answer.units)

    async def set(self, device: str, name: str, value: Scalar) -> str:
        """Set a parameter; returns the value read back, as text."""
        request = pb.SetParameterRequest(device, name, scalar_to_text(value))
        answer = await self._operate("SetParameter", request, pb.SetParameterResponse, None)
        return answer.actual_value

    async def start_stream(self, device: str, count: int | None = None) -> None:
        """Have a camera or digitizer publish continuously, or `count` frames."""
        request = pb.StartStreamRequest(device, count)
        await self._operate("StartStream", request, pb.StartStreamResponse, None)

    async def stop_stream(self, device: str) -> int:
        """End the continuous acquisition; returns the number of frames that it delivered."""
        request = pb.StopStreamRequest(device)
        answer = await self._operate("StopStream", request, pb.StopStreamResponse, None)
        return answer.frames_captured

    async def measurements(
        self, channels: Sequence[str] = (), *, max_rate_hz: int = 0
    ) -> AsyncGenerator[Sample, None]:
        """Every measurement as it is published, whoever takes it.

        Args:
            channels: Glob patterns such as `stage` or `laser.*`; none for all.
            max_rate_hz: At most that many samples a second of each channel, the newest; 0 for all.
        """
        request = pb.MeasurementRequest(list(channels), max_rate_hz)
        points = self._connection.stream(
            "/daq.ControlService/StreamMeasurements", request, pb.DataPoint
        )
        async with aclosing(points):
            async for point in points:
                yield _sample(point)

    async def _ask(self, method: str, request: WireMessage, answer: type[Answer]) -> Answer:
        return await self._connection.call(
            _route(method), request, answer, timeout=self._connection.timeout
        )

    async def _operate(
        self, method: str, request: WireMessage, answer: type[Answer], timeout: float | None
    ) -> Answer:
        """A call that an instrument has to carry out."""
        message = await self._connection.call(_route(method), request, answer, timeout=timeout)
        if getattr(message, "success", True) is False:
            reason = getattr(message, "error_message", "")
            raise DeviceError(reason or f"{method} failed, and the daemon does not say why")
        return message


def _route(method: str) -> str:
    return f"/daq.HardwareService/{method}"


def _sample(point: pb.DataPoint) -> Sample:
    return Sample(
        channel=point.channel,
        timestamp_ns=point.timestamp_ns,
        value=point.value,
        units=point.units,
        array=array_from_wire(point.shape, point.dtype, point.data) if point.shape else None,
        sequence=point.sequence,
        dropped=point.dropped,
    )
