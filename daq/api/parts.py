"""What the API is given to serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from daq.api.audit import Audit
from daq.api.door.admission import DoorLimits
from daq.bus import Bus
from daq.drivers import Timebase
from daq.experiment import ExecutionQueue, ManualRuns
from daq.scripting import Sandbox
from daq.storage import Storage
from daq.supervision import Guard, Interlocks, Presets, Reloader, Supervisor

__all__ = ["DaemonInfo", "Parts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonInfo:
    """What the daemon tells about itself."""

    version: str
    host: str
    started: float
    """Trio's time at which it came up."""
    data_directory: str
    versions: Mapping[str, str] = field(default_factory=dict)
    """Software to its version."""
    ring_path: str = ""
    """The ring's file; empty without one."""
    flight_address: str = ""
    """Where Arrow Flight is served; empty where it is not."""
    damages: Sequence[str] = ()
    """What earlier daemons have kept and this one could not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of the daemon: its nursery tree runs them, the API hands requests to them."""

    info: DaemonInfo
    limits: DoorLimits = field(default_factory=DoorLimits)
    """Of the door: how many may come in, and when a client counts as gone."""
    audit: Audit = field(default_factory=Audit)
    timebase: Timebase
    bus: Bus
    storage: Storage
    supervisor: Supervisor
    guard: Guard
    interlocks: Interlocks
    reloader: Reloader
    presets: Presets
    sandbox: Sandbox
    queue: ExecutionQueue
    manual_runs: ManualRuns
