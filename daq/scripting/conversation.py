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
from daq.scripting.background import BackgroundCall
from daq.scripting.codec import CodecError
from daq.scripting.limits import SandboxLimits
from daq.scripting.process import ConfinedProcess, read_message
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
from daq.scripting.running_clock import RunningClock
from daq.scripting.throttle import TokenBucket

__all__ = ["Conversation", "unconfined"]

_BURST_S = 2.0


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
        self._limits = limits
        self._clock = clock
        self._background = background
        self._kill = kill
        self._told_to_stop = False
        self._hurry = trio.Event()
        self._performing = trio.CancelScope()
        self._dead = False
        self._output_bytes = 0
        self._byte_bucket = _bucket(limits.output_bytes_per_s)
        self._line_bucket = _bucket(limits.output_lines_per_s)

    def stop_was_requested(self) -> None:
        """From now on nothing makes the script wait that need not."""
        self._told_to_stop = True
        self._hurry.set()

    def process_died(self) -> None:
        """Nobody waits for the answer any more that is being made."""
        self._dead = True
        self._hurry.set()
        self._performing.cancel()

    async def run(self) -> ProgramEnd | None:
        """Until the script's last word, or None when it ended without one."""
        try:
            while (payload := await self._process.receive()) is not None:
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
        match message:
            case Asked(request=Log() as log):
                await self._take_output(log)
            case Asked(request=request, answered=False):
                await self._perform_one_way(request)
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
            if self._dead:
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

    # Output

    async def _take_output(self, log: Log) -> None:
        size = len(log.text.encode())
        self._output_bytes += size
        if self._output_bytes > self._limits.max_output_bytes:
            limit = self._limits.max_output_bytes
            self._kill(f"the limit of {limit} bytes of output was reached (max_output_bytes)")
            return
        await self._perform_one_way(log)
        now = trio.current_time()
        delay = max(self._byte_bucket.spend(size, now), self._line_bucket.spend(1, now))
        if delay and not self._hurry.is_set():
            # Unread output fills the socket, and the script waits in its print.
            with trio.move_on_after(delay):
                await self._hurry.wait()


def unconfined(layers: Any) -> str:
    """Why a script may not run here."""
    missing = ", ".join(f"{name}: {why}" for name, why in layers.items() if why != "active")
    return f"the kernel does not confine scripts here ({missing}); see scripts.allow_unconfined"


def _bucket(rate: float) -> TokenBucket:
    return TokenBucket(rate, rate * _BURST_S)


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
