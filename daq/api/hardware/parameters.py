"""Parameters: named settings of devices."""

from __future__ import annotations

import time

from daq.api.door.bridge import Emit
from daq.api.door.call_boundary import caller
from daq.api.door.trio_service import immediate, streaming, unary
from daq.api.hardware.device_service import DeviceService
from daq.api.hardware.state_watch import Change, StateWatch
from daq.core import DeviceError, Scalar, parse_scalar
from daq.supervision import Device
from daq.wire.convert import parameter_to_wire, scalar_to_text
from daq.wire.generated import daq as pb

__all__ = ["ParameterMethods"]


class ParameterMethods(DeviceService):
    """Values travel as text: `true`, `0.5`, `fast`."""

    @immediate
    def list_parameters(self, request: pb.ListParametersRequest) -> pb.ListParametersResponse:
        device = self._device(request.device_id)
        return pb.ListParametersResponse(
            [parameter_to_wire(device.id, p) for p in device.description.parameters]
        )

    @unary
    async def get_parameter(self, request: pb.GetParameterRequest) -> pb.ParameterValue:
        device = self._device(request.device_id)
        value = await device.call("get", request.parameter_name, by=str(caller()))
        return pb.ParameterValue(
            device_id=device.id,
            name=request.parameter_name,
            value=scalar_to_text(value),
            units=device.description.parameter(request.parameter_name).units,
            timestamp_ns=time.time_ns(),
        )

    @unary
    async def set_parameter(self, request: pb.SetParameterRequest) -> pb.SetParameterResponse:
        device = self._device(request.device_id)
        value = _parse(device, request.parameter_name, request.value)
        actual = await self._call(device.id, "set", request.parameter_name, value)
        return pb.SetParameterResponse(success=True, actual_value=scalar_to_text(actual))

    @streaming(buffer=4)
    async def stream_parameter_changes(
        self, request: pb.StreamParameterChangesRequest, emit: Emit[pb.ParameterChange]
    ) -> None:
        """Changes that anybody made: a client, a script, or a hand on the instrument's knob."""
        watch = StateWatch(self._supervisor, [request.device_id] if request.device_id else [])
        wanted = frozenset(request.parameter_names)
        while True:
            for change in await watch.changes():
                for message in _parameter_changes(change, wanted):
                    await emit(message)


def _parse(device: Device, name: str, text: str) -> Scalar:
    """The text as the parameter's type; raises DeviceError."""
    dtype = device.description.parameter(name).dtype
    try:
        return parse_scalar(text, dtype)
    except ValueError:
        raise DeviceError(f"{device.id}: parameter {name!r} takes {dtype}, not {text!r}") from None


def _parameter_changes(change: Change, wanted: frozenset[str]) -> list[pb.ParameterChange]:
    units = {p.name: p.units for p in change.device.description.parameters}
    return [
        pb.ParameterChange(
            device_id=change.device.id,
            name=name,
            old_value=scalar_to_text(change.before[name]) if name in change.before else "",
            new_value="" if value is None else scalar_to_text(value),
            units=units[name],
            timestamp_ns=change.now.timestamp_ns,
            source=change.now.activity or "device",
        )
        for name, value in change.fields.items()
        if name in units and (not wanted or name in wanted)
    ]
