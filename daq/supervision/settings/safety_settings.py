"""What the configuration says about safety: interlocks, pauses, last wills.

Unlike a driver's options, a mistake here is never just listed: nobody should work on a bench whose
safety is not what was written down.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from daq.config import Config, DeviceConfig, InterlockConfig, located
from daq.core import Capability, ConfigurationError, DeviceDescription, Limits, did_you_mean
from daq.drivers import NOT_NEGATIVE, REQUIRED, Driver, LastWill, Options, SerialSettings, WillFrame
from daq.supervision.interlocks.rule import Condition
from daq.supervision.settings.pausing import PauseAction, PauseRule
from daq.transport import PortSettings

__all__ = ["InterlockSettings", "SafetySettings", "read_safety"]

ACTIONS = ("none", "pause", "stop", "force_stop", "safe")
_SOME_TIME = Limits(0.01, math.inf)
_OPERATIONS = {
    "reading": "read",
    "shutter": "is_open",
    "wavelength": "wavelength",
    "emission": "emission",
    "exposure": "exposure",
}
"""What reads a device's channels, by their names."""
MISSED_READS = 3
"""A channel that is read on a schedule is silent when so many readings failed."""


@dataclass(frozen=True, slots=True)
class InterlockSettings:
    """`[interlocks.NAME]`, read and checked."""

    name: str
    channel: str
    condition: Condition
    action: str
    devices: tuple[str, ...]
    """Brought to their safe state when it trips."""
    refuse_moves: tuple[str, ...]
    """Neither move nor let light out while it is tripped."""
    resume: bool
    """What it paused goes on by itself when it has cleared."""
    read_every_s: float | None
    """The device is read when its channel was silent for so long."""
    reading: tuple[str, ...] = ()
    """The operation that reads it, with its arguments; empty for a device that could not be built:
    it stays silent, and the interlock trips."""


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
        declared = _located(device, lambda d=device, r=driver: _last_wills(d, r))
        if possible := tuple(will for will in declared if not will.obstacle):
            wills[device_id] = possible
        for will in declared:
            if will.obstacle:
                unguarded[device_id] = f"{device_id}: no last will: {will.obstacle}"
    interlocks = tuple(
        _located(each, lambda e=each: _interlock(e, config.devices, drivers))
        for each in config.interlocks.values()
    )
    return SafetySettings(interlocks, rules, wills, unguarded)


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
    action = PauseAction(options.choice("on_pause", "nothing", [a.value for a in PauseAction]))
    options.require_right()
    if driver and action.needs and action.needs not in driver.description.capabilities:
        raise ConfigurationError(
            f"devices.{device.id}: on_pause = {action.value!r} cannot be done: "
            f"it is not {action.needs}"
        )
    return PauseRule(action, options.text("pause_reason", ""))


# ------------------------------------------------------------------------------------- last wills


def _last_wills(device: DeviceConfig, driver: Driver | None) -> tuple[LastWill, ...]:
    """What the driver declares, unless the configuration says otherwise.

    What the configuration asks for has to be possible.
    """
    wanted = device.supervision.get("last_will")
    if wanted is False:
        return ()
    if wanted is None or wanted is True:
        declared = _declared(device.id, driver) if driver else ()
        return _possible(f"devices.{device.id}", declared) if wanted else declared
    tables = wanted if isinstance(wanted, list) else [wanted]
    if not all(isinstance(table, Mapping) for table in tables):
        raise ConfigurationError(
            f"devices.{device.id}: last_will = {wanted!r} is not true, false or tables",
            advice='such as last_will = { port = "/dev/ttyUSB0", send = ["OUTP 0\\n"] }',
        )
    owner = f"devices.{device.id}.last_will"
    return _possible(owner, tuple(_will(Options(owner, table)) for table in tables))


def _possible(owner: str, wills: tuple[LastWill, ...]) -> tuple[LastWill, ...]:
    for will in wills:
        if will.obstacle:
            raise ConfigurationError(
                f"{owner}: a last will cannot be carried out: {will.obstacle}",
                advice="connect the instrument otherwise, or go without one: last_will = false",
            )
    return wills


def _declared(device_id: str, driver: Driver) -> tuple[LastWill, ...]:
    try:
        return driver.last_will()
    except Exception as error:  # a foreign driver may raise anything
        raise ConfigurationError(
            f"devices.{device_id}: its driver could not tell its last will: "
            f"{type(error).__name__}: {error}",
            advice="last_will = false goes without it, last_will = { ... } writes another",
        ) from error


