"""What the client's calls answer with where `daq.core` has no word of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy.typing as npt

from daq.core import (
    DeviceDescription,
    DeviceSnapshot,
    ExecutionState,
    ExecutionView,
    OutputLine,
    RunSummary,
    Scalar,
    ScriptParameter,
)

__all__ = [
    "Block",
    "DaemonInfo",
    "DeviceInfo",
    "DeviceListing",
    "ExecutionUpdate",
    "Frame",
    "FrameQuality",
    "LiveStatus",
    "ParameterChange",
    "ParameterReading",
    "PositionUpdate",
    "RebuildProgress",
    "RecordedPoint",
    "RunPage",
    "Sample",
    "StateChange",
    "StateUpdate",
    "UploadedScript",
]


@dataclass(frozen=True, slots=True)
class DaemonInfo:
    """The daemon itself."""

    version: str
    features: tuple[str, ...]
    devices: tuple[str, ...]
    uptime_s: int
    host: str
    pid: int
    data_directory: str
    confinement: Mapping[str, str]
    """Layer of the script sandbox to `active`, or why it is not."""
    versions: Mapping[str, str]
    counters: Mapping[str, float]
    ring_path: str = ""
    """The ring of recent data, for `daq.bus.ring.RingReader` on the daemon's machine."""
    flight_address: str = ""
    """Where Arrow Flight is served, as "host:port"; empty where it is not."""
    warnings: tuple[str, ...] = ()
    """What somebody should know before working, such as that the guard had to act."""


@dataclass(frozen=True, slots=True)
class UploadedScript:
    """A script that the daemon has accepted."""

    id: str
    name: str
    description: str
    parameters: tuple[ScriptParameter, ...]


@dataclass(frozen=True, slots=True)
class StateChange:
    """The answer to a pause or a resume."""

    execution_id: str
    state: ExecutionState
    message: str


@dataclass(frozen=True, slots=True)
class ExecutionUpdate:
    """One message of a watch: how the execution is now, and what it printed since the last."""

    view: ExecutionView
    output: tuple[OutputLine, ...]


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """The daemon's live values."""

    state: str
    """`idle`, or the state of the execution."""
    memory_mb: float
    values: Mapping[str, float]
    """The newest scalar of every channel."""
    timestamp_ns: int


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device as it is listed: what it is and offers, and how it is now."""

    description: DeviceDescription
    snapshot: DeviceSnapshot

    @property
    def id(self) -> str:
        """Its name on the bench."""
        return self.description.id


@dataclass(frozen=True, slots=True)
class DeviceListing:
    """All devices, and those that could not even be set up."""

    devices: tuple[DeviceInfo, ...]
    failures: Mapping[str, str]
    """Device id to the reason."""


@dataclass(frozen=True, slots=True)
class StateUpdate:
    """What changed in a device's cached state."""

    device: str
    timestamp_ns: int
    version: int
    is_snapshot: bool
    """All fields, not only those that changed."""
    fields: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class ParameterReading:
    """The value of a device's parameter, read back."""

    device: str
    name: str
    value: str
    units: str


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One sample of a channel."""

    channel: str
    timestamp_ns: int
    value: float
    """The scalar, or the mean of a waveform or frame."""
    units: str
    array: npt.NDArray[Any] | None = None
    """The waveform (n,) or frame (height, width) itself; None for a scalar."""
    sequence: int = 0
    dropped: int = 0
    """Samples missed since the stream began: the reader was too slow, or the connection lost."""
    gap: int = 0
    """Samples of the channel missed right before this one, while the connection was lost."""
    averaged: int = 1
    """Samples of which it is the mean, in value and time; `sequence` is that of the first."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Samples of one channel in a row."""

    channel: str
    timestamps: npt.NDArray[Any]
    """Shape (n,), datetime64[ns]."""
    values: npt.NDArray[Any]
    """Shape (n, *sample_shape)."""
    units: str
    sequence: int
    """Of the first sample."""
    dropped: int = 0
    """Samples missed since the stream began: the reader was too slow, or the connection lost."""
    gap: int = 0
    """Samples of the channel missed right before this block, while the connection was lost."""

    def __len__(self) -> int:
        return len(self.timestamps)


class FrameQuality(IntEnum):
    """How much of a frame a viewer wants. The values are the numbers on the wire."""

    FULL = 0
    PREVIEW = 1
    """The mean of every 2 x 2 pixels."""
    FAST = 2
    """The mean of every 4 x 4 pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image of a camera."""

    device: str
    number: int
    """Counts the camera's frames; what is missing in between was not sent."""
    timestamp_ns: int
    image: npt.NDArray[Any]
    """Shape (height, width)."""
    units: str = ""
    exposure_s: float | None = None
    dropped: int = 0
    """Frames missed since the stream began: the reader was too slow, or the connection lost."""
    gap: int = 0
    """Frames missed right before this one, while the connection was lost."""


@dataclass(frozen=True, slots=True)
class PositionUpdate:
    """Where a device is."""

    device: str
    position: float
    timestamp_ns: int
    is_moving: bool


@dataclass(frozen=True, slots=True)
class ParameterChange:
    """A parameter that somebody changed; values as texts."""

    device: str
    name: str
    old: str
    new: str
    units: str
    timestamp_ns: int


@dataclass(frozen=True, slots=True)
class RecordedPoint:
    """What a manual run stored for one point."""

    sequence: int
    values: Mapping[str, Any]
    """Column to value; an array as its shape."""


@dataclass(frozen=True, slots=True)
class RebuildProgress:
    """How far the catalogue is rebuilt from the files."""

    done: int
    """Files looked at so far."""
    files: int
    added: int
    """Runs so far that were not listed before."""
    problems: tuple[str, ...] = ()
    """Found since the last: files that are damaged, or not there."""


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of the catalogue, newest first."""

    runs: tuple[RunSummary, ...]
    total: int
