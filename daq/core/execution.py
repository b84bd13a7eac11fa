"""Scripts, executions and how they end: values that the API, the ledger and the client share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from daq.core.device import DeviceStop
from daq.core.script_parameters import ScriptParameter
from daq.core.units import format_quantity

__all__ = [
    "ExecutionRecord",
    "ExecutionState",
    "ExecutionView",
    "OutputLine",
    "Script",
    "StopReport",
    "Transition",
]


class ExecutionState(StrEnum):
    """The state of an execution. The values are the words on the wire."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    STOPPING = "STOPPING"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"
    STOPPED = "STOPPED"
    KILLED = "KILLED"

    @property
    def is_final(self) -> bool:
        """Whether it can never change again."""
        return self in _FINAL


_FINAL = frozenset(
    {
        ExecutionState.COMPLETED,
        ExecutionState.ERROR,
        ExecutionState.STOPPED,
        ExecutionState.KILLED,
    }
)


@dataclass(frozen=True, slots=True)
class Script:
    """An uploaded script."""

    id: str
    name: str
    source: str
    sha256: str
    uploaded_ns: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    parameters: tuple[ScriptParameter, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of state, with its reason."""

    state: ExecutionState
    timestamp_ns: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OutputLine:
    """Something that the script printed or logged."""

    timestamp_ns: int
    level: str
    """`output` for print, else `info`, `warning`, `error`."""
    text: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class ExecutionRecord:
    """What is kept of an execution across restarts of the daemon."""

    id: str
    script_id: str
    script_name: str
    parameters: Mapping[str, object]
    user: str
    transitions: tuple[Transition, ...]
    """Oldest first, never empty: PENDING comes first."""
    message: str = ""
    """Why it ended as it did."""
    traceback: str = ""
    line: int = 0
    """The last line that was executed."""
    progress: float | None = None
    run_ids: tuple[str, ...] = ()

    @property
    def state(self) -> ExecutionState:
        return self.transitions[-1].state

    @property
    def started_ns(self) -> int:
        """When it first ran; 0 if it never did."""
        for transition in self.transitions:
            if transition.state is ExecutionState.RUNNING:
                return transition.timestamp_ns
        return 0

    @property
    def ended_ns(self) -> int:
        """When it reached its final state; 0 if it has not."""
        return self.transitions[-1].timestamp_ns if self.state.is_final else 0


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """An execution as it is at this moment: exact, and free to ask for."""

    record: ExecutionRecord
    version: int
    """Counts changes of state, run, message and output; line and progress move without it."""
    source_line: str = ""
    """The text of `record.line`."""
    progress_message: str = ""
    elapsed_s: float = 0.0
    remaining_s: float | None = None
    """Estimated from the progress; None while nothing is known."""
    queue_position: int = 0
    """1 for the next to run; 0 when not waiting."""
    result: Any = None
    """What `main` returned; a list of past ones leaves it out."""
    result_refused: str = ""
    """Why what it returned could not be kept; empty when it could."""
    devices: tuple[DeviceStop, ...] = ()
    """What each device did when it ended by a stop or an error; what is owed is as of now."""

    def __repr__(self) -> str:
        record = self.record
        line = f", line {record.line}" if record.line else ""
        progress = "" if record.progress is None else f", {100 * record.progress:.0f} %"
        title = f"execution {record.id[:8]} of {record.script_name}"
        return f"<{title}: {record.state.value}{line}{progress}>"


@dataclass(frozen=True, slots=True)
class StopReport:
    """The answer to a stop: given when it is verified, not when it was asked for."""

    execution_id: str
    state: ExecutionState
    message: str
    duration_s: float
    devices: tuple[DeviceStop, ...] = ()
    line: int = 0
    """Where the script stood when the stop came."""
    escalated: bool = False
    """A graceful stop passed its deadline and became a force stop."""

    def __repr__(self) -> str:
        took = format_quantity(self.duration_s, "s", 3)
        devices = "".join(f", {stop.device} {stop.outcome.value}" for stop in self.devices)
        return f"<stop of {self.execution_id[:8]}: {self.state.value} after {took}{devices}>"
