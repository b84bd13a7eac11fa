"""What changed in the cached state of devices, however many watch it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from daq.core import DeviceSnapshot, Scalar
from daq.supervision import Device, Supervisor

__all__ = ["Change", "StateWatch", "state_fields"]


@dataclass(frozen=True, slots=True)
class Change:
    """One device, before and after."""

    device: Device
    before: Mapping[str, Scalar]
    now: DeviceSnapshot

    @property
    def fields(self) -> dict[str, Scalar | None]:
        """Only what differs; None for what is gone."""
        after = state_fields(self.now)
        changed: dict[str, Scalar | None] = {
            name: value for name, value in after.items() if self.before.get(name) != value
        }
        return changed | dict.fromkeys(self.before.keys() - after.keys())


def state_fields(snapshot: DeviceSnapshot) -> dict[str, Scalar]:
    """The cached fields, and with them how the device itself is."""
    seldom: dict[str, Scalar] = {
        "next_attempt_ns": snapshot.next_attempt_ns,
        "owed": snapshot.owed,
        "unreferenced": snapshot.unreferenced,
    }
    return {
        **snapshot.fields,
        **{name: value for name, value in seldom.items() if value},
        "online": snapshot.state.is_online,
        "state": snapshot.state.value,
        "reason": snapshot.reason,
        "activity": snapshot.activity,
    }


class StateWatch:
    """Follows some devices from the moment on which it was made."""

    def __init__(self, supervisor: Supervisor, device_ids: Iterable[str]) -> None:
        self._supervisor = supervisor
        self._version = supervisor.version  # before the snapshots: a change between counts twice
        chosen = [supervisor.device(device_id) for device_id in device_ids]
        self._follows_all = not chosen
        self.devices = tuple(chosen) or supervisor.devices()
        self._seen = {device.id: state_fields(device.snapshot()) for device in self.devices}

    async def changes(self) -> list[Change]:
        """Wait until at least one of the devices has changed."""
        while True:
            self._version = await self._supervisor.wait_changed(self._version)
            changes = [change for device in self.devices if (change := self._compare(device))]
            changes += self._follow()
            if changes:
                return changes

    def _follow(self) -> list[Change]:
        """Devices that came since, or took another's place; those that went are followed no more.

        What became of the latter was seen before: they are offline, with the reason.
        """
        there = {device.id: device for device in self._supervisor.devices()}
        if not self._follows_all:
            there = {d.id: there.get(d.id, d) for d in self.devices}
        news = [device for device in there.values() if device not in self.devices]
        self.devices = tuple(there.values())
        self._seen = {each: seen for each, seen in self._seen.items() if each in there}
        return [change for device in news if (change := self._compare(device))]

    def _compare(self, device: Device) -> Change | None:
        change = Change(device, self._seen.get(device.id, {}), device.snapshot())
        if not change.fields:
            return None
        self._seen[device.id] = state_fields(change.now)
        return change
