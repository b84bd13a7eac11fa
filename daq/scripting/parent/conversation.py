"""The daemon's side of the talk with one script: requests are performed, output is taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from daq.core import (
    DaqError,
    DeviceDescription,
    Ending,
    Interpreter,
    Log,
    OverloadError,
    Pause,
    ProgramEnd,
    Request,
    StopRequested,
)
from daq.scripting.codec import CodecError
from daq.scripting.limits import SandboxLimits
from daq.scripting.parent.allowance import Allowance
from daq.scripting.parent.background import BackgroundCall
from daq.scripting.parent.process import ConfinedProcess, read_message
from daq.scripting.parent.running_clock import RunningClock
from daq.scripting.protocol import (
    MAX_ANSWER_BYTES,
    Asked,
    Confined,
    Ended,
    Joined,
    Message,
    ProtocolError,
    Started,
    describe,
    frame,
    refusal,
)

__all__ = ["Conversation", "unconfined"]

UNDER_WAY_BYTES = 1 << 17
"""More than one frame of output: a script may have been waiting to send it when the stop came."""


class Conversation:
    """Reads frames until the script's last word, one at a time, and answers them in order."""

    def __init__(
        self,
        process: ConfinedProcess,
        interpreter: Interpreter,
        limits: SandboxLimits,
        clock: RunningClock,
        background: BackgroundCall,
        kill: Callable[[str], None],
    ) -> None:
        self._process = process
        self._interpreter = interpreter
        self._allowance = Allowance(limits)
        self._clock = clock
        self._background = background
        self._kill = kill
        self._told_to_stop = False
        self._said_before = 0
        """Bytes that were under way when the stop came, and are not taken yet."""
        self._hurry = trio.Event()
        self._performing = trio.CancelScope()
        self._gone = trio.Event()

    def stop_was_requested(self) -> None:
        """Nothing makes the script wait that need not, so that it comes to its checkpoint."""
        if not self._told_to_stop:
            self._allowance.refill()
            self._said_before = self._process.backlog() + UNDER_WAY_BYTES
        self._told_to_stop = True
        self._hurry.set()

    def process_died(self) -> None:
        """Nobody waits for the answer any more that is being made."""
        self._gone.set()
        self._hurry.set()
        self._performing.cancel()

    async def run(self) -> ProgramEnd | None:
        """Until the script's last word, or None when it ended without one."""
        try:
            while (payload := await self._process.receive()) is not None:
                self._said_before = max(0, self._said_before - len(payload))
                message = await read_message(payload)
                if isinstance(message, Ended):
                    return self._believed(message.end)
                await self._take(message)
        except ProtocolError as error:
            self._kill(f"the script's process broke the protocol and was ended: {error}")
        return None

    def _believed(self, end: ProgramEnd) -> ProgramEnd:
        if end.ending is Ending.STOPPED and not self._told_to_stop:
            raise ProtocolError("it claims to be stopped, but nobody asked for that")
        return end

    async def _take(self, message: Message) -> None:
        if isinstance(message, Asked) and (exceeded := self._allowance.spend(message.request)):
            self._kill(exceeded)
            return
        match message:
            case Asked(request=request, answered=False):
                await self._perform_one_way(request)
                await self._slow_down(request)
            case Asked(sequence=sequence, stopping=stopping, request=request):
                await self._answer(sequence, lambda: self._perform(request, stopping))
            case Started(sequence=sequence, stopping=stopping, call=call):
                stopping = stopping and self._told_to_stop
                await self._answer(sequence, lambda: self._background.start(call, stopping))
            case Joined(sequence=sequence, timeout=timeout):
                await self._answer(sequence, lambda: self._background.join(timeout, self._hurry))
            case Confined(layers=layers):
                self._kill(unconfined(layers))
            case _:
                raise ProtocolError(f"{type(message).__name__} belongs to another conversation")

    # Requests

    async def _answer(self, sequence: int, work: Callable[[], Awaitable[Any]]) -> None:
        with trio.CancelScope() as self._performing:
            if self._gone.is_set():
                self._performing.cancel()
            reply = await self._reply(sequence, work)
        if not self._performing.cancelled_caught:
            await self._process.send(reply)

    async def _reply(self, sequence: int, work: Callable[[], Awaitable[Any]]) -> bytes:
        try:
            return _encode(sequence, await work())
        except StopRequested:
            self.stop_was_requested()
            return frame([sequence, "stop"])
        except DaqError as error:
            return refusal(sequence, error)

    async def _perform(self, request: Request, stopping: bool) -> Any:
        stopping = stopping and self._told_to_stop
        if not isinstance(request, Pause):
            return await self._interpreter.perform(request, stopping=stopping)
        with self._clock.paused():
            return await self._interpreter.perform(request, stopping=stopping)

    async def _perform_one_way(self, request: Request) -> None:
        try:
            await self._interpreter.perform(request)
        except StopRequested:
            self.stop_was_requested()
        except DaqError as error:
            self._kill(f"what the script said could not be kept: {error}")

    async def _slow_down(self, request: Request) -> None:
        """Take no more for a while: what is not read fills the socket, and the script waits."""
        if self._said_before:
            return  # the script's answer to the stop comes behind it
        text = request.text if isinstance(request, Log) else ""
        delay = self._allowance.delay(text, trio.current_time())
        if delay:
            with trio.move_on_after(delay):
                await (self._gone if self._told_to_stop else self._hurry).wait()


def unconfined(layers: Any) -> str:
    """Why a script may not run here."""
    missing = ", ".join(f"{name}: {why}" for name, why in layers.items() if why != "active")
    return f"the kernel does not confine scripts here ({missing}); see scripts.allow_unconfined"


def _encode(sequence: int, value: Any) -> bytes:
    if isinstance(value, DeviceDescription):
        value = describe(value)
    try:
        data = frame([sequence, "ok", value])
    except CodecError as error:
        raise OverloadError(f"the answer cannot be handed to the script: {error}") from None
    if len(data) > MAX_ANSWER_BYTES:
        raise OverloadError(
            f"the answer has {len(data) / 1e6:.0f} MB, more than {MAX_ANSWER_BYTES / 1e6:.0f} MB",
            advice="take fewer frames or samples at a time",
        )
    return data
