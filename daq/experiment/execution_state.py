"""The life of an execution: one table, and the record of every change that followed it.

Whatever affects state transitions lives here. Each change is timestamped and has a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from daq.core import ExecutionState, StateError, Transition

__all__ = ["TRANSITIONS", "Lifecycle"]

_PENDING = ExecutionState.PENDING
_RUNNING = ExecutionState.RUNNING
_PAUSED = ExecutionState.PAUSED
_STOPPING = ExecutionState.STOPPING
_COMPLETED = ExecutionState.COMPLETED
_ERROR = ExecutionState.ERROR
_STOPPED = ExecutionState.STOPPED
_KILLED = ExecutionState.KILLED

TRANSITIONS: Mapping[ExecutionState, frozenset[ExecutionState]] = MappingProxyType(
    {
        # A stop before the start needs no killing; a daemon that died leaves KILLED behind.
        _PENDING: frozenset({_RUNNING, _STOPPED, _KILLED, _ERROR}),
        _RUNNING: frozenset({_PAUSED, _STOPPING, _COMPLETED, _ERROR, _KILLED}),
        _PAUSED: frozenset({_RUNNING, _STOPPING, _ERROR, _KILLED}),
        # COMPLETED: the script had reached its end when the stop came.
        # ERROR: its own cleanup failed.
        _STOPPING: frozenset({_STOPPED, _COMPLETED, _ERROR, _KILLED}),
        _COMPLETED: frozenset(),
        _ERROR: frozenset(),
        _STOPPED: frozenset(),
        _KILLED: frozenset(),
    }
)


class Lifecycle:
    """The transitions of one execution, oldest first."""

    def __init__(self, now_ns: Callable[[], int], history: Iterable[Transition] = ()) -> None:
        self._now_ns = now_ns
        self._history = list(history) or [Transition(_PENDING, now_ns(), "submitted")]

    def __repr__(self) -> str:
        return f"<Lifecycle {' > '.join(t.state for t in self._history)}>"

    @property
    def state(self) -> ExecutionState:
        return self._history[-1].state

    @property
    def history(self) -> tuple[Transition, ...]:
        return tuple(self._history)

    def enter(self, state: ExecutionState, reason: str = "") -> None:
        """Change to `state`; raises StateError when the table does not allow it."""
        if state not in TRANSITIONS[self.state]:
            raise StateError(f"an execution cannot go from {self.state} to {state}")
        self._history.append(Transition(state, self._now_ns(), reason))

    def note(self, text: str) -> None:
        """Something happened that is part of the history and changes no state."""
        self._history.append(Transition(self.state, self._now_ns(), text))

    def active_ns(self) -> int:
        """Time spent running or stopping until now, pauses left out."""
        total = 0
        ends = [t.timestamp_ns for t in self._history[1:]] + [self._now_ns()]
        for transition, end in zip(self._history, ends, strict=True):
            if transition.state in (_RUNNING, _STOPPING):
                total += end - transition.timestamp_ns
        return total
