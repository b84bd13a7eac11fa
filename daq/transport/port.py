"""A port and all who use it: opened by the first, closed by the last, one exchange at a time."""

from __future__ import annotations

import errno
import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from weakref import WeakValueDictionary

import trio

from daq.core import ConfigurationError, OfflineError
from daq.transport.exchange import Exchange, is_urgent
from daq.transport.fair_timeout import FairTimeout
from daq.transport.framing import Framing
from daq.transport.inbox import ConnectionLostError
from daq.transport.late_replies import LateReplies
from daq.transport.port_files import device_number, failure_to_open, find_holders
from daq.transport.settings import PortSettings
from daq.transport.stream import ByteStream, OpenStream, open_stream

__all__ = ["Connection", "Port", "Ports"]

_CLOSE_S = 2.0
_LOOK_S = 0.2
"""Between two looks for a port."""
_ONE_NAME = "give all devices on it the same name of it, best the one in /dev/serial/by-id"


class Connection:
    """One opening of a port. Who got it and finds it lost has to come back for a new one."""

    def __init__(self, stream: ByteStream, owed: LateReplies) -> None:
        self.lost: str | None = None
        """Why it cannot be used any more."""
        self.owed = owed
        """Of the port: a reply may come over the connection after the one it was asked over."""
        self.not_before = -math.inf
        """Trio time of the next exchange at the earliest."""
        self.doubtful_until = -math.inf
        """Trio time until which an answer may come that nobody waits for any more."""
        self.tap: Callable[[bytes], None] | None = None
        """Is shown every piece that arrives during an exchange."""
        self._stream = stream
        self._buffer = bytearray()

    @property
    def pending(self) -> bytes:
        """What has come of a frame that is not whole yet."""
        return bytes(self._buffer)

    async def send(self, data: bytes) -> None:
        """Raises ConnectionLostError."""
        try:
            await self._stream.send(data)
        except ConnectionLostError as error:
            self.lost = str(error)
            raise

    async def next_frame(self, framing: Framing) -> bytes:
        """The next whole frame; waits for it. Raises ConnectionLostError."""
        frame = self._split(framing)
        if frame is not None:
            await trio.lowlevel.checkpoint()
        silent = False
        while frame is None:
            if framing.idle_s is None or not self._buffer or silent:
                await self._receive()
                silent = False
            else:
                try:
                    await FairTimeout(framing.idle_s).wait(self._receive)
                except trio.TooSlowError:
                    silent = True
                    frame = framing.after_silence(self._buffer)
                    continue
            frame = self._split(framing)
        return frame

    def discard(self) -> bytes:
        """Throw away, and return, whatever has come until now."""
        return self._take_all() + self._stream.receive_nowait()

    async def close(self) -> None:
        """Bounded and shielded."""
        self.lost = self.lost or "the port was closed"
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_S):
            await self._stream.close()

    def _split(self, framing: Framing) -> bytes | None:
        frame = framing.split(self._buffer)
        if frame is None and len(self._buffer) > framing.longest:
            return self._take_all()
        return frame

    def _take_all(self) -> bytes:
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken

    async def _receive(self) -> None:
        try:
            data = await self._stream.receive()
        except ConnectionLostError as error:
            self.lost = str(error)
            raise
        self._buffer += data
        if self.tap is not None:
            self.tap(data)


