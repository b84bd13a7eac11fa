"""Light: shutter, wavelength, emission."""

from __future__ import annotations

from daq.api.door.trio_service import unary
from daq.api.hardware.device_service import DeviceService
from daq.wire.generated import daq as pb

__all__ = ["OpticsMethods"]


class OpticsMethods(DeviceService):
    """The older words for some standard parameters; each setter answers with what was read back."""

    @unary
    async def set_shutter(self, request: pb.SetShutterRequest) -> pb.SetShutterResponse:
        is_open = await self._call(request.device_id, "set", "shutter", request.open)
        return pb.SetShutterResponse(success=True, is_open=is_open)

    @unary
    async def get_shutter(self, request: pb.GetShutterRequest) -> pb.GetShutterResponse:
        return pb.GetShutterResponse(await self._call(request.device_id, "get", "shutter"))

    @unary
    async def set_wavelength(self, request: pb.SetWavelengthRequest) -> pb.SetWavelengthResponse:
        nm = await self._call(request.device_id, "set", "wavelength", request.wavelength_nm)
        return pb.SetWavelengthResponse(success=True, actual_wavelength_nm=nm)

    @unary
    async def get_wavelength(self, request: pb.GetWavelengthRequest) -> pb.GetWavelengthResponse:
        return pb.GetWavelengthResponse(await self._call(request.device_id, "get", "wavelength"))

    @unary
    async def set_emission(self, request: pb.SetEmissionRequest) -> pb.SetEmissionResponse:
        enabled = await self._call(request.device_id, "set", "emission", request.enabled)
        return pb.SetEmissionResponse(success=True, is_enabled=enabled)

    @unary
    async def get_emission(self, request: pb.GetEmissionRequest) -> pb.GetEmissionResponse:
        return pb.GetEmissionResponse(await self._call(request.device_id, "get", "emission"))
