"""The pauses of one execution: who asked, what the devices do meanwhile, who may let it go on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext

import trio

from daq.core import DaqError, ExecutionState, InterlockError, Log, Program, StateError
from daq.experiment.execution import Execution
from daq.experiment.run_engine import RunEngine

__all__ = ["PERSON", "Pausing"]

log = logging.getLogger(__name__)

PERSON = ""
"""Stands for people among those who ask for a pause; the others are interlocks, by name."""


class Pausing:
    """A pause lasts until nobody wants it any more.

    People want it until somebody resumes. An interlock wants it while it is tripped, and nobody
    can resume meanwhile; afterwards until it resumes by itself, or somebody does.
    """

    def __init__(self, execution: Execution, program: Program, engine: RunEngine) -> None:
        self._execution = execution
        self._program = program
        self._engine = engine
        self._wanted: dict[str, str] = {}
        self._tripped: set[str] = set()
        self._forced: list[str] = []
        """What people have commanded by force since the pause was asked for."""
        self._resumed = trio.Event()
        self._changing = trio.Lock()
        """Only one resume, or one arrival at the pause, at a time. Making safe never takes it."""
        self._nursery: trio.Nursery | None = None
        self._telling = 0
        """How many tasks are telling devices what the pause means for them."""
        self._told = trio.Event()
        self._restoring = trio.CancelScope()
        self._waiters = 0
        """How many requests of the program wait for the resume."""
        self._ended = False

    def __repr__(self) -> str:
        return f"<Pausing of {self._execution!r}: {', '.join(self._wanted.values()) or 'nobody'}>"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry out, at once, what a pause means for devices; until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None  # the end of the execution makes its devices safe itself

    def request(self, who: str, reason: str, devices: Sequence[str] = ()) -> None:
        """Ask for a pause: now where the call in flight can be repeated, else at a checkpoint.

        What it means for devices is done at once, wherever the program stands.

        Args:
            who: `PERSON`, or the name of an interlock that has tripped.
            reason: For the record: `by ada`, or `interlock hot: ...`.
            devices: What the interlock makes safe; how that was is noted before this returns.

        Raises:
            StateError: A device has a veto.
        """
        if not self._wanted:
            self._engine.refuse_vetoed_pause()
            self._resumed, self._forced = trio.Event(), []
        self._wanted[who] = reason
        if who != PERSON:
            self._tripped.add(who)
        self._restoring.cancel()
        if self._execution.state in (ExecutionState.RUNNING, ExecutionState.PAUSED):
            self._program.request_pause()
            self._engine.pause_now(devices, protecting=who != PERSON)
            self._tell_soon()
            self._execution.touch()

    def on_forced(self, text: str) -> None:
        """Somebody commanded a device by force: who resumes shall know."""
        if self._wanted:
            self._forced.append(text)

    def outstanding(self) -> tuple[str, ...]:
        """What a pause that was asked for has not yet reached; empty when it has."""
        if not self._wanted or self._execution.state is not ExecutionState.RUNNING:
            return ()
        said = [f"the script stands at its next checkpoint only (line {self._execution.line})"]
        if self._telling:
            said.append("devices are still being told")
        return tuple(said)

    async def resume(self, reason: str) -> None:
        """Let it go on, with the devices as they were; also takes back a pause not yet reached.

        Raises InterlockError while one is tripped, and DaqError when a device is not as it was and
        cannot be brought back: it stays paused then. A trip meanwhile breaks it off.
        """
        self._require_cleared()
        async with self._changing:
            if self._engine.paused_devices:
                restored = await self._restore()
                if restored:
                    reason = f"{reason}; put back: {', '.join(restored)}"
            self._require_cleared()
            if self._ended:
                raise StateError("it was stopped before it was resumed")
            if self._forced:
                reason = f"{reason}; meanwhile: {'; '.join(self._forced)}"
            if self._execution.state is ExecutionState.PAUSED:
                self._execution.enter(ExecutionState.RUNNING, reason)
            self._wanted.clear()
            self._engine.forget_pause()
            self._program.request_resume()
            self._resumed.set()

    async def lift(self, interlock: str, reason: str, *, resume: bool) -> None:
        """An interlock has cleared: from now on people may resume, or it resumes by itself."""
        self._tripped.discard(interlock)
        if not resume or interlock not in self._wanted or len(self._wanted) > 1:
            if resume:
                self._wanted.pop(interlock, None)
            await trio.lowlevel.checkpoint()
            return
        if self._forced:
            self._wait_for_person(f"meanwhile {'; '.join(self._forced)}")
            return
        try:
            await self.resume(reason)
        except DaqError as error:
            if interlock not in self._tripped:
                self._wait_for_person(error.message)

    def _wait_for_person(self, why: str) -> None:
        self._wanted.setdefault(PERSON, "waits for a person")
        self._say(f"could not resume by itself: {why}")

    def end(self) -> None:
        """A stop came: nobody is waited for any more."""
        self._ended = True
        self._wanted.clear()
        self._engine.forget_pause()
        self._restoring.cancel()
        self._told.set()
        self._resumed.set()

    async def wait_reached(self) -> None:
        """Wait until a requested pause is reached, taken back or overtaken by the end."""
        version = 0
        while self._wanted and self._execution.state is ExecutionState.RUNNING:
            version = await self._execution.wait_changed(version)

    async def reached(self, line: int) -> None:
        """The program stands still; returns when it may go on, or must end."""
        if not self._wanted or not self._is_alive():
            await trio.lowlevel.checkpoint()
            return
        self._waiters += 1
        try:
            with self._program.standing_still() if self._waiters == 1 else nullcontext():
                async with self._changing:
                    await self._enter_pause(line)
                if self._wanted:
                    await self._resumed.wait()
        finally:
            self._waiters -= 1

    async def _enter_pause(self, line: int) -> None:
        if self._wanted and self._execution.state is ExecutionState.RUNNING:
            self._tell_soon()  # what the program has used since the pause was asked for
            while self._telling and not self._ended:
                await self._told.wait()
        if self._wanted and self._execution.state is ExecutionState.RUNNING:
            reasons = " and ".join(self._wanted.values())
            self._execution.enter(ExecutionState.PAUSED, f"paused {reasons} at line {line}")

    def _is_alive(self) -> bool:
        return self._execution.state in (ExecutionState.RUNNING, ExecutionState.PAUSED)

    def _tell_soon(self) -> None:
        if self._nursery is not None:
            self._telling += 1
            self._told = trio.Event()
            self._nursery.start_soon(self._tell)

    async def _tell(self) -> None:
        try:
            for paused in await self._engine.hold_devices():
                if paused.problem:
                    self._say(f"paused, but {paused.problem}")
        finally:
            self._telling -= 1
            if not self._telling:
                self._told.set()

    async def _restore(self) -> tuple[str, ...]:
        """Put back what the pause has changed; says what that was."""
        restored: tuple[str, ...] | None = None
        try:
            with trio.CancelScope() as self._restoring:
                restored = await self._engine.paused_devices.restore()
        finally:
            if (restored is None or self._tripped) and not self._ended:
                # It goes on being paused, so what was restored already must not stay so.
                with trio.CancelScope(shield=True):  # bounded for each device
                    await self._engine.paused_devices.tell_again()
        if restored is None and not self._tripped and not self._ended:
            raise StateError("the resume was broken off by another pause")
        return restored or ()

    def _require_cleared(self) -> None:
        if self._tripped:
            reasons = ", ".join(self._wanted.get(name, name) for name in sorted(self._tripped))
            raise InterlockError(
                f"execution {self._execution.id[:8]} cannot be resumed: {reasons}",
                advice="see `interlocks`; `interlocks --reset NAME` releases what is latched",
            )

    def _say(self, text: str) -> None:
        log.warning("execution %s: %s", self._execution.id[:8], text)
        self._execution.on_output(Log(text, "warning", self._program.line))
