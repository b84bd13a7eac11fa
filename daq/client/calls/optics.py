"""Light and its detectors: shutter, wavelength, emission, exposure, trigger."""

from __future__ import annotations

from daq.client.rpc.service import HardwareCalls
from daq.wire.generated import daq as pb

__all__ = ["OpticsCalls"]


class OpticsCalls(HardwareCalls):
    """Each setter returns what was read back; without a value it only reads."""

    async def open(self, device: str) -> bool:
        """Open the shutter; returns whether it is open."""
        return await self._shutter(device, is_open=True)

    async def close(self, device: str) -> bool:
        """Close the shutter; returns whether it is open."""
        return await self._shutter(device, is_open=False)

    async def is_open(self, device: str) -> bool:
        """Whether the shutter is open."""
        request = pb.GetShutterRequest(device)
        return (
            await self._operate("GetShutter", request, pb.GetShutterResponse, repeatable=True)
        ).is_open

    async def _shutter(self, device: str, *, is_open: bool) -> bool:
        request = pb.SetShutterRequest(device, is_open)
        return (await self._operate("SetShutter", request, pb.SetShutterResponse)).is_open

    async def wavelength(self, device: str, nm: float | None = None) -> float:
        """The wavelength in nm, after tuning to `nm` if given."""
        if nm is None:
            get = pb.GetWavelengthRequest(device)
            return (
                await self._operate("GetWavelength", get, pb.GetWavelengthResponse, repeatable=True)
            ).wavelength_nm
        request = pb.SetWavelengthRequest(device, nm)
        answer = await self._operate("SetWavelength", request, pb.SetWavelengthResponse)
        return answer.actual_wavelength_nm

    async def emission(self, device: str, on: bool | None = None) -> bool:
        """Whether a source emits, after switching it if `on` is given."""
        if on is None:
            get = pb.GetEmissionRequest(device)
            return (
                await self._operate("GetEmission", get, pb.GetEmissionResponse, repeatable=True)
            ).is_enabled
        request = pb.SetEmissionRequest(device, on)
        return (await self._operate("SetEmission", request, pb.SetEmissionResponse)).is_enabled

    async def exposure(self, device: str, seconds: float | None = None) -> float:
        """The exposure in seconds, after setting it if given."""
        if seconds is None:
            get = pb.GetExposureRequest(device)
            read = await self._operate("GetExposure", get, pb.GetExposureResponse, repeatable=True)
            return read.exposure_ms / 1e3
        request = pb.SetExposureRequest(device, seconds * 1e3)
        answer = await self._operate("SetExposure", request, pb.SetExposureResponse)
        return answer.actual_exposure_ms / 1e3

    async def arm(self, device: str) -> None:
        """Make ready for a trigger."""
        await self._operate("Arm", pb.ArmRequest(device), pb.ArmResponse)

    async def trigger(self, device: str) -> int:
        """Trigger one acquisition; returns the trigger's time, ns since the epoch."""
        answer = await self._operate("Trigger", pb.TriggerRequest(device), pb.TriggerResponse)
        return answer.trigger_timestamp_ns
