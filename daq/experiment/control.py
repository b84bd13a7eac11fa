"""Conducts one execution's program: runs it, pauses it, stops it, brings it to a verified end.

However a program ends, by itself, by a stop, by a crash or with the daemon, it goes the same way:
hardware safe, run closed, what happened on record.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import trio

from daq.core import (
    DaqError,
    DeviceStop,
    Ending,
    ExecutionRecord,
    ExecutionState,
    ParameterError,
    Program,
    ProgramEnd,
    RunOutcome,
    StateError,
    StopOutcome,
    StopReport,
    StorageError,
)
from daq.experiment.execution import Execution
from daq.experiment.pausing import PERSON, Pausing
from daq.experiment.run_engine import RunEngine
from daq.storage import Storage
from daq.supervision import PauseRule, Supervisor

__all__ = ["ExecutionControl", "StopOrder", "already_ended"]

log = logging.getLogger(__name__)

LOCATE_PERIOD_S = 0.1
"""However many watch, a program is asked for its exact line this often at most."""
CLOSING_WAIT_S = 40.0
"""For how long an end waits for the file of its run, which may be large; it goes on without it.

Storage says after 30 s that a disk does nothing, which is worth to be heard.
"""
FORCED_S = 1.5
"""After a force stop it waits no longer than until then, and a moment at least."""
MOMENT_S = 0.25

_OUTCOMES: Mapping[ExecutionState, RunOutcome] = {
    ExecutionState.COMPLETED: RunOutcome.COMPLETED,
    ExecutionState.ERROR: RunOutcome.FAILED,
    ExecutionState.STOPPED: RunOutcome.STOPPED,
    ExecutionState.KILLED: RunOutcome.KILLED,
}


@dataclass(frozen=True, slots=True)
class StopOrder:
    """Somebody's wish that an execution ends."""

    force: bool
    grace_s: float
    reason: str = ""
    user: str = ""

    def __post_init__(self) -> None:
        if math.isnan(self.grace_s):
            raise ParameterError("the grace of a stop is a number of seconds, not nan")

    def __str__(self) -> str:
        kind = "force stop" if self.force else "stop"
        by = f" by {self.user}" if self.user else ""
        return f"{kind}{by}: {self.reason}" if self.reason else f"{kind}{by}"


def already_ended(record: ExecutionRecord) -> StopReport:
    """The answer to a stop that comes too late: it changes nothing."""
    why = f" ({record.message})" if record.message else ""
    return StopReport(record.id, record.state, f"had already ended: {record.state}{why}", 0.0)


