"""Devices and their cached state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio

from daq.api.door.bridge import Emit
from daq.api.door.call_boundary import caller
from daq.api.door.trio_service import immediate, streaming, unary
from daq.api.hardware.device_service import DeviceService
from daq.api.hardware.state_watch import Change, StateWatch, state_fields
from daq.core import Capability, DaqError, DeviceDescription, DeviceSnapshot
from daq.supervision import Device
from daq.wire.convert import clean, device_to_wire, fields_to_wire, state_to_wire
from daq.wire.generated import daq as pb

__all__ = ["Deadband", "StateMethods"]

READING_S = 1.0
"""What a reading may take that an answer waits for."""


class StateMethods(DeviceService):
    """All but a fresh reading comes from the supervisor's cache, which costs no instrument."""

    @immediate
    def list_devices(self, request: pb.ListDevicesRequest) -> pb.ListDevicesResponse:
        devices = self._supervisor.devices()
        wanted = request.capability_filter
        if wanted:
            devices = tuple(d for d in devices if wanted in d.description.capabilities)
        return pb.ListDevicesResponse(
            [device_to_wire(device.description, device.snapshot()) for device in devices],
            [
                pb.RegistrationFailure(device_id=device_id, device_name=device_id, error=clean(why))
                for device_id, why in sorted(self._supervisor.failures.items())
            ],
        )

    @unary
    async def get_device_state(self, request: pb.DeviceStateRequest) -> pb.DeviceStateResponse:
        device = self._device(request.device_id)
        reading = await self._fresh_reading(device)
        return state_to_wire(device.snapshot(), streaming=device.streaming, reading=reading)

    async def _fresh_reading(self, device: Device) -> float | None:
        """One that is taken now: a cached one would be the same all along a scan.

        None when there is none in time. One that takes longer goes on, and is not taken twice.
        """
        offered = device.description.capabilities
        if Capability.READABLE not in offered or not device.snapshot().state.is_online:
            await trio.lowlevel.checkpoint()
            return None
        taken: list[float] = []
        ended = trio.Event()

        async def read() -> None:
            try:
                value = await device.call("read", by=str(who))
                if isinstance(value, bool | int | float):
                    taken.append(float(value))
            except DaqError:
                return  # the state and its reason say why
            finally:
                self._readings.discard(device.id)
                ended.set()

        who = caller()
        if device.id not in self._readings:
            self._readings.add(device.id)
            self._command_nursery.start_soon(read)
            with trio.move_on_after(READING_S):
                await ended.wait()
        return taken[0] if taken else None

    @streaming(buffer=4)
    async def subscribe_device_state(
        self, request: pb.DeviceStateSubscribeRequest, emit: Emit[pb.DeviceStateUpdate]
    ) -> None:
        """Changes as they come, each with the changed fields only; `null` for one that is gone.

        With `include_snapshot` every device's whole state comes first, of those alone that changed
        since `last_seen_version` when that is given.
        """
        watch = StateWatch(self._supervisor, request.device_ids)
        if request.include_snapshot:
            for device in watch.devices:
                snapshot = device.snapshot()
                if snapshot.version > request.last_seen_version or not request.last_seen_version:
                    await emit(_update(snapshot, state_fields(snapshot), is_snapshot=True))
        period = 1.0 / request.max_rate_hz if request.max_rate_hz else 0.0
        while True:
            for change in await watch.changes():
                await emit(_update(change.now, change.fields, is_snapshot=False))
            await trio.sleep(period)

    @streaming(buffer=4)
    async def stream_observables(
        self, request: pb.StreamObservablesRequest, emit: Emit[pb.ObservableValue]
    ) -> None:
        """Numbers of the cached state, first as they are, then when they leave the deadband."""
        watch = StateWatch(self._supervisor, request.device_ids)
        deadband = Deadband(request.deadband)
        names = frozenset(request.observable_names)
        period = 1.0 / request.sample_rate_hz if request.sample_rate_hz else 0.0
        changes = [Change(device, {}, device.snapshot()) for device in watch.devices]
        while True:
            for change in changes:
                for observable in _observables(change, names, deadband):
                    await emit(observable)
            await trio.sleep(period)
            changes = await watch.changes()


def _update(
    snapshot: DeviceSnapshot, fields: Mapping[str, Any], *, is_snapshot: bool
) -> pb.DeviceStateUpdate:
    return pb.DeviceStateUpdate(
        device_id=snapshot.id,
        timestamp_ns=snapshot.timestamp_ns,
        version=snapshot.version,
        is_snapshot=is_snapshot,
        fields_json=fields_to_wire(fields),
    )


def _observables(
    change: Change, names: frozenset[str], deadband: Deadband
) -> list[pb.ObservableValue]:
    device = change.device
    return [
        pb.ObservableValue(
            device_id=device.id,
            observable_name=name,
            value=float(value),
            units=_units(device.description, name),
            timestamp_ns=change.now.timestamp_ns,
        )
        for name, value in change.fields.items()
        if isinstance(value, int | float)
        and (not names or name in names)
        and deadband.is_left_by(f"{device.id}.{name}", float(value))
    ]


def _units(description: DeviceDescription, name: str) -> str:
    if name == "position" and Capability.MOVABLE in description.capabilities:
        return description.units
    if name == "reading":
        return description.reading_channel.units
    return next((row.units for row in description.parameters if row.name == name), "")


class Deadband:
    """Remembers what was sent, and holds back what differs from it by no more than the width."""

    def __init__(self, width: float) -> None:
        self._width = width
        self._sent: dict[str, float] = {}

    def is_left_by(self, name: str, value: float) -> bool:
        """Whether `value` is worth sending; it counts as sent then."""
        before = self._sent.get(name)
        if before is not None and (value == before or abs(value - before) <= self._width):
            return False
        self._sent[name] = value
        return True
