"""A run on record: how it started, what each event holds, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.core.measurement import Array
from daq.core.units import Scalar

__all__ = ["Column", "Event", "EventBlock", "RunOutcome", "RunStart", "RunStop", "RunSummary"]


class RunOutcome(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    KILLED = "killed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """The daemon itself died; the run was recovered from the journal at the next start."""


@dataclass(frozen=True, slots=True)
class RunStart:
    """Everything that is known when a run opens: enough to know later how its data came about."""

    run_id: str
    name: str
    started_ns: int
    user: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The user's own, as given to `open_run`: plain scalars, strings and lists."""
    execution_id: str = ""
    script_id: str = ""
    script_name: str = ""
    script_source: str = ""
    script_sha256: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    devices: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    """Settings of every reachable device when the run opened."""
    units: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By device: the units of those settings that have some."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Software: daq, python, numpy, h5py, ..."""
    host: str = ""
    durability: str = "process"
    """What an acknowledged event survives: `process`, the death of the daemon; `disk`, also a power
    cut, for which every acknowledgement waits for the disk."""
    order_ns: int = 0
    """Its place among the runs: when it began, but behind the run before where the clock was set
    back between the two. 0 until storage has opened it."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a stream of events."""

    name: str
    units: str
    dtype: str
    """numpy type string with byte order, such as `<f8`; `O` for strings (stored as UTF-8)."""
    shape: tuple[int, ...] = ()
    """Of one sample; 0 stands for a length that differs from event to event."""
    source: str = ""
    """The device's id; empty for values that the script gave itself."""
    role: str = "detector"
    """`positioner`: the readback of what the scan moved, an axis of the plot; else `detector`."""
    optional: bool = False
    """Whether some events have no value."""
    note: str = ""
    """Why it is there, where that is not obvious: what was kept apart from another column."""

    @property
    def varies(self) -> bool:
        """Whether its samples are arrays of different lengths."""
        return 0 in self.shape


@dataclass(frozen=True, slots=True)
class Event:
    """One row: what `record` read, at one point."""

    stream: str
    sequence: int
    """Counts the stream's events from 0."""
    timestamp_ns: int
    columns: tuple[Column, ...]
    values: Mapping[str, Any]
    """Column name to scalar, string or array of the column's shape."""
    timestamps: Mapping[str, int]
    """Column name to the time at which that value was read, ns since the epoch."""


@dataclass(frozen=True, slots=True, eq=False)
class EventBlock:
    """Events of one stream as columns, as they come back from storage."""

    stream: str
    first: int
    columns: tuple[Column, ...]
    timestamps: npt.NDArray[np.int64]
    """Shape (n,)."""
    values: Mapping[str, Array]
    """Column name to an array of shape (n, *column.shape): a masked one for an optional column of
    numbers; objects for texts, and for arrays of different lengths, with None where nothing is."""
    column_times: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    """Column name to when each of its values was read, shape (n,); without one: `timestamps`."""


@dataclass(frozen=True, slots=True)
class RunStop:
    """How a run ended, when, why and by whom."""

    outcome: RunOutcome
    ended_ns: int
    reason: str = ""
    by: str = ""
    """Who asked for it, when somebody did."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of the catalogue."""

    run_id: str
    name: str
    started_ns: int
    ended_ns: int = 0
    """0 while it is open."""
    outcome: RunOutcome | None = None
    """None while it is open."""
    reason: str = ""
    by: str = ""
    user: str = ""
    execution_id: str = ""
    script_name: str = ""
    points: int = 0
    """Events of the main stream."""
    path: str = ""
    """The HDF5 file, on the daemon's machine."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    incomplete: str = ""
    """Why its file is not complete yet; also the end of `reason`."""
    other_points: Mapping[str, int] = field(default_factory=dict)
    """Events of the other streams, by name."""
    order_ns: int = 0
    """Its place among the runs, as of `RunStart`; 0 where an older daemon does not say it."""

    @property
    def events(self) -> int:
        """Events of all streams."""
        return self.points + sum(self.other_points.values())

    @property
    def points_in_words(self) -> str:
        """`5 points`, or `5 points, baseline 2`."""
        others = [f"{name} {count}" for name, count in self.other_points.items()]
        return ", ".join([f"{self.points} points", *others])
