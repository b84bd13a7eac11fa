"""`[interlocks.NAME]` of the configuration, read and checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from daq.config import Config, InterlockConfig
from daq.core import (
    INTERLOCK_CHANNELS,
    Capability,
    ConfigurationError,
    DeviceDescription,
    Limits,
    did_you_mean,
    split_target,
)
from daq.drivers import NOT_NEGATIVE, REQUIRED, Driver, Options
from daq.supervision.settings.condition import Condition
from daq.transport import LONG_S

__all__ = ["InterlockSettings", "find_doubts", "read_interlock", "refuse_circles"]

ACTIONS = ("none", "pause", "stop", "force_stop", "safe")
MISSED_READS = 3
"""A channel that is read on a schedule is silent when so many readings failed."""
_SOME_TIME = Limits(0.01, math.inf)


@dataclass(frozen=True, slots=True)
class InterlockSettings:
    """`[interlocks.NAME]`, read and checked."""

    name: str
    channel: str
    condition: Condition
    action: str
    devices: tuple[str, ...]
    """Brought to their safe state when it trips."""
    refuses: tuple[str, ...]
    """Not done while it is tripped or unknown: all that is dangerous of a device (`laser`), or one
    operation or parameter of it (`camera.trigger`, `laser.power`)."""
    resume: bool
    """What it paused goes on by itself when it has cleared."""
    read_every_s: float | None
    """The device is read when its channel was silent for so long."""
    reading: tuple[str, ...] = ()
    """The operation that reads it, with its arguments; empty when there is none."""
    adapts_stale: bool = False
    """`stale_s` counts missing readings, so it grows with the time that a reading takes."""
    resume_after_s: float = 0.0
    """It waits so long after it has cleared before it resumes."""
    max_resumes: int = 3
    """Within `resumes_within_s`; after that a person has to resume."""
    resumes_within_s: float = 60.0

    @property
    def device_id(self) -> str:
        """Of the device that publishes the channel."""
        return self.channel.partition(".")[0]


def read_interlock(
    config: InterlockConfig, bench: Config, drivers: Mapping[str, Driver]
) -> InterlockSettings:
    """Read one table; raises ConfigurationError for what cannot work."""
    owner = f"interlocks.{config.name}"
    options = Options(owner, config.options)
    read_every = options.number("read_every_s", 0.0, "s", NOT_NEGATIVE) or None
    channel = options.text("channel", REQUIRED, 'a channel such as "laser.wavelength"')
    condition = _condition(options, read_every)
    devices = _devices(options, "devices", bench.devices)
    settings = InterlockSettings(
        name=config.name,
        channel=channel,
        condition=condition,
        action=options.choice("action", "none", ACTIONS),
        devices=devices,
        refuses=_refusals(options, bench.devices, drivers)
        if {"refuse", "refuse_moves"} & config.options.keys()
        else devices,  # what is made safe stays so
        resume=options.boolean("resume", False),
        read_every_s=read_every,
        reading=_reading(options, channel, bench, drivers),
        adapts_stale=read_every is not None and "stale_s" not in config.options,
        resume_after_s=options.number("resume_after_s", 0.0, "s", NOT_NEGATIVE),
        max_resumes=options.integer("max_resumes", 3, "", Limits(1, 1000)),
        resumes_within_s=options.number("resumes_within_s", 60.0, "s", _SOME_TIME),
    )
    _refuse_impossible(options, settings)
    _refuse_impatient(options, settings, drivers.get(settings.device_id))
    options.finish()
    return settings


def refuse_circles(interlocks: Iterable[InterlockSettings]) -> None:
    """Raise ConfigurationError when interlocks watch one another in a circle."""
    watched = {
        each.name: each.channel.removeprefix(INTERLOCK_CHANNELS)
        for each in interlocks
        if each.channel.startswith(INTERLOCK_CHANNELS)
    }
    for name in watched:
        way = [name]
        while (after := watched.get(way[-1])) is not None and after not in way:
            way.append(after)
        if after == name:
            raise ConfigurationError(
                f"interlocks.{name}: it watches itself: {' watches '.join([*way, name])}"
            )


def find_doubts(settings: InterlockSettings, drivers: Mapping[str, Driver]) -> Iterator[str]:
    """Tell what is legal and hardly meant."""
    owner = f"interlocks.{settings.name}"
    if settings.action == "none" and not settings.devices and not settings.refuses:
        yield f"{owner}: it does nothing but say so: give it an action, devices or refuse"
    endless = settings.condition.stale_s == math.inf
    if endless and not settings.channel.startswith(INTERLOCK_CHANNELS):
        yield (
            f"{owner}: nobody notices when {settings.channel!r} falls silent: give it "
            "read_every_s, or stale_s"
        )
    for device_id in settings.devices:
        driver = drivers.get(device_id)
        if driver is not None and (gap := driver.safe_state_gap()):
            yield f"{owner}: {device_id} is made safe in name only: {gap}"


def _refuse_impossible(options: Options, settings: InterlockSettings) -> None:
    if settings.action == "safe" and not settings.devices:
        options.refuse("action", "'safe' needs devices = [...] to make safe")
    if settings.resume and settings.action != "pause":
        options.refuse("resume", "needs action = 'pause'")
    every, stale = settings.read_every_s, settings.condition.stale_s
    if every and stale < every:
        options.refuse(
            "stale_s",
            f"{stale:g} s is below read_every_s = {every:g} s: it would trip between two readings; "
            f"left out, it is {MISSED_READS * every:g} s",
        )


def _refuse_impatient(options: Options, settings: InterlockSettings, driver: Driver | None) -> None:
    """What was declared to take long cannot come more often."""
    if driver is None or not settings.reading:
        return
    takes_s = driver.declared_s(*settings.reading)
    stale = math.inf if settings.adapts_stale else settings.condition.stale_s
    for option, seconds in (("read_every_s", settings.read_every_s), ("stale_s", stale)):
        if takes_s > LONG_S and seconds is not None and seconds < takes_s:
            options.refuse(
                option,
                f"{seconds:g} s is below the {takes_s:g} s that reading {settings.channel!r} may "
                "take, as its timeout declares",
            )


# ----------------------------------------------------------------------------------- the channel


def _reading(
    options: Options, channel: str, bench: Config, drivers: Mapping[str, Driver]
) -> tuple[str, ...]:
    """The operation that reads a channel; refuses one that never speaks."""
    if channel.startswith(INTERLOCK_CHANNELS):
        _require_known(options, channel, [INTERLOCK_CHANNELS + name for name in bench.interlocks])
        return ()
    device_id, _, quantity = channel.partition(".")
    if not channel:
        return ()  # told already
    if device_id not in bench.devices:
        near = did_you_mean(device_id, bench.devices, "; ")
        options.refuse("channel", f"{channel!r} belongs to no device to be read{near}")
        return ()
    if device_id not in drivers:
        return ()  # it could not be built: it stays silent
    channels = dict(_channels(drivers[device_id].description))
    known = [device_id + (f".{name}" if name else "") for name in channels]
    _require_known(options, channel, known)
    return channels.get(quantity, ())


def _require_known(options: Options, channel: str, known: Sequence[str]) -> None:
    if channel not in known:
        near = did_you_mean(channel, known) or f"there are {', '.join(known) or 'none'}"
        options.refuse("channel", f"{channel!r} cannot be read: nobody publishes it; {near}")


def _channels(described: DeviceDescription) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What a device publishes, by the name behind its id, and the operation that reads it."""
    offered = described.capabilities
    is_movable, gives_frames = Capability.MOVABLE in offered, Capability.FRAME_PRODUCER in offered
    if is_movable or gives_frames or Capability.READABLE in offered:
        yield "", ("position",) if is_movable else () if gives_frames else ("read",)
    if Capability.SAMPLE_PRODUCER in offered:
        yield "samples", ()
        yield "", ("read",) if Capability.READABLE in offered else ()
    if described.reading is not None:
        yield split_target(described.reading.name)[1], ("read",)
    for parameter in described.parameters:
        if parameter.readable and parameter.dtype != "str":
            yield parameter.name, ("get", parameter.name)


