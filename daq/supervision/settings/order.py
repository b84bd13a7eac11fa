"""In which order devices are made safe: light before motion, what is cooled before its cooling."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from daq.config import DeviceConfig
from daq.core import did_you_mean
from daq.drivers import Options

__all__ = ["in_order", "read_order"]


def read_order(device: DeviceConfig, devices: Mapping[str, DeviceConfig]) -> tuple[str, ...]:
    """Read `after` of one device; raises ConfigurationError for strangers and for a circle."""
    options = Options(f"devices.{device.id}", device.supervision)
    named = options.texts("after", (), "a list of devices")
    for other in named:
        if other not in devices:
            near = did_you_mean(other, devices, "; ")
            options.refuse("after", f"there is no device {other!r}{near}")
    if circle := _circle(device.id, devices):
        options.refuse("after", f"{' after '.join(circle)}: none of them could be the first")
    options.require_right()
    return named


def in_order(ids: Iterable[str], after: Mapping[str, Sequence[str]]) -> list[str]:
    """Sort devices so that each comes after those that it waits for, else by name."""
    waiting, ordered = sorted(set(ids)), list[str]()
    while waiting:
        ready = next((i for i in waiting if not _waits(i, waiting, after)), waiting[0])
        waiting.remove(ready)
        ordered.append(ready)
    return ordered


def _waits(device_id: str, others: Container[str], after: Mapping[str, Sequence[str]]) -> bool:
    return any(each in others for each in after.get(device_id, ()))


def _named(device: DeviceConfig) -> tuple[str, ...]:
    return Options(f"devices.{device.id}", device.supervision).texts("after", (), "devices")


def _circle(start: str, devices: Mapping[str, DeviceConfig]) -> list[str]:
    """The way from a device back to itself; empty when there is none."""
    ways, seen = [[start]], set[str]()
    while ways:
        way = ways.pop()
        for other in _named(devices[way[-1]]):
            if other == start:
                return [*way, other]
            if other in devices and other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return []
