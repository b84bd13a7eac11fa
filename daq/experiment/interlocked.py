"""What interlocks do to executions: hold, let go, stop."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import trio

from daq.core import ExecutionState, Log
from daq.experiment.control import ExecutionControl, StopOrder

__all__ = ["InterlockedPrograms"]

log = logging.getLogger(__name__)


class InterlockedPrograms:
    """What interlocks act on: whatever execution runs; see `daq.supervision.InterlockTarget`.

    An execution that starts while an interlock holds is held from its first line on.
    """

    def __init__(self, grace_s: float) -> None:
        self.grace_s = grace_s
        self._holds: dict[str, str] = {}
        self._control: ExecutionControl | None = None

    def __repr__(self) -> str:
        return f"<InterlockedPrograms held by {', '.join(self._holds) or 'none'}>"

    def begin(self, control: ExecutionControl) -> None:
        """This one runs from now on; called before it does."""
        self._control = control
        for interlock, reason in self._holds.items():
            control.hold(interlock, reason)

    def end(self) -> None:
        """None runs any more."""
        self._control = None

    def hold(self, interlock: str, reason: str, devices: Sequence[str] = ()) -> None:
        """Pause what runs and what starts, with a note of how `devices` are.

        Raises StateError when a device has a veto.
        """
        self._holds[interlock] = f"by {reason}"
        if self._control is not None:
            self._control.hold(interlock, f"by {reason}", devices)

    async def release(self, interlock: str, *, resume: bool) -> None:
        """What runs may go on; with `resume` it does, unless somebody else wants the pause."""
        self._holds.pop(interlock, None)
        if self._control is not None:
            await self._control.release(interlock, resume=resume)
        else:
            await trio.lowlevel.checkpoint()

    async def stop(self, interlock: str, reason: str, *, force: bool) -> None:
        """End what runs; what starts before the interlock has cleared is held."""
        self._holds[interlock] = f"by {reason}"
        if self._control is None:
            await trio.lowlevel.checkpoint()
            return
        order = StopOrder(force, self.grace_s, reason, f"interlock {interlock}")
        report = await self._control.stop(order)
        log.warning("%s: execution %s is %s", reason, report.execution_id[:8], report.state)

    async def kill(self, reason: str) -> None:
        """End what runs by force; nothing when none runs."""
        if self._control is None:
            await trio.lowlevel.checkpoint()
            return
        await self._control.stop(StopOrder(True, 0.0, reason))

    def say(self, text: str) -> None:
        """Write a line into the output of what runs."""
        execution = self._control.execution if self._control else None
        if execution is not None and execution.state is not ExecutionState.PENDING:
            execution.on_output(Log(text, "warning", execution.line))
