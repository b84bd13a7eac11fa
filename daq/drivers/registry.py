"""Finds drivers by their entry points and builds the configured devices' drivers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from daq.config import DeviceConfig, located
from daq.core import ConfigurationError, did_you_mean
from daq.drivers.driver import Driver, DriverContext
from daq.drivers.timebase import Timebase

__all__ = ["ENTRY_POINT_GROUP", "build_drivers", "known_drivers"]

ENTRY_POINT_GROUP = "daq.drivers"
"""A package offers drivers by entry points of this group: a name, and a class or function that
makes a `Driver` of a `DriverContext`."""

DriverFactory = Callable[[DriverContext], Driver]


def known_drivers() -> tuple[str, ...]:
    """The names of all installed drivers, sorted."""
    return tuple(sorted(_offers()))


def build_drivers(
    configs: Mapping[str, DeviceConfig],
    timebase: Timebase,
    shared: dict[Any, Any] | None = None,
) -> tuple[dict[str, Driver], dict[str, str]]:
    """Build a driver for every configured device; nothing is connected yet.

    Args:
        configs: Device id to its table of the configuration.
        timebase: Where the drivers' timestamps come from.
        shared: What drivers that were built before share; a fresh one by default.

    Returns:
        The drivers by device id, and for each device whose driver could not be built the reason:
        file, line, what is wrong and what was expected. One bad table costs no other device.
    """
    offers = _offers()
    shared = {} if shared is None else shared
    drivers: dict[str, Driver] = {}
    failures: dict[str, str] = {}
    for device_id, config in configs.items():
        context = DriverContext(
            device_id,
            config.driver,
            timebase,
            options=config.options,
            shared=shared,
            directory=None if config.path is None else config.path.parent,
        )
        try:
            drivers[device_id] = _factory(config.driver, offers)(context)
        except ConfigurationError as error:
            failures[device_id] = str(located(error, config.path, config.line))
        except Exception as error:  # noqa: BLE001 - whatever a foreign driver does, the others live
            failures[device_id] = (
                f"{_place(config)}the driver {config.driver!r} failed to start: "
                f"{type(error).__name__}: {error}"
            )
    return drivers, failures


def _offers() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _factory(name: str, offers: Mapping[str, EntryPoint]) -> DriverFactory:
    if name not in offers:
        hint = did_you_mean(name, offers, "; ")
        known = ", ".join(sorted(offers)) or "none at all: is the package daq installed?"
        raise ConfigurationError(
            f"there is no driver {name!r}{hint}", advice=f"installed drivers are: {known}"
        )
    factory: DriverFactory = offers[name].load()
    return factory


def _place(config: DeviceConfig) -> str:
    return f"{config.path}:{config.line}: " if config.path is not None else ""
