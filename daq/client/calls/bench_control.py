"""The bench: devices in and out of use, the configuration read again, presets."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass, field

from daq.client.rpc.service import ServiceCalls
from daq.core import AuditEntry, DeviceState, Preset, SettingChange
from daq.wire.convert import audit_from_wire, preset_from_wire, report_from_wire
from daq.wire.generated import daq as pb

__all__ = ["BenchClient", "DeviceUse", "PresetsClient", "Reload"]


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """How a device is after it was restarted, disabled or enabled."""

    device: str
    state: DeviceState
    reason: str = ""
    stop_outcome: str = ""
    """What the stop before it said; empty when there was none."""
    stop_message: str = ""


@dataclass(frozen=True, slots=True)
class Reload:
    """What became of each device when the configuration was read again."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    not_safe: dict[str, str] = field(default_factory=dict)
    """Devices that were let go and could not be made safe, with the reason."""
    needs_restart: tuple[str, ...] = ()
    """Options that have changed and count only after a restart of the daemon, with the reason."""
    applied: tuple[str, ...] = ()
    """Interlocks, and options of other tables, that have changed and count from now on."""


class _BenchCalls(ServiceCalls):
    service = "BenchService"


class BenchClient(_BenchCalls):
    """What `client.bench` offers. `force` takes a device away from an execution that uses it."""

    async def restart(self, device: str, *, force: bool = False) -> DeviceUse:
        """Stop the device, let it go, and connect it anew at once."""
        return await self._use("RestartDevice", pb.DeviceUseRequest(device), force=force)

    async def disable(self, device: str, reason: str = "", *, force: bool = False) -> DeviceUse:
        """Make the device safe, let it go, and leave it alone until `enable`."""
        return await self._use("DisableDevice", pb.DeviceUseRequest(device, reason), force=force)

    async def enable(self, device: str) -> DeviceUse:
        """Take a device that was disabled into use again."""
        return await self._use("EnableDevice", pb.DeviceUseRequest(device))

    async def audit(
        self, *, since_ns: int = 0, until_ns: int = 0, limit: int = 0
    ) -> list[AuditEntry]:
        """Calls that changed something, or tried to: newest first, a thousand at most.

        Args:
            since_ns: From that time on, ns since the epoch; 0 for all.
            until_ns: Before that time; 0 for all.
            limit: How many; 0 for as many as there are.

        Returns:
            An entry for each call: who, what, when, and how it ended.
        """
        request = pb.AuditRequest(since_ns, until_ns, limit)
        answer = await self._ask("ReadAudit", request, pb.AuditResponse)
        return [audit_from_wire(entry) for entry in answer.entries]

    async def clear_queue(self, user: str = "", *, reason: str = "") -> list[str]:
        """Take executions that wait out of the queue, of one user or of all; gives their ids."""
        request = pb.ClearQueueRequest(user, reason)
        answer = await self._operate("ClearQueue", request, pb.ClearQueueResponse)
        return list(answer.execution_ids)

    async def reload(self, *, force: bool = False) -> Reload:
        """Let the daemon read its configuration file again; ConfigurationError changes nothing."""
        answer = await self._operate(
            "ReloadConfiguration",
            pb.ReloadConfigurationRequest(),
            pb.ReloadConfigurationResponse,
            force=force,
        )
        return Reload(
            tuple(answer.added),
            tuple(answer.removed),
            tuple(answer.changed),
            tuple(answer.unchanged),
            dict(answer.not_safe),
            tuple(answer.needs_restart),
            tuple(answer.applied),
        )

    async def _use(
        self, method: str, request: pb.DeviceUseRequest, *, force: bool = False
    ) -> DeviceUse:
        answer = await self._operate(method, request, pb.DeviceUseResponse, force=force)
        return DeviceUse(
            answer.device_id,
            DeviceState(answer.state),
            answer.reason,
            answer.stop_outcome,
            answer.stop_message,
        )


class PresetsClient(_BenchCalls):
    """What `client.presets` offers."""

    async def save(
        self, name: str, devices: Sequence[str] = (), *, note: str = "", replace: bool = False
    ) -> Preset:
        """Save what these devices, or all, are set to now."""
        request = pb.SavePresetRequest(name, list(devices), note, replace)
        return preset_from_wire(await self._operate("SavePreset", request, pb.PresetInfo))

    async def list(self) -> builtins.list[Preset]:
        """All of them, by name."""
        answer = await self._ask("ListPresets", pb.ListPresetsRequest(), pb.ListPresetsResponse)
        return [preset_from_wire(message) for message in answer.presets]

    async def compare(self, name: str) -> builtins.list[SettingChange]:
        """Each setting of the preset next to what it is now; changes nothing."""
        answer = await self._operate("ComparePreset", pb.PresetRequest(name), pb.PresetReport)
        return report_from_wire(answer)

    async def load(self, name: str, *, force: bool = False) -> builtins.list[SettingChange]:
        """Set the bench to it; what each setting was before and reads back now."""
        request = pb.PresetRequest(name)
        return report_from_wire(
            await self._operate("LoadPreset", request, pb.PresetReport, force=force)
        )

    async def delete(self, name: str) -> None:
        """Forget it."""
        await self._operate("DeletePreset", pb.PresetRequest(name), pb.DeletePresetResponse)
