"""A running script's relation to the daemon: requests, checkpoints, stop, pause, sleep, line."""

from __future__ import annotations

import math
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn, SupportsFloat

from daq import core
from daq.core import Call, DaqError, Pause, Request
from daq.scripting.child.link import Link
from daq.scripting.codec import CodecError, require_sendable
from daq.scripting.policy.compiler import SCRIPT
from daq.scripting.protocol import MAX_FRAME_BYTES, encode_request, frame
from daq.scripting.shared_page import ControlWord, SharedPage
from daq.scripting.signals import STACK_HEAD

__all__ = ["ScriptStop", "Session"]

_LONGEST_POLL_S = 1e6
_ERRORS: dict[str, type[DaqError]] = {
    kind.kind: kind
    for kind in vars(core).values()
    if isinstance(kind, type) and issubclass(kind, DaqError)
}


class ScriptStop(BaseException):
    """A graceful stop. Not an Exception, so that no script catches it."""


class Session:
    """One script's conversation; `globals` is the namespace that it runs in."""

    def __init__(self, link: Link, page: SharedPage, trace: int) -> None:
        self._link = link
        self._page = page
        self._trace = trace
        self._sequence = 0
        self.stopping = False
        self.globals: dict[str, Any] = {"_halt_": False}
        self._wake, wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGUSR1, self._on_control)
        signal.signal(signal.SIGUSR2, self._on_question)

    def _on_control(self, _number: int, _frame: FrameType | None) -> None:
        self.globals["_halt_"] = True

    def _on_question(self, _number: int, frame: FrameType | None) -> None:
        """Say where the script is, in the form of a stack."""
        try:
            while frame is not None and frame.f_code.co_filename != SCRIPT:
                frame = frame.f_back
            if frame is not None:
                line = (
                    f' {STACK_HEAD.decode()}\n  File "{SCRIPT}", line {frame.f_lineno} in script\n'
                )
                os.write(self._trace, line.encode())
        except (OSError, MemoryError, RecursionError):
            pass  # the daemon asks again; the script must not feel it

    # Checkpoints

    def check_for_stop(self) -> None:
        """Look for a stop or pause that came before the signal handler stood."""
        self.globals["_halt_"] = self._page.control != ControlWord.RUN

    def checkpoint(self, line: int) -> bool:
        """Stop or pause here if that is wanted; True, so that it can stand in an expression."""
        if self.stopping:
            if not _cleaning_up():
                # Something lost the stop on its way out: an error in a `finally` that a handler
                # further out took for an ordinary one, or a generator that was collected.
                raise ScriptStop
            return True
        self.globals["_halt_"] = False
        while (control := self._page.control) != ControlWord.RUN:
            self._page.line = line
            if control == ControlWord.STOP:
                self._stop()
            self._exchange(Pause(line))
        return True

    def checkpoint_here(self) -> None:
        """A checkpoint at the script's current line, which is also noted."""
        self._page.line = line = self.line()
        if self.globals["_halt_"]:
            self.checkpoint(line)

    def stop_requested(self) -> bool:
        """Whether a stop is on its way."""
        return self.stopping or self._page.control == ControlWord.STOP

    def _stop(self) -> NoReturn:
        self.stopping = True
        self.globals["_halt_"] = True  # from now on each checkpoint watches over the stop
        raise ScriptStop

    @staticmethod
    def line() -> int:
        """The script's line that is being executed, from inside of anything that it called."""
        caller: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no public way
        while caller is not None:
            if caller.f_code.co_filename == SCRIPT:
                return caller.f_lineno
            caller = caller.f_back
        return 0

    # Requests

    def request(self, request: Request) -> Any:
        """Ask, wait, and return the answer; a stop or an error is raised here."""
        self.checkpoint_here()
        return self._exchange(request)

    def tell(self, request: Request) -> None:
        """Send what needs no answer."""
        self.checkpoint_here()
        self._link.send(_sized(encode_request(0, self.stopping, request)))

    def start(self, call: Call) -> None:
        """Begin a call that goes on in the background; `join` waits for it."""
        self.checkpoint_here()
        self._exchange(["start", call.device, call.operation, list(call.arguments)])

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the call in the background; has it ended?"""
        self.checkpoint_here()
        return bool(self._exchange(["join", timeout]))

    def _exchange(self, asked: Request | list[Any]) -> Any:
        self._sequence += 1
        sequence = self._sequence
        try:
            if isinstance(asked, list):
                require_sendable(asked)
                data = frame([asked[0], sequence, self.stopping, *asked[1:]])
            else:
                data = encode_request(sequence, self.stopping, asked)
            data = _sized(data)
        except CodecError as error:
            raise TypeError(str(error)) from None
        self._link.send(data)
        return self._take(self._answer(sequence))

    def _answer(self, sequence: int) -> list[Any]:
        while True:
            answer: list[Any]
            number, *answer = self._link.receive()
            # Out of memory or stack between question and answer leaves an old answer behind.
            if number == sequence:
                return answer

    def _take(self, answer: list[Any]) -> Any:
        match answer:
            case ["ok", value]:
                return value
            case ["stop"] if not self.stopping:
                self._stop()
            case ["stop"]:
                raise core.StateError("refused, because the script is being stopped")
            case ["error", kind, message, advice]:
                raise _ERRORS.get(kind, DaqError)(message, advice=advice)
        raise AssertionError(f"the daemon answered {answer!r}")

    # Time

    def sleep(self, seconds: float) -> None:
        """Wait; a stop or a pause is heeded at once."""
        if not isinstance(seconds, SupportsFloat) or math.isnan(seconds):
            raise ValueError(f"sleep() takes a number of seconds, not {seconds!r:.60}")
        seconds = float(seconds)
        deadline = time.monotonic() + seconds
        while True:
            self.checkpoint_here()
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            self._drain()
            if not self.globals["_halt_"] or self.stopping:
                self._poll.poll(min(remaining, _LONGEST_POLL_S) * 1000)

    def _drain(self) -> None:
        try:
            os.read(self._wake, 4096)
        except BlockingIOError:
            pass


def _sized(data: bytes) -> bytes:
    if len(data) > MAX_FRAME_BYTES:
        raise CodecError(
            f"what is sent has {len(data) / 2**20:.1f} MB, more than the limit of "
            f"{MAX_FRAME_BYTES >> 20} MB for one request"
        )
    return data


def _cleaning_up() -> bool:
    """Whether a stop is being handled right now, so that what runs is its cleanup."""
    return any(isinstance(error, ScriptStop) for error in _chain(sys.exception()))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__context__
