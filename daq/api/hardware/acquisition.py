"""Reading, arming, triggering."""

from __future__ import annotations

import trio

from daq.api.door.bridge import Emit
from daq.api.door.call_boundary import caller
from daq.api.door.trio_service import streaming, unary
from daq.api.hardware.device_service import DeviceService, period_s
from daq.core import Capability, Measurement
from daq.supervision import Device
from daq.wire.convert import array_to_wire, mean
from daq.wire.generated import daq as pb

__all__ = ["AcquisitionMethods"]


class AcquisitionMethods(DeviceService):
    """What makes one reading, and readings at a rate."""

    @unary
    async def read_value(self, request: pb.ReadValueRequest) -> pb.ReadValueResponse:
        """Its reading; of a device that measures nothing, its position or its frame.

        `laser.wavelength` is the parameter of that name.
        """
        device, parameter = self._supervisor.find(request.device_id)
        blocks = await device.acquire(parameter, by=str(caller()))
        readings = device.description.reading_channel.name
        block = next((b for b in blocks if b.channel == readings), blocks[0])
        await device.publish(block)
        value = block.last()
        parts = array_to_wire(value)
        return pb.ReadValueResponse(
            success=True,
            value=mean(value),
            units=block.units,
            timestamp_ns=int(block.timestamps[-1]),
            shape=parts.shape,
            dtype=parts.dtype,
            data=parts.data,
        )

    @streaming(buffer=1)
    async def stream_values(
        self, request: pb.StreamValuesRequest, emit: Emit[pb.ValueUpdate]
    ) -> None:
        """Readings at a rate. However many watch, the instrument is read once a period.

        Every reading is published, so who comes second finds it there and does not read again.
        """
        device = self._device(request.device_id, Capability.READABLE)
        period = period_s(request.rate_hz)
        shown: Measurement | None = None
        while True:
            block = self._reading(device)
            if block is None or block is shown:
                await self._call(device.id, "read")
                block = self._reading(device)
            if block is not None:
                shown = block
                await emit(
                    pb.ValueUpdate(
                        device.id, mean(block.last()), block.units, int(block.timestamps[-1])
                    )
                )
            await trio.sleep(period)

    def _reading(self, device: Device) -> Measurement | None:
        """The newest reading that was published."""
        return self._bus.latest(device.description.reading_channel.name)

    @unary
    async def arm(self, request: pb.ArmRequest) -> pb.ArmResponse:
        await self._call(request.device_id, "arm")
        return pb.ArmResponse(success=True, armed=True)

    @unary
    async def trigger(self, request: pb.TriggerRequest) -> pb.TriggerResponse:
        triggered_ns = await self._call(request.device_id, "trigger")
        return pb.TriggerResponse(success=True, trigger_timestamp_ns=int(triggered_ns))
