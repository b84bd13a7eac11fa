"""Devices and measurements: `daq.core.device` and `daq.core.measurement` to and from messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from daq.core import (
    STANDARD,
    Capability,
    Category,
    Channel,
    DeviceAction,
    DeviceDescription,
    DeviceParameter,
    DeviceSnapshot,
    DeviceState,
    Limits,
    Measurement,
    Scalar,
    parse_scalar,
)
from daq.wire.convert.values import (
    array_from_wire,
    array_to_wire,
    clean,
    json_mapping_to_wire,
    mean,
    scalar_to_text,
    scalars_from_wire,
)
from daq.wire.generated import daq as pb

__all__ = [
    "data_points",
    "description_from_wire",
    "device_to_wire",
    "fields_to_wire",
    "measurement_from_wire",
    "parameter_from_wire",
    "parameter_to_wire",
    "snapshot_from_wire",
    "state_to_wire",
]

_CATEGORIES: Mapping[Category, int] = MappingProxyType(
    {
        Category.CAMERA: pb.DeviceCategory.CAMERA,
        Category.STAGE: pb.DeviceCategory.STAGE,
        Category.DETECTOR: pb.DeviceCategory.DETECTOR,
        Category.LASER: pb.DeviceCategory.LASER,
        Category.POWER_METER: pb.DeviceCategory.POWER_METER,
        Category.OTHER: pb.DeviceCategory.OTHER,
    }
)
_CATEGORIES_BACK = MappingProxyType({number: core for core, number in _CATEGORIES.items()})

_STATES = frozenset(state.value for state in DeviceState)
_MS_PER_S = 1e3
_LIMITS = MappingProxyType(
    {"exposure": ("exposure_ms", _MS_PER_S), "wavelength": ("wavelength_nm", 1.0)}
)
"""Parameters whose limits a device's metadata tells too: the field, and its units."""
_DEVICE_FIELDS = frozenset(field.name for field in fields(pb.DeviceInfo))


def device_to_wire(description: DeviceDescription, snapshot: DeviceSnapshot) -> pb.DeviceInfo:
    offered = description.capabilities
    words = {f"is_{c.value}": c in offered for c in Capability}
    return pb.DeviceInfo(
        id=description.id,
        name=clean(description.label or description.id),
        driver_type=description.driver,
        category=pb.DeviceCategory(_CATEGORIES[description.category]),
        **{name: said for name, said in words.items() if name in _DEVICE_FIELDS},
        metadata=_metadata_to_wire(description),
        capabilities=sorted(capability.value for capability in description.capabilities),
        state=snapshot.state.value,
        reason=clean(snapshot.reason),
        activity=clean(snapshot.activity),
        operations=[f"{op.name}{op.signature}" for op in description.operations],
        fields_json=fields_to_wire(snapshot.fields),
        version=snapshot.version,
        timestamp_ns=snapshot.timestamp_ns,
        parameters=[parameter_to_wire(description.id, p) for p in description.parameters],
        next_attempt_ns=snapshot.next_attempt_ns,
        owed=clean(snapshot.owed),
        unreferenced=clean(snapshot.unreferenced),
        invalid=_texts(snapshot.invalid),
        failed_questions=snapshot.failed_questions,
        actions=[_action_to_wire(description.id, action) for action in description.actions],
    )


def _action_to_wire(device_id: str, action: DeviceAction) -> pb.ActionDescriptor:
    return pb.ActionDescriptor(
        name=action.name,
        description=clean(action.description),
        arguments=[parameter_to_wire(device_id, row) for row in action.arguments],
        moves=action.moves,
    )


def _action_from_wire(message: pb.ActionDescriptor) -> DeviceAction:
    rows = tuple(parameter_from_wire(row) for row in message.arguments)
    return DeviceAction(message.name, message.description, rows, message.moves)


def _texts(texts: Mapping[str, str]) -> dict[str, str]:
    return {clean(name): clean(text) for name, text in texts.items()}


def _metadata_to_wire(description: DeviceDescription) -> pb.DeviceMetadata:
    movable = Capability.MOVABLE in description.capabilities
    width, height = description.resolution or (None, None)
    low, high = _bounds(description.limits)
    reading = description.reading
    known = {row.name: _bounds(row.limits) for row in description.parameters}
    bounds: dict[str, float | None] = {}
    for name, (suffix, factor) in _LIMITS.items():
        for side, bound in zip(("min", "max"), known.get(name, (None, None)), strict=True):
            bounds[f"{side}_{suffix}"] = None if bound is None else bound * factor
    return pb.DeviceMetadata(
        position_units=description.units if movable else None,
        min_position=low,
        max_position=high,
        reading_units=description.units if not movable else reading.units if reading else None,
        frame_width=width,
        frame_height=height,
        bits_per_pixel=description.bits_per_pixel,
        **bounds,
        position_tolerance=description.tolerance,
        channel_dtype=description.channel.dtype,
        channel_shape=list(description.channel.shape),
        channel_units=description.channel.units,
        reading_channel=reading.name if reading else "",
        reading_dtype=reading.dtype if reading else "",
        reading_shape=list(reading.shape) if reading else [],
        reading_channel_units=reading.units if reading else "",
    )


