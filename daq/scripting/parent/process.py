"""One confined process as the daemon holds it: its connection, its shared page and its life."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import sys
import termios
from collections import deque
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

import trio

from daq.scripting.parent.zygote import Spawned, Zygote
from daq.scripting.policy.compiler import SCRIPT
from daq.scripting.protocol import FrameBuffer, Message, decode
from daq.scripting.shared_page import ControlWord, SharedPage
from daq.scripting.signals import DUMP_SIGNAL, STACK_HEAD

__all__ = ["ConfinedProcess", "open_process", "read_message"]

_CHUNK = 1 << 15
_SENT_AHEAD = 1 << 15
"""Bytes that may wait in the socket. More is no faster, and a stop waits for what is there."""
_LARGE = 1 << 15
"""Bytes of a frame that is decoded in a thread: some milliseconds, when it holds many items."""
_ASK_S = 0.03
_DUMP_S = 0.2
_LAST_DUMP_S = 0.05
_GONE_S = 2.0
_STATUS_S = 1.0
_TRACE_BYTES = 1 << 16
_TRACE_LINE = re.compile(rb'File "' + re.escape(SCRIPT).encode() + rb'", line (\d+) in ')


class ConfinedProcess:
    """A process that nobody trusts. Everything that waits may be cancelled."""

    def __init__(
        self,
        spawned: Spawned,
        connection: socket.socket,
        page: SharedPage,
        trace: int,
    ) -> None:
        self._spawned = spawned
        self._connection = connection
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(connection))
        self._frames = FrameBuffer()
        self._received: deque[bytes] = deque()
        self._page = page
        self._trace = trace
        self._locating = trio.Lock()
        self._waiting = trio.Lock()
        self._is_over = False
        """Its descriptors are closed, or are about to be."""

    # Talking

    async def send(self, data: bytes) -> bool:
        """Send a frame; False when nobody takes it any more."""
        try:
            sent = self._send_nowait(data)
            if sent < len(data):
                await self._stream.send_all(memoryview(data)[sent:])
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    def _send_nowait(self, data: bytes) -> int:
        """What fits into the socket now: nearly every answer, without a turn of the loop.

        Whoever sends also receives, and every receive lets the other tasks run.
        """
        try:
            return self._connection.send(data)
        except BlockingIOError:
            return 0

    async def receive(self) -> bytes | None:
        """The next frame's payload, or None at the end; ProtocolError when it is too large."""
        if self._received:
            await trio.lowlevel.checkpoint()  # a flood must not starve the other tasks
        while not self._received:
            try:
                data = await self._stream.receive_some(_CHUNK)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
            if not data:
                return None
            self._received.extend(self._frames.feed(data))
        return self._received.popleft()

    def backlog(self) -> int:
        """How many bytes the script has sent that nobody has looked at yet."""
        queued = fcntl.ioctl(self._connection, termios.FIONREAD, bytes(4))
        return int.from_bytes(queued, sys.byteorder) + sum(map(len, self._received))

    # Life

    def control(self, wanted: ControlWord) -> None:
        """Tell the script to run, to pause or to stop; it looks at its next checkpoint."""
        self._page.control = wanted
        self.signal(signal.SIGUSR1)

    def signal(self, number: int) -> None:
        """Send a signal, unless it is gone."""
        if self._is_over:
            return
        try:
            signal.pidfd_send_signal(self._spawned.pidfd, number)
        except ProcessLookupError:
            pass

    def kill(self) -> None:
        """End it now, whatever it does."""
        self.signal(signal.SIGKILL)

    async def wait_gone(self) -> None:
        """Until the kernel says that the process is gone."""
        async with self._waiting:
            await trio.lowlevel.wait_readable(self._spawned.pidfd)

    async def wait_status(self) -> int | None:
        """How it exited, as `os.waitpid` gives it; None when the zygote was lost."""
        with trio.move_on_after(_STATUS_S):
            await self._spawned.exited.wait()
        return self._spawned.status

    # Looking

    @property
    def line(self) -> int:
        return self._page.line

    @property
    def progress(self) -> float | None:
        return self._page.progress

    async def locate(self, *, dying: bool = False) -> int:
        """The line now, also inside of a long C call; 0 when it cannot be told in time.

        A process that does not answer by itself is in C code, where its stack can be dumped. That
        is not safe at any other moment: a dump in the middle of a call has crashed the
        interpreter, about once in 40,000. One that is `dying` anyway is not asked first.
        """
        async with self._locating:
            self._read_trace()  # what an earlier question left behind
            if dying:
                return await self._ask(DUMP_SIGNAL, _LAST_DUMP_S)
            line = await self._ask(signal.SIGUSR2, _ASK_S)
            return line or await self._ask(DUMP_SIGNAL, _DUMP_S)

    async def _ask(self, number: int, timeout: float) -> int:
        self.signal(number)
        dump = b""
        with trio.move_on_after(timeout):
            while not (line := _top_line(dump)):
                try:
                    await trio.lowlevel.wait_readable(self._trace)
                except trio.ClosedResourceError:
                    break
                data = self._read_trace()  # a dump comes in pieces
                if not data:
                    break  # the process has ended
                dump += data
            return line
        return 0

    def crash_line(self) -> int:
        """The line at which the interpreter crashed, once it has; 0 when it did not tell."""
        return _top_line(self._read_trace())

    def _read_trace(self) -> bytes:
        if self._is_over:
            return b""
        try:
            return os.read(self._trace, _TRACE_BYTES)
        except BlockingIOError:
            return b""

    # Ending

    async def aclose(self) -> None:
        """Kill it and wait, bounded, until it is gone; then let everything go."""
        self.kill()
        try:
            with trio.move_on_after(_GONE_S, shield=True):
                await self.wait_gone()
            await trio.aclose_forcefully(self._stream)
        finally:
            # Somebody may be asking where it stands: its descriptors are another's next.
            self._is_over = True
            trio.lowlevel.notify_closing(self._trace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _top_line(dump: bytes) -> int:
    """The innermost line of the script in the newest dump of the stack; 0 without one."""
    head = dump.rfind(STACK_HEAD)
    found = _TRACE_LINE.search(dump, head) if head >= 0 else None
    return int(found[1]) if found else 0


async def read_message(payload: bytes) -> Message:
    """What a process says; raises ProtocolError and nothing else."""
    if len(payload) < _LARGE:
        return decode(payload)
    # Checking a large frame takes a while, in which the daemon has other things to do.
    return await trio.to_thread.run_sync(decode, payload, abandon_on_cancel=True)


@asynccontextmanager
async def open_process(
    zygote: Zygote,
    kind: str,
    wanted: ControlWord = ControlWord.RUN,
    memory_mb: int | None = None,
    *,
    scipy: bool = False,
) -> AsyncIterator[ConfinedProcess]:
    """A process for `probe`, `check` or `run`; at the end of the block it is gone.

    Raises ZygoteLostError.
    """
    with ExitStack() as resources:
        page, page_descriptor = SharedPage.create()
        resources.callback(page.close)
        page.control = wanted
        read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        resources.callback(os.close, read_end)
        ours, theirs = socket.socketpair()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SENT_AHEAD)
        resources.callback(ours.close)
        with ExitStack() as handed_over:
            handed_over.callback(os.close, page_descriptor)
            handed_over.callback(os.close, write_end)
            handed_over.callback(theirs.close)
            handles = (theirs.fileno(), page_descriptor, write_end)
            spawned = await zygote.spawn(kind, handles, memory_mb, scipy=scipy)
        resources.callback(os.close, spawned.pidfd)
        async with ConfinedProcess(spawned, ours, page, read_end) as process:
            yield process
