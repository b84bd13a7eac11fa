"""A device as everyone but its driver sees it: what it is, how it is, how it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from daq.core.actions import DeviceAction, action_operations
from daq.core.capabilities import Capability, Operation, operations_of
from daq.core.errors import DeviceError
from daq.core.parameters import DeviceParameter, parameter_operations, row_of
from daq.core.units import Limits, Scalar, format_quantity

__all__ = [
    "Category",
    "Channel",
    "DeviceDescription",
    "DeviceSnapshot",
    "DeviceState",
    "DeviceStop",
    "StopOutcome",
]


class Category(StrEnum):
    """The kind of instrument, for people and for grouping in a user interface."""

    CAMERA = "camera"
    STAGE = "stage"
    DETECTOR = "detector"
    LASER = "laser"
    POWER_METER = "power_meter"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Channel:
    """One stream of measurements that a device publishes."""

    name: str
    """`stage` for a device's own channel, `laser.wavelength` for a further one."""
    units: str
    dtype: str = "f8"
    """numpy type string of a sample, such as `f8` or `u2`."""
    shape: tuple[int, ...] = ()
    """Shape of a sample: () scalar, (n,) waveform, (height, width) frame."""


@dataclass(frozen=True, slots=True)
class DeviceDescription:
    """What a device is and offers: known from configuration and driver, the same while it lives."""

    id: str
    driver: str
    """The configured driver's name, such as `simulated.stage`."""
    category: Category
    capabilities: frozenset[Capability]
    """Those that parameters and actions bring with them are there without being said."""
    channel: Channel
    """What `record(device)` stores: the position of a movable, else the reading or the frame."""
    reading: Channel | None = None
    """What `read` gives where the own channel holds positions or frames, such as `smu.current`;
    None where that one holds the readings."""
    label: str = ""
    units: str = ""
    """Units of the position of a movable, or of the reading."""
    limits: Limits | None = None
    """Position limits of a movable."""
    tolerance: float | None = None
    """A move that ends farther than this from its setpoint has failed."""
    resolution: tuple[int, int] | None = None
    """Frame (width, height) in pixels."""
    bits_per_pixel: int | None = None
    parameters: tuple[DeviceParameter, ...] = ()
    actions: tuple[DeviceAction, ...] = ()

    def __repr__(self) -> str:
        return f"<{self.id} ({self.driver}): {', '.join(sorted(self.capabilities))}>"

    def __post_init__(self) -> None:
        follow = {row.capability for row in self.parameters if row.capability and row.writable}
        if self.parameters:
            follow.add(Capability.PARAMETERIZED)
        if self.actions:
            follow.add(Capability.COMMANDABLE)
        object.__setattr__(self, "capabilities", self.capabilities | follow)
        if self.reading is None and Capability.READABLE in self.capabilities:
            own = self.capabilities & {Capability.MOVABLE, Capability.FRAME_PRODUCER}
            if own:
                object.__setattr__(self, "reading", Channel(f"{self.id}.reading", ""))

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What can be called on it: by capability, parameter and action, where the name is free."""
        offered = {operation.name: operation for operation in operations_of(self.capabilities)}
        for operation in (*parameter_operations(self.parameters), *action_operations(self.actions)):
            if operation.name != "stop":
                offered.setdefault(operation.name, operation)
        return tuple(offered.values())

    @property
    def reading_channel(self) -> Channel:
        """Where its readings are published."""
        return self.reading or self.channel

    def action(self, name: str) -> DeviceAction:
        """The action of that name; raises DeviceError listing those that exist."""
        for action in self.actions:
            if action.name == name:
                return action
        known = ", ".join(action.name for action in self.actions) or "none"
        raise DeviceError(f"{self.id}: there is no action {name!r}; it has {known}")

    def parameter(self, name: str) -> DeviceParameter:
        """The row of that name; raises DeviceError listing those that exist."""
        return row_of(self.parameters, self.id, name)


class DeviceState(StrEnum):
    """Where a device is in its supervised life."""

    CONNECTING = "connecting"
    READY = "ready"
    DEGRADED = "degraded"
    """It works, but answers late."""
    STALE = "stale"
    """It owes an answer for so long that what is known of it is old."""
    BUSY = "busy"
    """It waits for what was declared to take long; what is known of it is from before."""
    OFFLINE = "offline"
    DISABLED = "disabled"
    """A person has taken it out of use; nobody tries to reach it."""

    @property
    def is_online(self) -> bool:
        """Whether it takes commands."""
        return self in _ONLINE


_ONLINE = (DeviceState.READY, DeviceState.DEGRADED, DeviceState.STALE, DeviceState.BUSY)


@dataclass(frozen=True, slots=True)
class DeviceSnapshot:
    """What is known about a device now, from the cache: asking costs the instrument nothing."""

    id: str
    state: DeviceState
    version: int
    """Counts changes; a watcher that has seen `version` waits for a higher one."""
    timestamp_ns: int
    reason: str = ""
    """Why it is not simply ready."""
    activity: str = ""
    """The command in progress, such as `move_abs(3.0)`; empty when idle."""
    fields: Mapping[str, Scalar] = field(default_factory=dict)
    """Cached state: `position`, `moving`, `reading`, `is_open`, `wavelength`, `emission`, ..."""
    owed: str = ""
    """What it is owed before anybody commands it, since when and why: a stop, its safe state."""
    unreferenced: str = ""
    """Since when and why it does not know where it is; it is not moved before it was homed."""
    invalid: Mapping[str, str] = field(default_factory=dict)
    """Fields that have no value now, and why: an overload, an output that is off."""
    failed_questions: int = 0
    """How many of its answers could not be understood."""
    next_attempt_ns: int = 0
    """When the daemon tries to reach it again, ns since the epoch; 0 when it does not wait."""

    def __repr__(self) -> str:
        owed = f"owed {self.owed}" if self.owed else ""
        said = [self.state.value, self.activity, self.reason, owed]
        fields = [f"{name} {value}" for name, value in self.fields.items()]
        return f"<{self.id}: {', '.join([part for part in said if part] + fields)}>"


class StopOutcome(StrEnum):
    """How a device answered when it was told to stop."""

    STOPPED = "stopped"
    IDLE = "idle"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class DeviceStop:
    """One line of a stop's answer."""

    device: str
    outcome: StopOutcome
    duration_s: float
    message: str = ""
    position: float | None = None
    """Where it rests, of a movable that was stopped."""
    units: str = ""
    """Of the position."""
    owed: bool = False
    """It was not done, and is the first thing that happens when the device can be reached."""

    def __repr__(self) -> str:
        where = "" if self.position is None else f"at {format_quantity(self.position, self.units)}"
        said = [self.outcome.value, where, self.message, "owed" if self.owed else ""]
        return f"<{self.device}: {', '.join(part for part in said if part)}>"
