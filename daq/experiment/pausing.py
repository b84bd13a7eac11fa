"""The pauses of one execution: who asked, what the devices do meanwhile, who may let it go on."""

from __future__ import annotations

import logging

import trio

from daq.core import DaqError, ExecutionState, InterlockError, Log, Program, StateError
from daq.experiment.execution import Execution
from daq.experiment.run_engine import RunEngine
from daq.supervision import PausedDevice

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
        self._held: tuple[PausedDevice, ...] = ()
        self._resumed = trio.Event()
        self._changing = trio.Lock()
        """Devices are told and restored one pause at a time."""
        self._telling = trio.CancelScope()
        self._ended = False

    def __repr__(self) -> str:
        return f"<Pausing of {self._execution!r}: {', '.join(self._wanted.values()) or 'nobody'}>"

    def request(self, who: str, reason: str) -> None:
        """Ask for a pause: now where the call in flight can be repeated, else at a checkpoint.

        Args:
            who: `PERSON`, or the name of an interlock that has tripped.
            reason: For the record: `by ada`, or `interlock hot: ...`.

        Raises:
            StateError: A device has a veto.
        """
        if not self._wanted:
            self._engine.refuse_vetoed_pause()
            self._resumed = trio.Event()
        self._wanted[who] = reason
        if who != PERSON:
            self._tripped.add(who)
        if self._execution.state is ExecutionState.RUNNING:
            self._program.request_pause()
            self._engine.pause_now()
            self._execution.touch()

    async def resume(self, reason: str) -> None:
        """Let it go on, with the devices as they were; also takes back a pause not yet reached.

        Raises InterlockError while one is tripped, and DaqError when a device cannot be brought
        back to how it was: it stays paused then.
        """
        self._require_cleared()
        async with self._changing:
            if self._execution.state is ExecutionState.PAUSED:
                restored = await self._restore()
                self._require_cleared()  # one may have tripped meanwhile
                if self._ended:
                    raise StateError("it was stopped before it was resumed")
                if restored:
                    reason = f"{reason}; put back: {', '.join(restored)}"
                self._execution.enter(ExecutionState.RUNNING, reason)
            self._wanted.clear()
            self._engine.forget_pause()
            self._program.request_resume()
            self._resumed.set()

    async def lift(self, interlock: str, reason: str, *, resume: bool) -> None:
        """An interlock has cleared: from now on people may resume, or it resumes by itself."""
        self._tripped.discard(interlock)
        if not resume or self._wanted.pop(interlock, None) is None or self._wanted:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self.resume(reason)
        except DaqError as error:
            self._wanted.setdefault(PERSON, "waits for a person")
            self._say(f"could not resume by itself: {error.message}")

    def end(self) -> None:
        """A stop came: nobody is waited for any more."""
        self._ended = True
        self._wanted.clear()
        self._engine.forget_pause()
        self._telling.cancel()
        self._resumed.set()

    async def wait_reached(self) -> None:
        """Wait until a requested pause is reached, taken back or overtaken by the end."""
        version = 0
        while self._wanted and self._execution.state is ExecutionState.RUNNING:
            version = await self._execution.wait_changed(version)

    async def reached(self, line: int) -> None:
        """The program stands still; returns when it may go on, or must end."""
        if not self._wanted or self._execution.state is not ExecutionState.RUNNING:
            await trio.lowlevel.checkpoint()
            return
        with self._program.standing_still():
            async with self._changing:
                await self._hold()
                if self._ended:
                    return
                reasons = " and ".join(self._wanted.values())
                self._execution.enter(ExecutionState.PAUSED, f"paused {reasons} at line {line}")
            await self._resumed.wait()

    async def _hold(self) -> None:
        with trio.CancelScope() as self._telling:
            self._held = await self._engine.hold_devices()
        for held in self._held:
            if held.problem:
                self._say(f"paused, but {held.problem}")

    async def _restore(self) -> tuple[str, ...]:
        """Put back what the pause has changed; says what that was."""
        restored: tuple[str, ...] | None = None
        try:
            with trio.CancelScope() as self._telling:
                restored = await self._engine.restore_devices(self._held)
        finally:
            if restored is None and not self._ended:
                # It goes on being paused, so what was restored already must not stay so.
                with trio.CancelScope(shield=True):  # bounded for each device
                    await self._engine.hold_devices()
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
