"""Devices and measurements: `daq.core.device` and `daq.core.measurement` to and from messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from daq.core import (
    Capability,
    Category,
    Channel,
    DeviceDescription,
    DeviceParameter,
    DeviceSnapshot,
    DeviceState,
    Limits,
    Measurement,
    Scalar,
)
from daq.wire.convert.values import (
    array_from_wire,
    array_to_wire,
    clean,
    json_mapping_to_wire,
    mean,
    scalars_from_wire,
)
from daq.wire.generated import daq as pb

__all__ = [
    "data_points",
    "description_from_wire",
    "device_to_wire",
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


def device_to_wire(description: DeviceDescription, snapshot: DeviceSnapshot) -> pb.DeviceInfo:
    has = description.capabilities.__contains__
    return pb.DeviceInfo(
        id=description.id,
        name=clean(description.label or description.id),
        driver_type=description.driver,
        category=pb.DeviceCategory(_CATEGORIES[description.category]),
        is_movable=has(Capability.MOVABLE),
        is_readable=has(Capability.READABLE),
        is_triggerable=has(Capability.TRIGGERABLE),
        is_frame_producer=has(Capability.FRAME_PRODUCER),
        is_exposure_controllable=has(Capability.EXPOSURE_CONTROLLABLE),
        is_shutter_controllable=has(Capability.SHUTTER_CONTROLLABLE),
        is_wavelength_tunable=has(Capability.WAVELENGTH_TUNABLE),
        is_emission_controllable=has(Capability.EMISSION_CONTROLLABLE),
        is_parameterized=has(Capability.PARAMETERIZED),
        metadata=_metadata_to_wire(description),
        capabilities=sorted(capability.value for capability in description.capabilities),
        state=snapshot.state.value,
        reason=clean(snapshot.reason),
        activity=clean(snapshot.activity),
        operations=[f"{op.name}{op.signature}" for op in description.operations],
        fields_json=json_mapping_to_wire(snapshot.fields),
        version=snapshot.version,
        timestamp_ns=snapshot.timestamp_ns,
        parameters=[parameter_to_wire(description.id, p) for p in description.parameters],
        next_attempt_ns=snapshot.next_attempt_ns,
    )


def _metadata_to_wire(description: DeviceDescription) -> pb.DeviceMetadata:
    movable = Capability.MOVABLE in description.capabilities
    width, height = description.resolution or (None, None)
    low, high = _bounds(description.limits)
    low_s, high_s = _bounds(description.exposure_limits)
    low_nm, high_nm = _bounds(description.wavelength_limits)
    return pb.DeviceMetadata(
        position_units=description.units if movable else None,
        min_position=low,
        max_position=high,
        reading_units=None if movable else description.units,
        frame_width=width,
        frame_height=height,
        bits_per_pixel=description.bits_per_pixel,
        min_exposure_ms=_to_ms(low_s),
        max_exposure_ms=_to_ms(high_s),
        min_wavelength_nm=low_nm,
        max_wavelength_nm=high_nm,
        position_tolerance=description.tolerance,
        channel_dtype=description.channel.dtype,
        channel_shape=list(description.channel.shape),
        channel_units=description.channel.units,
    )


def _bounds(limits: Limits | None) -> tuple[float | None, float | None]:
    return (None, None) if limits is None else (limits.low, limits.high)


def _limits(low: float | None, high: float | None) -> Limits | None:
    return None if low is None or high is None else Limits(low, high)


def _to_ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * _MS_PER_S


def _to_s(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / _MS_PER_S


def description_from_wire(message: pb.DeviceInfo) -> DeviceDescription:
    """What the device is; a capability that this version does not know is left out."""
    meta = message.metadata
    width, height = meta.frame_width, meta.frame_height
    units = meta.position_units or meta.reading_units or ""
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
        else Channel(message.id, units),
        label="" if message.name == message.id else message.name,
        units=units,
        limits=_limits(meta.min_position, meta.max_position),
        tolerance=meta.position_tolerance,
        resolution=None if width is None or height is None else (width, height),
        bits_per_pixel=meta.bits_per_pixel,
        exposure_limits=_limits(_to_s(meta.min_exposure_ms), _to_s(meta.max_exposure_ms)),
        wavelength_limits=_limits(meta.min_wavelength_nm, meta.max_wavelength_nm),
        parameters=tuple(parameter_from_wire(p) for p in message.parameters),
    )


def _capabilities(message: pb.DeviceInfo) -> frozenset[Capability]:
    words = set(message.capabilities)
    if not words:  # an older API says the same in one bool for each
        words = {c.value for c in Capability if getattr(message, f"is_{c.value}", False)}
    return frozenset(capability for capability in Capability if capability.value in words)


def state_to_wire(snapshot: DeviceSnapshot, *, streaming: bool) -> pb.DeviceStateResponse:
    fields = snapshot.fields
    armed = fields.get("armed")
    return pb.DeviceStateResponse(
        device_id=snapshot.id,
        online=snapshot.state.is_online,
        position=_number(fields, "position"),
        last_reading=_number(fields, "reading"),
        armed=None if armed is None else bool(armed),
        streaming=streaming,
        exposure_ms=_to_ms(_number(fields, "exposure")),
        state=snapshot.state.value,
        reason=clean(snapshot.reason),
        activity=clean(snapshot.activity),
        version=snapshot.version,
        timestamp_ns=snapshot.timestamp_ns,
        fields_json=json_mapping_to_wire(fields),
        next_attempt_ns=snapshot.next_attempt_ns,
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
    )


def parameter_from_wire(message: pb.ParameterDescriptor) -> DeviceParameter:
    return DeviceParameter(
        name=message.name,
        dtype=message.dtype,
        description=message.description,
        units=message.units,
        readable=message.readable,
        writable=message.writable,
        limits=_limits(message.min_value, message.max_value),
        choices=tuple(message.enum_values),
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
