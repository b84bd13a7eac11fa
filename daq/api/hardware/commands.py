"""Staging, and any operation by name."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from daq.api.door.trio_service import unary
from daq.api.hardware.device_service import DeviceService
from daq.core import Capability, DeviceError, OfflineError, OverloadError, require_short_json
from daq.core.values import needs_tags, plain, to_json
from daq.wire.convert import json_to_wire
from daq.wire.generated import daq as pb

__all__ = ["CommandMethods", "parse_arguments"]

MAX_JSON_VALUES = 65536


class CommandMethods(DeviceService):
    """What has no method of its own."""

    @unary
    async def stage_device(self, request: pb.StageDeviceRequest) -> pb.StageDeviceResponse:
        """Make the device ready for a measurement: armed when it can be, reachable otherwise."""
        device = self._device(request.device_id)
        if Capability.TRIGGERABLE in device.description.capabilities:
            await self._call(device.id, "arm")
        else:
            snapshot = device.snapshot()
            if not snapshot.state.is_online:
                raise OfflineError(f"{device.id} is {snapshot.state}: {snapshot.reason}")
        return pb.StageDeviceResponse(success=True, staged=True)

    @unary
    async def unstage_device(self, request: pb.UnstageDeviceRequest) -> pb.UnstageDeviceResponse:
        """End what staging began: the device is stopped, and with that no longer armed."""
        await self._call(request.device_id, "stop")
        return pb.UnstageDeviceResponse(success=True)

    @unary
    async def execute_device_command(
        self, request: pb.DeviceCommandRequest
    ) -> pb.DeviceCommandResponse:
        arguments = parse_arguments(request.device_id, request.command, request.args)
        result = await self._call(request.device_id, request.command, *arguments)
        if isinstance(result, np.ndarray) and result.size > MAX_JSON_VALUES:
            raise OverloadError(
                f"{request.device_id}: {request.command} gave {result.size} values; as JSON at "
                f"most {MAX_JSON_VALUES} are sent",
                advice="use ReadValue, StreamFrames or StreamMeasurements for large arrays",
            )
        known = plain(result, f"{request.device_id}.{request.command}")
        return pb.DeviceCommandResponse(
            success=True,
            results=json_to_wire({"result": known}),
            result_typed_json=to_json(known) if needs_tags(known) else "",
        )


def parse_arguments(device_id: str, command: str, text: str) -> list[Any]:
    """The arguments of a command: `{"args": [...]}`, a list, one value, or nothing.

    Raises DeviceError when the text is something else.
    """
    if not text.strip():
        return []
    require_short_json(text)
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise DeviceError(
            f"{device_id}: {command}: the arguments are not JSON ({error}): {text[:200]}",
            advice='write them as {"args": [1.5]}',
        ) from None
    if isinstance(parsed, dict):
        if set(parsed) - {"args"} or not isinstance(parsed.get("args", []), list):
            raise DeviceError(
                f"{device_id}: {command}: arguments go by position, not by name: {text[:200]}",
                advice='write them as {"args": [1.5]}',
            )
        return list(parsed.get("args", []))
    return parsed if isinstance(parsed, list) else [parsed]
