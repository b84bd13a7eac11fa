"""What the configuration says about safety: interlocks, pauses, last wills, and their order.

Unlike a driver's options, a mistake here is never just listed: nobody should work on a bench whose
safety is not what was written down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from daq.config import Config, DeviceConfig, InterlockConfig, located
from daq.core import STANDARD, ConfigurationError
from daq.drivers import Driver, LastWill, Options
from daq.supervision.device.reference import ReferencePolicy
from daq.supervision.settings.interlock_settings import (
    InterlockSettings,
    find_doubts,
    read_interlock,
    refuse_circles,
)
from daq.supervision.settings.last_will_settings import read_last_wills
from daq.supervision.settings.order import read_order
from daq.supervision.settings.pausing import PauseAction, PauseRule

__all__ = ["InterlockSettings", "SafetySettings", "read_safety"]


@dataclass(frozen=True, slots=True)
class SafetySettings:
    """All of it."""

    interlocks: tuple[InterlockSettings, ...]
    pause_rules: Mapping[str, PauseRule]
    """By device id; devices of which nothing is said are missing."""
    last_wills: Mapping[str, tuple[LastWill, ...]]
    """By device id; devices without one are missing."""
    unguarded: Mapping[str, str]
    """Why nobody carries out the last will that a device's driver declares, by device id."""
    after: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """The devices that are made safe before this one, by its id."""
    references: Mapping[str, ReferencePolicy] = field(default_factory=lambda: MappingProxyType({}))
    """What becomes of a device that has lost its reference, by id, where something is said."""
    doubts: tuple[str, ...] = ()
    """What is legal and hardly meant: told by `check`, and in the log of each start."""


def read_safety(config: Config, drivers: Mapping[str, Driver]) -> SafetySettings:
    """Read what the configuration says about safety; raises ConfigurationError."""
    rules: dict[str, PauseRule] = {}
    wills: dict[str, tuple[LastWill, ...]] = {}
    unguarded: dict[str, str] = {}
    for device_id, device in config.devices.items():
        driver = drivers.get(device_id)
        rule = _located(device, lambda d=device, r=driver: _pause_rule(d, r))
        if rule is not None:
            rules[device_id] = rule
        declared = _located(device, lambda d=device, r=driver: read_last_wills(d, r))
        if possible := tuple(will for will in declared if not will.obstacle):
            wills[device_id] = possible
        for will in declared:
            if will.obstacle:
                unguarded[device_id] = f"{device_id}: no last will: {will.obstacle}"
    interlocks = tuple(
        _located(each, lambda e=each: read_interlock(e, config, drivers))
        for each in config.interlocks.values()
    )
    refuse_circles(interlocks)
    after = {
        device.id: order
        for device in config.devices.values()
        if (order := _located(device, lambda d=device: read_order(d, config.devices)))
    }
    doubts = tuple(doubt for each in interlocks for doubt in find_doubts(each, drivers))
    references = {
        device.id: policy
        for device in config.devices.values()
        if (policy := _located(device, lambda d=device: _reference_policy(d))) is not None
    }
    return SafetySettings(interlocks, rules, wills, unguarded, after, references, doubts)


def _reference_policy(device: DeviceConfig) -> ReferencePolicy | None:
    if "lost_reference" not in device.supervision:
        return None
    options = Options(f"devices.{device.id}", device.supervision)
    word = options.choice("lost_reference", "refuse", [policy.value for policy in ReferencePolicy])
    options.require_right()
    return ReferencePolicy(word)


def _located(table: DeviceConfig | InterlockConfig, read: Any) -> Any:
    """Put file and line before what is wrong with a table."""
    try:
        return read()
    except ConfigurationError as error:
        raise located(error, table.path, table.line) from None


def _pause_rule(device: DeviceConfig, driver: Driver | None) -> PauseRule | None:
    options = Options(f"devices.{device.id}", device.supervision)
    if "on_pause" not in device.supervision:
        return None
    rows = [*STANDARD.values(), *(driver.description.parameters if driver else ())]
    switches = {row.on_pause: row.name for row in rows if row.on_pause}
    plain = [action.value for action in PauseAction if action is not PauseAction.OFF]
    word = options.choice("on_pause", "nothing", [*plain, *switches])
    options.require_right()
    reason = options.text("pause_reason", "")
    if word not in switches:
        return PauseRule(PauseAction(word), reason)
    offered = {row.name for row in driver.description.parameters if row.writable} if driver else ()
    if driver and switches[word] not in offered:
        raise ConfigurationError(
            f"devices.{device.id}: on_pause = {word!r} cannot be done: "
            f"it has no {switches[word]} that can be set"
        )
    return PauseRule(PauseAction.OFF, reason, switches[word])
