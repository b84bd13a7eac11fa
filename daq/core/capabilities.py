"""What an instrument can do: capabilities, the operations that each offers, and driver contracts.

A capability is a word on the wire, a `Protocol` for drivers, and a handful of operations that a
script's device proxy, the API and the client all offer under the same names. Those of a shutter, an
emission, a wavelength and an exposure follow from the parameters of these names.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from daq.core.measurement import Reading
from daq.core.near_miss import did_you_mean
from daq.core.units import Scalar

__all__ = [
    "OPERATIONS",
    "Capability",
    "Commandable",
    "FrameProducer",
    "Movable",
    "Operation",
    "Parameterized",
    "Readable",
    "SampleProducer",
    "Triggerable",
    "call_misfit",
    "operations_of",
]


class Capability(StrEnum):
    """A thing that a device can do. The values are the words on the wire."""

    READABLE = "readable"
    MOVABLE = "movable"
    TRIGGERABLE = "triggerable"
    FRAME_PRODUCER = "frame_producer"
    SAMPLE_PRODUCER = "sample_producer"
    EXPOSURE_CONTROLLABLE = "exposure_controllable"
    SHUTTER_CONTROLLABLE = "shutter_controllable"
    WAVELENGTH_TUNABLE = "wavelength_tunable"
    EMISSION_CONTROLLABLE = "emission_controllable"
    PARAMETERIZED = "parameterized"
    COMMANDABLE = "commandable"


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a capability lets callers do."""

    name: str
    """How scripts and clients call it, such as `move_abs`."""
    capability: Capability
    signature: str
    """For people: `(position)`, `(n=1)`."""
    summary: str
    """For people: one line."""
    commands: bool = False
    """It changes the device, so only one may run at a time; plain reads are always free."""
    cancellable: bool = False
    """A stop may cancel it half way; the device is then told to stop."""
    parameter: str = ""
    """It gets or sets this one, by its own name."""
    value: Scalar | None = None
    """What it sets that to; None when the caller says."""


def _operations() -> dict[str, Operation]:
    c = Capability
    rows = [
        Operation("read", c.READABLE, "()", "Take one reading."),
        Operation("move_abs", c.MOVABLE, "(position)", "Move and wait until settled.", True, True),
        Operation(
            "move_rel", c.MOVABLE, "(distance)", "Move by a distance and settle.", True, True
        ),
        Operation("home", c.MOVABLE, "()", "Search the home position.", True, True),
        Operation("position", c.MOVABLE, "()", "Read the position back."),
        Operation(
            "wait_settled", c.MOVABLE, "()", "Wait until the motion ended.", cancellable=True
        ),
        Operation("arm", c.TRIGGERABLE, "()", "Make ready for a trigger.", True),
        Operation("trigger", c.TRIGGERABLE, "()", "Trigger one acquisition.", True, True),
        Operation("frames", c.FRAME_PRODUCER, "(n=1)", "Acquire n frames in a row.", True, True),
        Operation("get", c.PARAMETERIZED, "(name)", "Read a parameter."),
        Operation(
            "set", c.PARAMETERIZED, "(name, value)", "Set a parameter and read it back.", True
        ),
    ]
    return {row.name: row for row in rows}


def call_misfit(signature: str, given: int, named: Collection[str] = ()) -> str:
    """What is wrong with a call, by the argument that is: `'position' is missing`.

    Args:
        signature: As people read it: `(name, value=None)`.
        given: How many arguments were given by position.
        named: The names of the others.

    Returns:
        Nothing when the call fits.
    """
    parts = [part.strip() for part in signature.strip("()").split(",") if part.strip()]
    names = [part.partition("=")[0].strip() for part in parts]
    for name in named:
        if name not in names:
            return f"there is no argument {name!r}{did_you_mean(name, names, '; ')}"
        if name in names[:given]:
            return f"{name!r} is given twice"
    if given > len(names):
        takes = {0: "no arguments", 1: "one argument"}.get(len(names), f"{len(names)} arguments")
        return f"it takes {takes}, not {given}"
    for name, part in list(zip(names, parts, strict=True))[given:]:
        if name not in named and "=" not in part:
            return f"{name!r} is missing"
    return ""


OPERATIONS: Mapping[str, Operation] = MappingProxyType(_operations())
"""Operations that no parameter stands behind, by name. `stop` is not among them: every device has
it, none may refuse it."""


def operations_of(capabilities: frozenset[Capability]) -> tuple[Operation, ...]:
    """The operations that a device with these capabilities offers, in table order."""
    return tuple(op for op in OPERATIONS.values() if op.capability in capabilities)


# What a driver implements for each capability. Methods wait until the thing is true, raise
# `DeviceError` and friends when it is not, and may be cancelled at any await.


@runtime_checkable
class Readable(Protocol):
    """Gives a value when asked: a scalar or a waveform."""

    async def read(self) -> Reading:
        """Take a reading, with the time at which it was true."""


@runtime_checkable
class Movable(Protocol):
    """Has a position that can be commanded and read back, in the description's units.

    The driver says what it reads. Supervision judges whether a motion began, went and rests where
    it was sent, and stops one that failed.
    """

    async def move_abs(self, position: float) -> None:
        """Send it there; returns when the instrument has taken the command, or later."""

    async def position(self) -> Reading:
        """Read the position back, in the units of the description."""

    async def is_moving(self) -> bool:
        """As the instrument says now, right or wrong."""

    async def home(self) -> None:
        """Send it home; returns when the instrument has taken the command, or later."""


@runtime_checkable
class Triggerable(Protocol):
    """Is armed first, then acquires on a trigger."""

    async def arm(self) -> None:
        """Make ready for a trigger."""

    async def trigger(self) -> int:
        """Acquire once; returns the trigger's time, ns since the epoch."""


@runtime_checkable
class FrameProducer(Protocol):
    """Delivers images of shape (height, width)."""

    def frames(self, count: int | None) -> AsyncGenerator[Reading, None]:
        """Acquire `count` frames, or without end for None, at the device's own pace."""


@runtime_checkable
class SampleProducer(Protocol):
    """Delivers an unbroken series of samples in blocks."""

    def samples(self) -> AsyncGenerator[tuple[Reading, int], None]:
        """Blocks of shape (n,), each with the time of its first sample and the period in ns."""


@runtime_checkable
class Parameterized(Protocol):
    """Named settings, described by the device's `parameters`.

    A setter returns when the value is there, or when it is under way where the row says how long it
    may take to settle. What was begun ends with `stop`.
    """

    async def get_parameter(self, name: str) -> Scalar:
        """Ask the instrument for its value, in the units of its row."""

    async def set_parameter(self, name: str, value: Scalar) -> None:
        """Set it; DeviceError when the instrument does not take it."""


@runtime_checkable
class Commandable(Protocol):
    """Does things of its own, described by the device's `actions`."""

    async def act(self, name: str, *arguments: Scalar) -> Scalar | None:
        """Do one; returns when it is done, with what the instrument says of it, if anything."""