def _will(options: Options) -> LastWill:
    timeout_s = options.number("timeout_s", 0.5, "s", _SOME_TIME)
    reply = options.text("reply", "", "a regular expression")
    try:
        re.compile(reply)
    except re.error as error:
        raise ConfigurationError(f"last_will: reply = {reply!r} is no pattern: {error}") from None
    sent = options.texts("send", (), "a list of commands, terminators included")
    if not sent:
        raise ConfigurationError("last_will: send is empty: it would do nothing")
    frames = tuple(
        WillFrame(text.encode("latin-1"), reply.encode("latin-1") or None, timeout_s)
        for text in sent
    )
    serial = SerialSettings(
        baud=options.integer("baud", 9600),
        data_bits=options.integer("data_bits", 8, "", Limits(5, 8)),
        parity=options.choice("parity", "N", ("N", "E", "O")),
        stop_bits=options.integer("stop_bits", 1, "", Limits(1, 2)),
        xon_xoff=options.boolean("xon_xoff", False),
        rts_cts=options.boolean("rts_cts", False),
    )
    address = options.text("port", REQUIRED, "a serial port such as /dev/ttyUSB0, or host:port")
    summary = options.text("summary", "")
    options.finish()
    try:
        return LastWill(PortSettings(address).url, frames, summary, serial)
    except ValueError as error:
        raise ConfigurationError(f"last_will: port = {error}") from None


# ------------------------------------------------------------------------------------- interlocks


def _interlock(
    config: InterlockConfig, devices: Iterable[str], drivers: Mapping[str, Driver]
) -> InterlockSettings:
    owner = f"interlocks.{config.name}"
    options = Options(owner, config.options)
    read_every = options.number("read_every_s", 0.0, "s", NOT_NEGATIVE) or None
    settings = InterlockSettings(
        name=config.name,
        channel=options.text("channel", REQUIRED, 'a channel such as "laser.wavelength"'),
        condition=_condition(options, read_every),
        action=options.choice("action", "none", ACTIONS),
        devices=_devices(options, "devices", devices),
        refuse_moves=_devices(options, "refuse_moves", devices),
        resume=options.boolean("resume", False),
        read_every_s=read_every,
    )
    if settings.action == "safe" and not settings.devices:
        options.refuse("action", "'safe' needs devices = [...] to make safe")
    if settings.resume and settings.action != "pause":
        options.refuse("resume", "needs action = 'pause'")
    if read_every and settings.channel.partition(".")[0] not in devices:
        options.refuse("channel", f"{settings.channel!r} belongs to no device to be read")
    options.finish()
    return replace(settings, reading=_reading(owner, settings, drivers)) if read_every else settings


def _reading(
    owner: str, settings: InterlockSettings, drivers: Mapping[str, Driver]
) -> tuple[str, ...]:
    device_id, _, quantity = settings.channel.partition(".")
    if device_id not in drivers:
        return ()
    described = drivers[device_id].description
    reading = _operation(described, quantity)
    if reading[0] not in {offered.name for offered in described.operations}:
        raise ConfigurationError(
            f"{owner}: {settings.channel!r} cannot be read: {device_id} does not offer "
            f"{reading[0]!r}",
            advice="leave read_every_s out if somebody else publishes the channel",
        )
    return reading


def _operation(described: DeviceDescription, quantity: str) -> tuple[str, ...]:
    if not quantity:
        return ("position" if Capability.MOVABLE in described.capabilities else "read",)
    if quantity in _OPERATIONS:
        return (_OPERATIONS[quantity],)
    return "get", quantity


def _condition(options: Options, read_every: float | None) -> Condition:
    above = options.number("above", math.inf)
    below = options.number("below", -math.inf)
    clear_below = options.number("clear_below", math.inf)
    clear_above = options.number("clear_above", -math.inf)
    outside = options.limits("outside", Limits(-math.inf, math.inf))
    clear_inside = options.limits("clear_inside", Limits(-math.inf, math.inf))
    stale = MISSED_READS * read_every if read_every else math.inf
    try:
        condition = Condition(
            above=min(above, outside.high),
            below=max(below, outside.low),
            clear_below=min(clear_below, clear_inside.high),
            clear_above=max(clear_above, clear_inside.low),
            stale_s=options.number("stale_s", stale, "s", _SOME_TIME),
            hold_s=options.number("hold_s", 0.0, "s", NOT_NEGATIVE),
            clear_s=options.number("clear_s", 0.0, "s", NOT_NEGATIVE),
            latched=options.boolean("latched", False),
        )
    except ValueError as error:
        options.refuse("", str(error))
        return Condition()
    if not condition.describe():
        options.refuse("", "has no condition; give it above, below, outside or stale_s")
    return condition


def _devices(options: Options, name: str, known: Iterable[str]) -> tuple[str, ...]:
    named = options.texts(name, (), "a list of devices")
    for device_id in named:
        if device_id not in known:
            near = did_you_mean(device_id, known) or f"there are {', '.join(sorted(known))}"
            options.refuse(name, f"there is no device {device_id!r}; {near}")
    return named
