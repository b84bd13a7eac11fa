"""Interlocks: how they are, and releasing what is latched."""

from __future__ import annotations

from daq.api.door.call_boundary import caller
from daq.api.door.trio_service import immediate
from daq.api.hardware.device_service import DeviceService
from daq.wire.convert import interlock_to_wire
from daq.wire.generated import daq as pb

__all__ = ["InterlockMethods"]


class InterlockMethods(DeviceService):
    """They watch by themselves; here they are only asked."""

    @immediate
    def list_interlocks(self, _request: pb.ListInterlocksRequest) -> pb.ListInterlocksResponse:
        return pb.ListInterlocksResponse(
            [interlock_to_wire(status) for status in self._interlocks.status()]
        )

    @immediate
    def reset_interlock(self, request: pb.ResetInterlockRequest) -> pb.InterlockInfo:
        return interlock_to_wire(self._interlocks.reset(request.name, str(caller()), request.note))
