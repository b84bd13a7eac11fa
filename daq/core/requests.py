"""The few requests that every program is made of, and the contract with whoever performs them.

A script in its sandbox, a built-in plan and a client's scan all end as these requests. The run
engine performs them; it does not know who asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = [
    "Call",
    "CallBeside",
    "CloseRun",
    "Describe",
    "Interpreter",
    "ListDevices",
    "Log",
    "OpenRun",
    "Pause",
    "Point",
    "Progress",
    "Record",
    "Request",
    "StopRequested",
]


class StopRequested(Exception):  # noqa: N818 - a signal, not an error
    """Raised by an interpreter instead of an answer: the program must end, running its cleanup."""


@dataclass(frozen=True, slots=True)
class ListDevices:
    """Answer: the ids of all devices, sorted."""


@dataclass(frozen=True, slots=True)
class Describe:
    """Answer: the `DeviceDescription` of a device; from now on the program is known to use it."""

    device: str


@dataclass(frozen=True, slots=True)
class Call:
    """Do one operation of a device. Answer: its value, as a plain scalar or an array, or None."""

    device: str
    operation: str
    """A name of `OPERATIONS`, or `stop`."""
    arguments: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class CallBeside(Call):
    """A call that goes on while the program does other things, such as the move of a fly scan.

    What is recorded meanwhile belongs to it, so a pause waits until it has ended.
    """


@dataclass(frozen=True, slots=True)
class OpenRun:
    """Open a run. Answer: its id."""

    name: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    durability: str = "process"
    """What an acknowledged event survives: see `RunStart.durability`."""


@dataclass(frozen=True, slots=True)
class CloseRun:
    """Close the open run. `failed` tells that the program left it through an exception."""

    failed: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """Read the devices and store one event. Answer: {column: value} as stored, acknowledged."""

    devices: Sequence[str]
    values: Mapping[str, Any] = field(default_factory=dict)
    stream: str = "primary"
    no_value: bool = False
    """A reading that is invalid now is stored as no value (NaN), instead of failing."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Of those values that have some."""


@dataclass(frozen=True, slots=True)
class Point:
    """One scan point in one request: move all, settle, dwell, read all, store. Answer: as `Record`.

    Devices that moved are recorded first, in the order of `moves`, by their readback.
    """

    moves: Mapping[str, float]
    devices: Sequence[str]
    dwell: float = 0.0
    """Seconds between settled and read."""
    values: Mapping[str, Any] = field(default_factory=dict)
    stream: str = "primary"
    units: Mapping[str, str] = field(default_factory=dict)
    """Of those values that have some."""


@dataclass(frozen=True, slots=True)
class Log:
    """Output of the program: `print` at level `output`, `log(...)` at `info`. No answer."""

    text: str
    level: str = "output"
    line: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """What the program says about itself: a message beside the progress bar. No answer."""

    message: str


@dataclass(frozen=True, slots=True)
class Pause:
    """The program stands at a checkpoint because it was asked to pause. Answered on resume."""

    line: int


Request = (
    ListDevices | Describe | Call | OpenRun | CloseRun | Record | Point | Log | Progress | Pause
)


class Interpreter(Protocol):
    """Performs requests: the run engine, as a program sees it."""

    async def perform(self, request: Request, *, stopping: bool = False) -> Any:
        """Carry out one request and return its answer.

        `stopping` tells that the program knows that it must stop and is running its cleanup.
        Raises `DaqError` for what goes wrong (the program sees it at its own line), and
        `StopRequested` when a stop came and the program does not know it yet.
        """
