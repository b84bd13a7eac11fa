"""The older words for four of the standard parameters: `SetWavelength` and its like.

They say on this wire what `GetParameter` and `SetParameter` say of any parameter. A row each: the
parameter, the field of the request, that of the answer, and how many of the wire's units are one of
the daemon's (an exposure is in ms here and in s there).
"""

from __future__ import annotations

from typing import Any

from daq.api.door.trio_service import unary
from daq.api.hardware.device_service import DeviceService
from daq.wire.generated import daq as pb

__all__ = ["OlderWords"]


def _getter(parameter: str, answer: type[Any], field: str, per_unit: float = 1) -> Any:
    async def get(self: DeviceService, request: Any) -> Any:
        value = await self._call(request.device_id, "get", parameter)
        return answer(**{field: value if per_unit == 1 else value * per_unit})

    return unary(get)


def _setter(parameter: str, given: str, answer: type[Any], field: str, per_unit: float = 1) -> Any:
    """Answers with what was read back."""

    async def set_it(self: DeviceService, request: Any) -> Any:
        value = getattr(request, given)
        wanted = value if per_unit == 1 else value / per_unit
        kept = await self._call(request.device_id, "set", parameter, wanted)
        return answer(success=True, **{field: kept if per_unit == 1 else kept * per_unit})

    return unary(set_it)


class OlderWords(DeviceService):
    """Get and set, for each row."""

    get_shutter = _getter("shutter", pb.GetShutterResponse, "is_open")
    set_shutter = _setter("shutter", "open", pb.SetShutterResponse, "is_open")
    get_emission = _getter("emission", pb.GetEmissionResponse, "is_enabled")
    set_emission = _setter("emission", "enabled", pb.SetEmissionResponse, "is_enabled")
    get_wavelength = _getter("wavelength", pb.GetWavelengthResponse, "wavelength_nm")
    set_wavelength = _setter(
        "wavelength", "wavelength_nm", pb.SetWavelengthResponse, "actual_wavelength_nm"
    )
    get_exposure = _getter("exposure", pb.GetExposureResponse, "exposure_ms", 1e3)
    set_exposure = _setter(
        "exposure", "exposure_ms", pb.SetExposureResponse, "actual_exposure_ms", 1e3
    )
