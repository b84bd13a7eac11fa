"""BenchService: devices in and out of use, the configuration read again, presets."""

from __future__ import annotations

from daq.api.door.bridge import Bridge
from daq.api.door.call_boundary import caller
from daq.api.door.paging import page
from daq.api.door.trio_service import TrioService, unary
from daq.api.parts import Parts
from daq.core import DeviceStop
from daq.supervision import Device
from daq.wire.convert import audit_to_wire, clean, preset_to_wire, report_to_wire
from daq.wire.generated import daq as pb

__all__ = ["BenchService"]


class BenchService(TrioService, pb.BenchServiceBase):
    """What keeps a bench in order, beside the measuring."""

    def __init__(self, bridge: Bridge, services: Parts) -> None:
        super().__init__(bridge)
        self._supervisor = services.supervisor
        self._reloader = services.reloader
        self._presets = services.presets
        self._audit = services.audit
        self._queue = services.queue

    @unary
    async def restart_device(self, request: pb.DeviceUseRequest) -> pb.DeviceUseResponse:
        device, who = self._supervisor.device(request.device_id), caller()
        stop = await device.restart(by=str(who), force=who.force)
        return _use_to_wire(device, stop)

    @unary
    async def disable_device(self, request: pb.DeviceUseRequest) -> pb.DeviceUseResponse:
        device, who = self._supervisor.device(request.device_id), caller()
        stop = await device.disable(request.reason, by=str(who), force=who.force)
        return _use_to_wire(device, stop)

    @unary
    async def enable_device(self, request: pb.DeviceUseRequest) -> pb.DeviceUseResponse:
        device, who = self._supervisor.device(request.device_id), caller()
        await device.enable(by=str(who))
        return _use_to_wire(device, None)

    @unary
    async def reload_configuration(
        self, _request: pb.ReloadConfigurationRequest
    ) -> pb.ReloadConfigurationResponse:
        who = caller()
        report = await self._reloader.reload(by=str(who), force=who.force)
        return pb.ReloadConfigurationResponse(
            added=list(report.added),
            removed=list(report.removed),
            changed=list(report.changed),
            unchanged=list(report.unchanged),
            not_safe={each: clean(why) for each, why in report.not_safe.items()},
            needs_restart=list(report.needs_restart),
            applied=list(report.applied),
        )

    @unary
    async def save_preset(self, request: pb.SavePresetRequest) -> pb.PresetInfo:
        preset = await self._presets.save(
            request.name,
            request.device_ids,
            note=request.note,
            by=str(caller()),
            replace=request.replace,
        )
        return preset_to_wire(preset)

    @unary
    async def list_presets(self, _request: pb.ListPresetsRequest) -> pb.ListPresetsResponse:
        return pb.ListPresetsResponse([preset_to_wire(p) for p in await self._presets.list()])

    @unary
    async def compare_preset(self, request: pb.PresetRequest) -> pb.PresetReport:
        return report_to_wire(await self._presets.compare(request.name))

    @unary
    async def load_preset(self, request: pb.PresetRequest) -> pb.PresetReport:
        who = caller()
        return report_to_wire(await self._presets.load(request.name, by=str(who), force=who.force))

    @unary
    async def delete_preset(self, request: pb.PresetRequest) -> pb.DeletePresetResponse:
        await self._presets.delete(request.name)
        return pb.DeletePresetResponse()

    @unary
    async def read_audit(self, request: pb.AuditRequest) -> pb.AuditResponse:
        entries = await self._audit.read(request.since_ns, request.until_ns, request.limit)
        return pb.AuditResponse(await page(entries, audit_to_wire))

    @unary
    async def clear_queue(self, request: pb.ClearQueueRequest) -> pb.ClearQueueResponse:
        return pb.ClearQueueResponse(
            await self._queue.clear(request.user, request.reason, str(caller()))
        )


def _use_to_wire(device: Device, stop: DeviceStop | None) -> pb.DeviceUseResponse:
    snapshot = device.snapshot()
    return pb.DeviceUseResponse(
        device_id=device.id,
        state=snapshot.state.value,
        reason=clean(snapshot.reason),
        stop_outcome="" if stop is None else stop.outcome.value,
        stop_message="" if stop is None else clean(stop.message),
    )