# ------------------------------------------------------------------------------- its other options


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


def _refusals(
    options: Options, known: Iterable[str], drivers: Mapping[str, Driver]
) -> tuple[str, ...]:
    """What is refused, by both names of the option."""
    refused: list[str] = []
    for name, expected in (
        ("refuse", 'devices, or such as "laser.power"'),
        ("refuse_moves", "the older name of refuse"),
    ):
        for each in options.texts(name, (), expected):
            device_id, _, what = each.partition(".")
            _require_device(options, name, device_id, known)
            if what and device_id in drivers:
                _require_command(options, name, each, drivers[device_id].description)
            refused.append(each)
    return tuple(dict.fromkeys(refused))


def _require_command(
    options: Options, name: str, refused: str, described: DeviceDescription
) -> None:
    commands = [each.name for each in described.operations if each.commands]
    commands += [each.name for each in described.parameters if each.writable]
    known = [f"{described.id}.{each}" for each in commands]
    if refused not in known:
        near = did_you_mean(refused, known) or f"there are {', '.join(known) or 'none'}"
        options.refuse(name, f"{refused!r} is nothing that could be refused; {near}")


def _devices(options: Options, name: str, known: Iterable[str]) -> tuple[str, ...]:
    named = options.texts(name, (), "a list of devices")
    for device_id in named:
        _require_device(options, name, device_id, known)
    return named


def _require_device(options: Options, option: str, device_id: str, known: Iterable[str]) -> None:
    if device_id not in known:
        near = did_you_mean(device_id, known) or f"there are {', '.join(sorted(known))}"
        options.refuse(option, f"there is no device {device_id!r}; {near}")