class ExecutionControl:
    """The controls of one started execution."""

    def __init__(
        self,
        execution: Execution,
        program: Program,
        supervisor: Supervisor,
        storage: Storage,
        pause_rules: Mapping[str, PauseRule] = MappingProxyType({}),
    ) -> None:
        self.execution = execution
        self._program = execution.program = program
        self._supervisor = supervisor
        self._engine = RunEngine(
            execution, supervisor, storage, self._on_forced, self._on_paused, pause_rules
        )
        self._pausing = Pausing(execution, program, self._engine)
        self._asked: StopOrder | None = None
        """The first graceful stop."""
        self._forced: StopOrder | None = None
        """What it is killed for: the first force stop, or a graceful one that took too long."""
        self._ordered = trio.Event()
        self._ordered_at = 0.0
        self._grace = trio.CancelScope()
        self._closing = trio.CancelScope()
        """Of who waits for the file of the run."""
        self._forced_at = 0.0
        self._escalated = False
        self._stopped_at_line = 0
        self._located = (-LOCATE_PERIOD_S, 0)
        """When its exact line was asked for, and what it was."""
        self._devices: tuple[DeviceStop, ...] = ()
        self._held_back: dict[str, tuple[str, Sequence[str]]] = {}
        """Interlocks that had tripped before it started, with the reason and what is made safe."""

    async def locate(self) -> int:
        """The exact line, also inside a long C call; at most `LOCATE_PERIOD_S` old."""
        asked, line = self._located
        if self.execution.finished.is_set():
            line = self.execution.line
        elif trio.current_time() - asked >= LOCATE_PERIOD_S:
            self._located = (trio.current_time(), line)  # nobody else asks meanwhile
            line = await self._locate_now()
        else:
            await trio.lowlevel.checkpoint()
        return line or self.execution.line

    async def _locate_now(self, *, dying: bool = False) -> int:
        line = await self._program.locate(dying=dying) or self.execution.line
        self._located = (trio.current_time(), line)
        return line

    async def run(self) -> None:
        """Run to the verified end. When cancelled, the program is killed and all is made safe."""
        self.execution.enter(ExecutionState.RUNNING, "started")
        end = ProgramEnd(Ending.KILLED, "the daemon ended")
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._pausing.run)
                for interlock, (reason, devices) in self._held_back.items():
                    self._pausing.request(interlock, reason, devices)
                nursery.start_soon(self._enforce_grace)
                end = await self._run_program()
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await self._conclude(end)

    async def _run_program(self) -> ProgramEnd:
        """Whatever the program's host raises fails this execution, and no other."""
        try:
            return await self._program.run(self._engine)
        except DaqError as error:
            return ProgramEnd(Ending.FAILED, error.message)
        except Exception as error:
            log.exception("execution %s failed inside of the daemon", self.execution.id[:8])
            return ProgramEnd(Ending.FAILED, f"internal error: {type(error).__name__}: {error}")

    def _stops_now(self) -> tuple[DeviceStop, ...]:
        """What each device did; what was owed may have been done since."""
        return tuple(
            replace(stop, owed=self._supervisor.is_owed(stop.device)) if stop.owed else stop
            for stop in self._devices
        )

    async def _conclude(self, end: ProgramEnd) -> None:
        """Hardware first, then the record. Each part is bounded by a deadline of its own."""
        self._pausing.end()
        self.execution.ended_at = end.line
        state, message = self._verdict(end)
        if state is not ExecutionState.COMPLETED:
            await self._make_safe()
        try:
            is_closed = await self._close_run(state, message)
            if not is_closed and self._forced is not None and state is ExecutionState.COMPLETED:
                await self._make_safe()
                is_closed = await self._close_run(state, message)
        except StorageError as error:
            log.exception("execution %s: the run could not be closed", self.execution.id[:8])
            state, message = ExecutionState.ERROR, f"the run could not be closed: {error}"
        else:
            late = "" if is_closed else "the file of its run is not complete yet"
            message = "; ".join(filter(None, (message, late)))
        self.execution.message = message
        self.execution.traceback = end.traceback
        self.execution.result, self.execution.result_refused = end.result, end.refused
        self.execution.enter(state, message)
        self._engine.release_devices()
        self.execution.finished.set()

    async def _make_safe(self) -> None:
        self._devices = await self._engine.make_safe()
        self.execution.device_stops = self._stops_now
        for stop in self._devices:
            if stop.outcome in (StopOutcome.REFUSED, StopOutcome.UNREACHABLE):
                log.error("device %s was not made safe: %s", stop.device, stop.message)

    async def _close_run(self, state: ExecutionState, message: str) -> bool:
        """Close the run; False when its file takes longer than anybody should wait.

        Storage goes on with it then, and says on the run's record how that ends.
        """
        order = self._forced if state is ExecutionState.KILLED else self._asked
        now = trio.current_time()
        until = now + CLOSING_WAIT_S
        if self._forced is not None:
            until = max(now + MOMENT_S, self._forced_at + FORCED_S)
        elif self._asked is not None:
            until = min(until, max(now + FORCED_S, self._grace.deadline))
        self._closing = trio.CancelScope(deadline=until)
        with self._closing:
            await self._engine.close_run(_OUTCOMES[state], message, order.user if order else "")
        return not self._closing.cancelled_caught

    def _verdict(self, end: ProgramEnd) -> tuple[ExecutionState, str]:
        order = self._asked
        match end.ending:
            case Ending.COMPLETED:
                return ExecutionState.COMPLETED, end.message
            case Ending.FAILED if order is not None:
                return ExecutionState.ERROR, f"its cleanup after a {order} failed: {end.message}"
            case Ending.FAILED:
                return ExecutionState.ERROR, end.message
            case Ending.STOPPED if order is not None:
                return ExecutionState.STOPPED, str(order)
            case Ending.STOPPED:
                return ExecutionState.KILLED, "it ended as if stopped, but nobody had asked for it"
            case Ending.KILLED:
                return ExecutionState.KILLED, end.message

    # ----------------------------------------------------------------------------------- stopping

    async def stop(self, order: StopOrder) -> StopReport:
        """End it. Returns when the end is verified; safe to call at any time, by anybody."""
        began = trio.current_time()
        if self.execution.state.is_final:
            await trio.lowlevel.checkpoint()
            return already_ended(self.execution.record())
        if order.force:
            await self._kill(order, str(order))
        elif self._asked is None:
            await self._begin_graceful(order)
        else:
            # A more impatient one moves the deadline of the first; none ever extends it.
            self._grace.deadline = min(self._grace.deadline, self._ordered_at + order.grace_s)
            self._closing.deadline = min(self._closing.deadline, self._grace.deadline)
        await self.execution.finished.wait()
        return StopReport(
            self.execution.id,
            self.execution.state,
            self.execution.message,
            trio.current_time() - began,
            devices=self._stops_now(),
            line=self._stopped_at_line,
            escalated=self._escalated,
        )

    async def _begin_graceful(self, order: StopOrder) -> None:
        # A program that waits for an answer stands where it asked; one that computes must be asked,
        # before it moves on to its cleanup.
        waits = self._engine.busy or self.execution.state is ExecutionState.PAUSED
        self._asked = order
        self._ordered_at = trio.current_time()
        self._stopped_at_line = self.execution.line
        self.execution.enter(ExecutionState.STOPPING, str(order))
        self._engine.begin_stop()
        self._pausing.end()
        self._grace.deadline = self._ordered_at + order.grace_s
        self._closing.deadline = min(self._closing.deadline, self._grace.deadline)
        self._ordered.set()
        try:
            if not waits:
                self._stopped_at_line = await self._locate_now() or self._stopped_at_line
        finally:
            self._program.request_stop()

    async def _enforce_grace(self) -> None:
        """Turn a graceful stop that passed its deadline into a force stop."""
        await self._ordered.wait()
        with self._grace:
            await self.execution.finished.wait()
        order = self._asked
        if order is None or self._forced is not None:
            return  # somebody was faster
        self._escalated = True
        grace = self._grace.deadline - self._ordered_at
        reason = f"{order}; it had not ended when the grace period of {grace:g} s was over"
        await self._kill(order, reason)

    async def _kill(self, order: StopOrder, reason: str) -> None:
        """Kill the program, after asking where it stands: that is the line that hung.

        Of several the first counts, and it is carried out also when who asked is cancelled.
        """
        if self._forced is not None:
            return
        self._forced, line = order, 0
        self._forced_at = trio.current_time()
        self._closing.cancel()
        self._engine.note_ending()
        try:
            line = await self._locate_now(dying=True)
        finally:
            self._stopped_at_line = line or self._stopped_at_line
            self._program.kill(f"{reason} (at line {line})" if line else reason)

    # ------------------------------------------------------------------------------------ pausing

    def pause(self, user: str) -> None:
        """Ask it to pause. Raises StateError unless it runs, or when a device has a veto."""
        self._require(ExecutionState.RUNNING, ExecutionState.PAUSED, may="pause")
        self._pausing.request(PERSON, f"by {user}" if user else "on request")

    async def resume(self, user: str) -> None:
        """Let it go on; also takes back a pause that has not been reached yet."""
        self._require(ExecutionState.PAUSED, ExecutionState.RUNNING, may="resume")
        await self._pausing.resume(f"resumed by {user}" if user else "resumed")

    def hold(self, interlock: str, reason: str, devices: Sequence[str] = ()) -> None:
        """An interlock has tripped: pause, and stay so until it has cleared.

        It makes `devices` safe: how they are is noted now, and put back before it goes on.

        Raises StateError when a device has a veto.
        """
        if self.execution.state is ExecutionState.PENDING:
            self._held_back[interlock] = (reason, devices)
        elif self.execution.state in (ExecutionState.RUNNING, ExecutionState.PAUSED):
            self._pausing.request(interlock, reason, devices)

    async def release(self, interlock: str, *, resume: bool) -> None:
        """The interlock has cleared; with `resume`, go on unless somebody else wants the pause."""
        reason = f"resumed: interlock {interlock} has cleared"
        await self._pausing.lift(interlock, reason, resume=resume)

    def pause_outstanding(self) -> tuple[str, ...]:
        """What a pause that was asked for has not yet reached."""
        return self._pausing.outstanding()

    async def wait_paused(self) -> None:
        """Wait until a requested pause is reached, taken back or overtaken by the end."""
        await self._pausing.wait_reached()

    def _require(self, *states: ExecutionState, may: str) -> None:
        state = self.execution.state
        if state not in states:
            raise StateError(
                f"execution {self.execution.id[:8]} is {state}; only a {states[0]} one can {may}"
            )

    # --------------------------------------------------------------------- what the engine reports

    def _on_forced(self, text: str) -> None:
        self.execution.note(text)
        self._pausing.on_forced(text)

    async def _on_paused(self, line: int) -> None:
        await self._pausing.reached(line or self.execution.line)
