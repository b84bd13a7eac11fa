"""A script in its sandbox, as the execution that owns it sees it."""

from __future__ import annotations

import os
import signal
import unicodedata
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol

import trio

from daq.core import Ending, Interpreter, ParameterError, ProgramEnd, StateError
from daq.scripting.codec import CodecError
from daq.scripting.limits import SandboxLimits, reached
from daq.scripting.parent.background import BackgroundCall
from daq.scripting.parent.conversation import Conversation
from daq.scripting.parent.process import ConfinedProcess, open_process
from daq.scripting.parent.running_clock import RunningClock
from daq.scripting.parent.zygote import Zygote, ZygoteLostError
from daq.scripting.protocol import frame
from daq.scripting.shared_page import ControlWord

__all__ = ["LOST", "SandboxedProgram", "ZygoteSource"]

LOST = "the sandbox was lost"
_SIGNAL_AGAIN_S = 0.05
_LAST_MOMENTS_S = 0.5


class ZygoteSource(Protocol):
    """Whoever keeps a zygote alive."""

    async def zygote(self) -> Zygote:
        """The living zygote, after a short wait while it is restarted; raises StateError."""


class SandboxedProgram:
    """One run of one script in a process that is not trusted; implements `daq.core.Program`."""

    def __init__(
        self,
        zygotes: ZygoteSource,
        limits: SandboxLimits,
        script: str,
        filename: str,
        parameters: Mapping[str, Any],
        execution_id: str,
    ) -> None:
        self._zygotes = zygotes
        self._limits = limits
        self._script = script
        self._filename = filename
        self._parameters = dict(parameters)
        self._execution_id = execution_id
        self._lines = script.count("\n") + 1
        self._control = ControlWord.RUN
        self._killed: str | None = None
        self._scope = trio.CancelScope()
        self._clock = RunningClock()
        self._process: ConfinedProcess | None = None
        self._conversation: Conversation | None = None
        self._line = 0
        self._progress: float | None = None

    # What the execution says and asks

    def request_pause(self) -> None:
        """At the next checkpoint; a stop is stronger."""
        self._want(ControlWord.PAUSE)

    def request_resume(self) -> None:
        """Take a pause back."""
        self._want(ControlWord.RUN)

    def standing_still(self) -> AbstractContextManager[None]:
        """While it is kept waiting: that time does not count against `max_duration_s`."""
        return self._clock.paused()

    def request_stop(self) -> None:
        """Ask for a graceful stop: it is raised in the script once, and its cleanup runs."""
        self._want(ControlWord.STOP)

    def _want(self, wanted: ControlWord) -> None:
        if self._control is ControlWord.STOP:
            return
        self._control = wanted
        if self._process is not None:
            self._process.control(wanted)
        if self._conversation is not None and wanted is ControlWord.STOP:
            self._conversation.stop_was_requested()

    def kill(self, reason: str) -> None:
        """End the process now, from any state; the first reason counts."""
        if self._killed is None:
            self._killed = reason
        if self._process is not None:
            self._process.kill()
        self._scope.cancel()

    @property
    def line(self) -> int:
        """The line being executed, 0 before the first."""
        if self._process is not None:
            self._line = self._clamped(self._process.line)
        return self._line

    @property
    def progress(self) -> float | None:
        """0 to 1, or None while nothing is known."""
        if self._process is not None:
            self._progress = self._process.progress
        return self._progress

    async def locate(self, *, dying: bool = False) -> int:
        """The exact line now, also inside of a long C call; 0 when it cannot be told in time."""
        if self._process is None:
            await trio.lowlevel.checkpoint()
            return 0
        return self._clamped(await self._process.locate(dying=dying))

    def _clamped(self, line: int) -> int:
        return line if 0 < line <= self._lines else 0

    def __repr__(self) -> str:
        state = "running" if self._process else "not running"
        return (
            f"<SandboxedProgram {self._filename} {self._execution_id}: {state}, line {self.line}>"
        )

    # The run

    async def run(self, interpreter: Interpreter) -> ProgramEnd:
        """Run to the end; returns only when the process is gone.

        Raises ParameterError for parameters that cannot be handed over.
        """
        order = self._order()
        try:
            with self._scope:
                zygote = await self._zygotes.zygote()
                memory, scipy = self._limits.memory_mb, _mentions_scipy(self._script)
                async with open_process(
                    zygote, "run", self._control, memory, scipy=scipy
                ) as process:
                    return await self._follow(process, interpreter, order)
        except ZygoteLostError:
            pass
        except StateError as error:
            return self._killed_end(self._killed or error.message)
        return self._killed_end(self._killed or LOST)

    def _order(self) -> bytes:
        try:
            return frame([self._script, self._filename, self._parameters])
        except CodecError as error:
            raise ParameterError(
                f"the parameters cannot be handed to the script: {error}"
            ) from None

    async def _follow(
        self, process: ConfinedProcess, interpreter: Interpreter, order: bytes
    ) -> ProgramEnd:
        self._process = process
        process.control(self._control)  # what was asked for while it was being forked
        try:
            end = await self._conduct(process, interpreter, order)
            process.kill()
            return await self._verdict(process, end)
        finally:
            self._line, self._progress = self.line, self.progress
            self._process = self._conversation = None

    async def _conduct(
        self, process: ConfinedProcess, interpreter: Interpreter, order: bytes
    ) -> ProgramEnd | None:
        """The script's last word, or None without one."""
        end: ProgramEnd | None = None
        async with trio.open_nursery() as nursery:
            background = BackgroundCall(nursery, interpreter)
            conversation = self._conversation = Conversation(
                process, interpreter, self._limits, self._clock, background, self.kill
            )
            if self._control is ControlWord.STOP:
                conversation.stop_was_requested()
            nursery.start_soon(_watch_death, process, conversation)
            nursery.start_soon(self._insist, process)
            nursery.start_soon(self._enforce_duration)
            await process.send(order)
            end = await conversation.run()
            with trio.move_on_after(_LAST_MOMENTS_S):
                await process.wait_gone()
            nursery.cancel_scope.cancel()
        return end

    async def _insist(self, process: ConfinedProcess) -> None:
        """Signal again and again: a handler can itself fail, out of stack or memory."""
        while True:
            await trio.sleep(_SIGNAL_AGAIN_S)
            if self._control is not ControlWord.RUN:
                process.signal(signal.SIGUSR1)

    async def _enforce_duration(self) -> None:
        limit = self._limits.max_duration_s
        if limit is not None:
            await self._clock.wait_until(limit)
            self.kill(reached(f"{limit:g} s of run time", "max_duration_s"))

    # The end

    async def _verdict(self, process: ConfinedProcess, end: ProgramEnd | None) -> ProgramEnd:
        if self._killed is not None:
            return self._killed_end(self._killed)
        if end is not None:
            return replace(end, line=self._clamped(end.line))
        with trio.CancelScope(shield=True):
            status = await process.wait_status()
        if status is None:
            return self._killed_end(LOST)
        return self._killed_end(_cause_of_death(status), self._clamped(process.crash_line()))

    def _killed_end(self, reason: str, line: int = 0) -> ProgramEnd:
        return ProgramEnd(Ending.KILLED, reason, line=line or self.line)


async def _watch_death(process: ConfinedProcess, conversation: Conversation) -> None:
    await process.wait_gone()
    conversation.process_died()


def _cause_of_death(status: int) -> str:
    """In words, from `os.waitpid`'s status."""
    if not os.WIFSIGNALED(status):
        return (
            f"the script's process ended by itself with status {os.waitstatus_to_exitcode(status)}"
        )
    number = os.WTERMSIG(status)
    if number == signal.SIGSYS:
        return "the script's process made a forbidden system call and was ended by the kernel"
    name = signal.Signals(number).name
    if number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL):
        return f"the script crashed the interpreter ({name})"
    return f"the script's process was ended from outside ({name})"


def _mentions_scipy(script: str) -> bool:
    # As Python reads names: it normalises them.
    return "scipy" in unicodedata.normalize("NFKC", script)