class Port:
    """A serial line or a TCP connection that one or several devices share."""

    def __init__(self, settings: PortSettings, opener: OpenStream, owner: str = "") -> None:
        self.settings = settings
        self.owner = owner
        """The first device on it."""
        self.opened_number: int | None = None
        """What tells the serial port that is open from others, whatever its name."""
        self.others: Callable[[], Iterable[Port]] = tuple
        """The ports of the same daemon."""
        self._opener = opener
        self._turn = trio.Lock()
        self._urgent = 0
        """How many wait for their turn with what is urgent."""
        self._connection: Connection | None = None
        self._users: set[object] = set()
        self._file: tuple[int, ...] | None = None
        self._owed = LateReplies()
        self.exchange: Exchange | None = None
        """The one that goes on now."""

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<Port {self.settings} {state}, {len(self._users)} users>"

    @property
    def is_open(self) -> bool:
        """Whether somebody has it open."""
        return self._connection is not None and self._connection.lost is None

    async def join(self, user: object) -> Connection:
        """The connection, opened when nobody has it open. Raises OfflineError."""
        async with self._turn:
            if self._connection is not None and self._connection.lost is not None:
                lost, self._connection = self._connection, None
                await lost.close()
            if self._connection is None:
                self._connection = await self._connect(user)
            self._users.add(user)
            return self._connection

    async def _connect(self, user: object) -> Connection:
        connection = Connection(await self._open(), self._owed)
        self._owed.reopened(trio.current_time())
        settle_s = self.settings.open_wait_s
        if settle_s:
            now = trio.current_time()
            what = "its start after the port was opened"
            self.exchange = Exchange(user, what, settle_s, now + settle_s)
            try:
                await trio.sleep(settle_s)
                connection.discard()
            except BaseException:
                await connection.close()
                raise
            finally:
                self.exchange = None
        return connection

    async def leave(self, user: object) -> None:
        """The last one closes the port. Whoever is not in may leave too."""
        self._users.discard(user)
        if not self._users and self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def wait_appeared(self) -> None:
        """Until there is another device file than when the port was tried last.

        Serial adapters vanish when they are unplugged, and come back as new ones. Of a TCP
        connection nothing can be seen: that is waited for for ever.
        """
        tried = self._file
        while self._find_file() in (None, tried):  # noqa: ASYNC110 - nobody tells
            await trio.sleep(_LOOK_S)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """For one exchange; in the order in which they were asked for, what is urgent first."""
        urgent = is_urgent()
        self._urgent += urgent
        try:
            if urgent:
                self._make_way()
            await self._turn.acquire()
            while self._urgent and not urgent:  # to the end of the queue
                self._turn.release()
                await self._turn.acquire()
        finally:
            self._urgent -= urgent
        try:
            yield
        finally:
            self._turn.release()

    def _make_way(self) -> None:
        """Break off what may take long; its reply is owed."""
        exchange = self.exchange
        if exchange is not None and exchange.is_long and not exchange.urgent:
            exchange.scope.cancel()

    def _find_file(self) -> tuple[int, ...] | None:
        """What tells the device file that is there from an earlier one of that name."""
        try:
            found = Path(self.settings.address).stat()  # in /dev, so it blocks nobody
        except (OSError, ValueError):
            return None
        return found.st_rdev, found.st_ino, found.st_ctime_ns

    async def _open(self) -> ByteStream:
        self._file = self._find_file()
        self.opened_number = number = device_number(self.settings)
        for other in self.others():
            if other is not self and other.is_open and None is not number == other.opened_number:
                raise OfflineError(
                    f"the port {self.settings} cannot be opened: it is the same one as "
                    f"{other.settings}, which {other.owner or 'another device'} has open",
                    advice=_ONE_NAME,
                )
        try:
            return await self._opener(self.settings)
        except (OSError, ValueError) as error:
            reason, advice = await self._failure(error)
            raise OfflineError(
                f"the port {self.settings} cannot be opened: {reason}", advice=advice
            ) from error

    async def _failure(self, error: OSError | ValueError) -> tuple[str, str]:
        """Why it does not open, and what helps."""
        if isinstance(error, ValueError):
            return str(error), ""
        if error.errno not in (errno.EAGAIN, errno.EBUSY) or self.settings.tcp is not None:
            return failure_to_open(self.settings, error)
        holders = await trio.to_thread.run_sync(find_holders, self.settings)
        what = f"another program has it open: {holders or 'one of another user'}"
        return what, "end that program, or another daemon on this port"


class Ports:
    """The ports of one daemon by address, so that devices on one port share it."""

    def __init__(self, opener: OpenStream = open_stream) -> None:
        self._opener = opener
        # A port lives as long as a driver holds it: one that was configured away leaves nothing.
        self._ports: WeakValueDictionary[str, Port] = WeakValueDictionary()

    def port(self, settings: PortSettings, owner: str = "") -> Port:
        """The port of that address, for a device.

        Raises ConfigurationError when another device on it asks for other settings, or has it under
        another name.
        """
        try:
            settings.tcp  # noqa: B018 - a mistake in it is found here, not when it is opened
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        if settings.is_visa and find_spec("pyvisa") is None:
            raise ConfigurationError(
                f"the port {settings} needs the package pyvisa, which is not installed",
                advice='install it beside the daemon: pip install "daq[visa]"',
            )
        port = self._ports.get(settings.address)
        if port is None:
            self._require_one_name(settings)
            port = self._ports[settings.address] = Port(settings, self._opener, owner)
            port.others = self._ports.values
        elif port.settings != settings:
            raise ConfigurationError(
                f"devices on the port {settings} disagree: {port.settings.differences(settings)}",
                advice="give all devices on one port the same settings",
            )
        return port

    def _require_one_name(self, settings: PortSettings) -> None:
        number = device_number(settings)
        for other in self._ports.values():
            if number is not None and device_number(other.settings) == number:
                raise ConfigurationError(
                    f"{settings} is the same port as {other.settings}"
                    f"{f' of {other.owner}' if other.owner else ''}",
                    advice=_ONE_NAME,
                )
