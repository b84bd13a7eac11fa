"""The bench: presets and what a reload of the configuration did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from daq.core import AuditEntry, Preset, Scalar, SettingChange, SettingOutcome
from daq.wire.convert.values import clean, json_from_wire, json_to_wire
from daq.wire.generated import daq as pb

__all__ = [
    "audit_from_wire",
    "audit_to_wire",
    "preset_from_wire",
    "preset_to_wire",
    "report_from_wire",
    "report_to_wire",
]

_AUDITED = tuple(each.name for each in fields(AuditEntry))
"""The message has the same fields."""


def audit_to_wire(entry: AuditEntry) -> pb.AuditInfo:
    values = {name: getattr(entry, name) for name in _AUDITED}
    texts = {name: clean(value) for name, value in values.items() if isinstance(value, str)}
    return pb.AuditInfo(**values | texts)


def audit_from_wire(message: pb.AuditInfo) -> AuditEntry:
    return AuditEntry(**{name: getattr(message, name) for name in _AUDITED})


def preset_to_wire(preset: Preset) -> pb.PresetInfo:
    return pb.PresetInfo(
        name=preset.name,
        created_ns=preset.created_ns,
        by=clean(preset.by),
        note=clean(preset.note),
        settings=[
            pb.PresetSetting(device_id, name, json_to_wire(value))
            for device_id, values in preset.settings.items()
            for name, value in values.items()
        ],
    )


def preset_from_wire(message: pb.PresetInfo) -> Preset:
    settings: dict[str, dict[str, Scalar]] = {}
    for each in message.settings:
        settings.setdefault(each.device_id, {})[each.name] = json_from_wire(each.value)
    return Preset(message.name, message.created_ns, message.by, message.note, settings)


def report_to_wire(changes: Sequence[SettingChange]) -> pb.PresetReport:
    return pb.PresetReport([_change_to_wire(change) for change in changes])


def report_from_wire(message: pb.PresetReport) -> list[SettingChange]:
    return [_change_from_wire(change) for change in message.changes]


def _change_to_wire(change: SettingChange) -> pb.PresetChange:
    return pb.PresetChange(
        device_id=change.device,
        setting=change.setting,
        wanted=json_to_wire(change.wanted),
        before="" if change.before is None else json_to_wire(change.before),
        after="" if change.after is None else json_to_wire(change.after),
        units=change.units,
        outcome=change.outcome.value,
        message=clean(change.message),
    )


def _change_from_wire(message: pb.PresetChange) -> SettingChange:
    return SettingChange(
        device=message.device_id,
        setting=message.setting,
        wanted=json_from_wire(message.wanted),
        outcome=SettingOutcome(message.outcome),
        before=json_from_wire(message.before) if message.before else None,
        after=json_from_wire(message.after) if message.after else None,
        units=message.units,
        message=message.message,
    )