def _bounds(limits: Limits | None) -> tuple[float | None, float | None]:
    return (None, None) if limits is None else (limits.low, limits.high)


def _limits(low: float | None, high: float | None) -> Limits | None:
    return None if low is None or high is None else Limits(low, high)


def _to_ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * _MS_PER_S


def description_from_wire(message: pb.DeviceInfo) -> DeviceDescription:
    """What the device is; a capability that this version does not know is left out."""
    meta = message.metadata
    width, height = meta.frame_width, meta.frame_height
    units = meta.reading_units if meta.position_units is None else meta.position_units
    return DeviceDescription(
        id=message.id,
        driver=message.driver_type,
        category=_CATEGORIES_BACK.get(message.category, Category.OTHER),
        capabilities=_capabilities(message),
        # An older API does not describe the channel: its units are those of the device.
        channel=Channel(
            message.id, meta.channel_units, meta.channel_dtype, tuple(meta.channel_shape)
        )
        if meta.channel_dtype
        else Channel(message.id, units or ""),
        label="" if message.name == message.id else message.name,
        units=units or "",
        limits=_limits(meta.min_position, meta.max_position),
        tolerance=meta.position_tolerance,
        resolution=None if width is None or height is None else (width, height),
        bits_per_pixel=meta.bits_per_pixel,
        reading=Channel(
            meta.reading_channel,
            meta.reading_channel_units,
            meta.reading_dtype,
            tuple(meta.reading_shape),
        )
        if meta.reading_channel
        else None,
        parameters=_parameters(message),
        actions=tuple(_action_from_wire(action) for action in message.actions),
    )


def _parameters(message: pb.DeviceInfo) -> tuple[DeviceParameter, ...]:
    """Its parameters; an older API tells some of the standard ones by a capability alone."""
    rows = [parameter_from_wire(row) for row in message.parameters]
    named = {row.name for row in rows}
    offered = _capabilities(message)
    older = [row for row in STANDARD.values() if row.capability in offered]
    for row in older:
        if row.name in named:
            continue
        suffix, factor = _LIMITS.get(row.name, ("", 1.0))
        low = getattr(message.metadata, f"min_{suffix}", None)
        high = getattr(message.metadata, f"max_{suffix}", None)
        limits = None if low is None or high is None else Limits(low / factor, high / factor)
        rows.append(replace(row, limits=limits))
    return tuple(rows)


def fields_to_wire(fields: Mapping[str, Any]) -> dict[str, str]:
    """Cached state, each value as JSON; a shutter also by the name that it had first."""
    older = {"is_open": fields["shutter"]} if "shutter" in fields else {}
    return json_mapping_to_wire({**fields, **older})


def _capabilities(message: pb.DeviceInfo) -> frozenset[Capability]:
    words = set(message.capabilities)
    if not words:  # an older API says the same in one bool for each
        words = {c.value for c in Capability if getattr(message, f"is_{c.value}", False)}
    return frozenset(capability for capability in Capability if capability.value in words)


def state_to_wire(
    snapshot: DeviceSnapshot, *, streaming: bool, reading: float | None = None
) -> pb.DeviceStateResponse:
    """How a device is.

    Args:
        snapshot: From the cache.
        streaming: Whether it streams.
        reading: One that was taken for this answer.
    """
    fields = snapshot.fields
    armed = fields.get("armed")
    return pb.DeviceStateResponse(
        device_id=snapshot.id,
        online=snapshot.state.is_online,
        position=_number(fields, "position"),
        last_reading=reading,
        armed=None if armed is None else bool(armed),
        streaming=streaming,
        exposure_ms=_to_ms(_number(fields, "exposure")),
        state=snapshot.state.value,
        reason=clean(snapshot.reason),
        activity=clean(snapshot.activity),
        version=snapshot.version,
        timestamp_ns=snapshot.timestamp_ns,
        fields_json=fields_to_wire(fields),
        next_attempt_ns=snapshot.next_attempt_ns,
        owed=clean(snapshot.owed),
        unreferenced=clean(snapshot.unreferenced),
        invalid=_texts(snapshot.invalid),
        failed_questions=snapshot.failed_questions,
    )


