"""Where a simulated instrument is plugged in: a pseudo-terminal, a TCP port or a loopback."""

from __future__ import annotations

import errno
import math
import os
import socket
import termios
import tty
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import trio
from trio_util import AsyncBool

from daq.core import ConfigurationError
from daq.simulators.faults import Fault, Faults
from daq.transport import (
    ByteStream,
    ConnectionLostError,
    LoopbackStream,
    PortSettings,
    TcpStream,
    loopback_pair,
)

__all__ = ["LoopbackOutlet", "Outlet", "PtyOutlet", "TcpOutlet", "run_schedule"]

_CHUNK = 4096


class Outlet(ABC):
    """Carries one instrument's conversation, for as long as the plug is in."""

    def __init__(self, line: Faults) -> None:
        self.line = line
        self.is_plugged = AsyncBool(True)

    @property
    @abstractmethod
    def address(self) -> str:
        """How a host reaches it; known when it runs."""

    def unplug(self) -> None:
        """Pull the plug: the host's port hangs up and vanishes."""
        self.is_plugged.value = False

    def plug_in(self) -> None:
        """Put the plug back in: the host's port comes back under the same name."""
        self.is_plugged.value = True

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry until cancelled. Started, with the address, when hosts can connect."""
        while True:
            await self.is_plugged.wait_value(True)
            async with self._plugged(), trio.open_nursery() as plug:
                task_status.started(self.address)
                task_status = trio.TASK_STATUS_IGNORED
                plug.start_soon(self._carry)
                await self.is_plugged.wait_value(False)
                plug.cancel_scope.cancel()

    @abstractmethod
    def _plugged(self) -> AbstractAsyncContextManager[None]:
        """The plug is in."""

    @abstractmethod
    async def _carry(self) -> None:
        """Carry one conversation after the other."""

    async def _converse(self, stream: ByteStream) -> None:
        """One conversation, until the host hangs up."""
        self.line.plugged_in()
        try:
            while True:
                due = self.line.next_due()
                with trio.CancelScope(deadline=math.inf if due is None else due):
                    self.line.receive(await stream.receive())
                said = self.line.take_due()
                if said:
                    await stream.send(said)
        except ConnectionLostError:
            return


class PtyOutlet(Outlet):
    """A pseudo-terminal, also under the name `link` when that is given."""

    def __init__(self, line: Faults, link: Path | None = None) -> None:
        super().__init__(line)
        self._link = link
        self._name = ""
        self._master = -1

    @property
    def address(self) -> str:
        return str(self._link) if self._link is not None else self._name

    @asynccontextmanager
    async def _plugged(self) -> AsyncIterator[None]:
        self._master, slave = os.openpty()
        # Open as long as the plug is in: without any open slave, reading the master fails.
        try:
            tty.setraw(slave, termios.TCSANOW)
            os.set_blocking(self._master, False)
            self._name = os.ttyname(slave)
            with _linked(self._link, self._name):
                yield
        finally:
            trio.lowlevel.notify_closing(self._master)
            os.close(slave)
            os.close(self._master)

    async def _carry(self) -> None:
        await self._converse(_Master(self._master))


class _Master:
    """The instrument's end of a pseudo-terminal."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        left = data
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._fd)

    async def receive(self) -> bytes:
        await trio.lowlevel.wait_readable(self._fd)
        return self.receive_nowait()

    def receive_nowait(self) -> bytes:
        try:
            return os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return b""

    async def close(self) -> None:
        """The outlet owns the pseudo-terminal."""
        await trio.lowlevel.checkpoint()


@contextmanager
def _linked(link: Path | None, target: str) -> Iterator[None]:
    if link is None:
        yield
        return
    try:
        if link.is_symlink():  # left behind by one that was killed
            link.unlink()
        link.symlink_to(target)
    except OSError as error:
        raise ConfigurationError(f"{link} cannot be made: {error.strerror}") from error
    try:
        yield
    finally:
        if link.is_symlink() and str(link.readlink()) == target:
            link.unlink()


class TcpOutlet(Outlet):
    """A serial server: the first host is served, others wait until it hangs up."""

    def __init__(self, line: Faults, port: int = 0, host: str = "127.0.0.1") -> None:
        super().__init__(line)
        self._host = host
        self._port = port
        self._listener: trio.SocketListener | None = None

    @property
    def address(self) -> str:
        return f"{self._host}:{self._port}"

    @asynccontextmanager
    async def _plugged(self) -> AsyncIterator[None]:
        try:
            (self._listener,) = await trio.open_tcp_listeners(self._port, host=self._host)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {self.address}: {error.strerror or error}"
            ) from error
        self._port = self._listener.socket.getsockname()[1]
        async with self._listener:
            yield

    async def _carry(self) -> None:
        if self._listener is None:
            raise RuntimeError("the plug is in while it carries")
        while True:
            connected = await self._listener.accept()
            host = TcpStream(socket.socket(fileno=connected.socket.detach()))
            try:
                await self._converse(host)
            finally:
                with trio.CancelScope(shield=True):
                    await host.close()


class LoopbackOutlet(Outlet):
    """A port in memory, for hosts in the same process; its `open` stands for `open_stream`."""

    def __init__(self, line: Faults) -> None:
        super().__init__(line)
        self._hosts, self._calls = trio.open_memory_channel[LoopbackStream](math.inf)

    @property
    def address(self) -> str:
        return "loopback"

    async def open(self, settings: PortSettings) -> ByteStream:
        """Connect a host; FileNotFoundError while the plug is out."""
        await trio.lowlevel.checkpoint()
        if not self.is_plugged.value:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), settings.address)
        mine, theirs = loopback_pair()
        self._hosts.send_nowait(theirs)
        return mine

    @asynccontextmanager
    async def _plugged(self) -> AsyncIterator[None]:
        await trio.lowlevel.checkpoint()
        yield

    async def _carry(self) -> None:
        while True:
            host = await self._calls.receive()
            try:
                await self._converse(host)
            finally:
                with trio.CancelScope(shield=True):
                    await host.close()


async def run_schedule(outlet: Outlet, faults: Iterable[Fault]) -> None:
    """Let these faults begin and end at their times, counted from now; the last one wins."""
    began = trio.current_time()
    planned = tuple(faults)
    times = sorted({t for f in planned for t in (f.after_s, f.after_s + f.lasts_s)})
    for time in times:
        if math.isinf(time):
            return
        await trio.sleep_until(began + time)
        present = [fault for fault in planned if fault.is_present(time)]
        outlet.is_plugged.value = all(fault.kind != "unplug" for fault in present)
        others = [fault for fault in present if fault.kind != "unplug"]
        outlet.line.begin(others[-1] if others else None)