def _number(fields: Mapping[str, Any], name: str) -> float | None:
    value = fields.get(name)
    return float(value) if isinstance(value, int | float) else None


def snapshot_from_wire(message: pb.DeviceStateResponse | pb.DeviceInfo) -> DeviceSnapshot:
    return DeviceSnapshot(
        id=message.id if isinstance(message, pb.DeviceInfo) else message.device_id,
        state=_state(message),
        version=message.version,
        timestamp_ns=message.timestamp_ns,
        reason=message.reason,
        activity=message.activity,
        fields=scalars_from_wire(message.fields_json) or _older_fields(message),
        next_attempt_ns=message.next_attempt_ns,
        owed=message.owed,
        unreferenced=message.unreferenced,
        invalid=dict(message.invalid),
        failed_questions=message.failed_questions,
    )


def _state(message: pb.DeviceStateResponse | pb.DeviceInfo) -> DeviceState:
    """The state, also from an API that has only `online`, or a word that is not known here."""
    if message.state in _STATES:
        return DeviceState(message.state)
    return DeviceState.READY if getattr(message, "online", True) else DeviceState.OFFLINE


def _older_fields(message: pb.DeviceStateResponse | pb.DeviceInfo) -> dict[str, Scalar]:
    """What an older API says of the cached state, which `fields_json` says in full."""
    if isinstance(message, pb.DeviceInfo):
        return {}
    known = {"position": message.position, "reading": message.last_reading}
    return {name: value for name, value in known.items() if value is not None}


def parameter_to_wire(device_id: str, parameter: DeviceParameter) -> pb.ParameterDescriptor:
    low, high = _bounds(parameter.limits)
    return pb.ParameterDescriptor(
        device_id=device_id,
        name=parameter.name,
        description=clean(parameter.description),
        dtype=parameter.dtype,
        units=parameter.units,
        readable=parameter.readable,
        writable=parameter.writable,
        min_value=low,
        max_value=high,
        enum_values=list(parameter.choices),
        tolerance=parameter.tolerance,
        settles=parameter.settles,
        setpoint=parameter.setpoint,
        off=None if parameter.off is None else scalar_to_text(parameter.off),
        restrained=parameter.restrained,
        axis=parameter.is_axis,
    )


def parameter_from_wire(message: pb.ParameterDescriptor) -> DeviceParameter:
    """What the parameter is; what a standard name means everywhere is not on the wire."""
    return replace(
        STANDARD.get(message.name, DeviceParameter(message.name, message.dtype)),
        dtype=message.dtype,
        description=message.description,
        units=message.units,
        readable=message.readable,
        writable=message.writable,
        limits=_limits(message.min_value, message.max_value),
        choices=tuple(message.enum_values),
        tolerance=message.tolerance,
        settles=message.settles,
        setpoint=message.setpoint,
        off=None if message.off is None else parse_scalar(message.off, message.dtype),
        restrained=message.restrained,
    )


def data_points(
    block: Measurement, dropped: int = 0, *, indices: Iterable[int] | None = None
) -> list[pb.DataPoint]:
    """A message for each sample of a block, or for the samples of `indices` only."""
    build = _scalar_point if block.values.ndim == 1 else _array_point
    return [
        build(block, index, dropped)
        for index in (range(len(block)) if indices is None else indices)
    ]


def _scalar_point(block: Measurement, index: int, dropped: int) -> pb.DataPoint:
    return pb.DataPoint(
        channel=block.channel,
        value=float(block.values[index]),
        timestamp_ns=int(block.timestamps[index]),
        units=block.units,
        sequence=block.sequence + index,
        dropped=dropped,
    )


def _array_point(block: Measurement, index: int, dropped: int) -> pb.DataPoint:
    sample = block.values[index]
    parts = array_to_wire(sample)
    return pb.DataPoint(
        channel=block.channel,
        value=mean(sample),
        timestamp_ns=int(block.timestamps[index]),
        units=block.units,
        sequence=block.sequence + index,
        shape=parts.shape,
        dtype=parts.dtype,
        data=parts.data,
        dropped=dropped,
    )


def measurement_from_wire(point: pb.DataPoint) -> Measurement:
    """A block of the one sample that the message carries."""
    if point.shape:
        sample = array_from_wire(point.shape, point.dtype, point.data)
    else:
        sample = np.asarray(point.value)
    return Measurement(
        channel=point.channel,
        timestamps=np.array([point.timestamp_ns], dtype=np.int64),
        values=sample[np.newaxis],
        units=point.units,
        sequence=point.sequence,
    )
